"""The published scheme: a secret perturbation of the loss hides what updates leave (Guo et al., 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import hypot, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.certificate import Account, Guarantee, joint
from expunge.certificate.composition import Claim
from expunge.core.checks import require_positive
from expunge.core.errors import DataError, InvalidValue
from expunge.core.read_back import same
from expunge.linear.brought import Brought
from expunge.linear.certified_column import CertifiedColumn, Start
from expunge.linear.classes import width_of
from expunge.linear.factor import inverted
from expunge.linear.logistic import LogisticProblem
from expunge.linear.one_vs_rest import as_columns
from expunge.linear.solver import FitReport, build_factor
from expunge.linear.spectral import spectral_bound
from expunge.predictors.linear import zero
from expunge.predictors.remainder import Remainder
from expunge.unlearners.base import Outcome
from expunge.unlearners.engine import Engine, Scheme
from expunge.unlearners.invariants import LAST_BITS, require_outcome
from expunge.unlearners.settling import trained_anew

AS_PUBLISHED = (
    "as published: the decision to retrain or to refuse depends on the secret perturbation, and so does the "
    "residual that it is to hide; a released model can tell that rows were removed (docs/certificate.md)"
)


class Published(Scheme):
    """What ``Newton`` does with ``perturbation`` ``gaussian`` or ``pure_eps``.

    The model minimises ``L_b``, b secret; after a removal its residual has a norm of at most beta, and the
    model is released as it is as long as ``beta <= std epsilon / c``. That is the published argument; what
    does not hold of it is said in docs/certificate.md.
    """

    def check(self, engine: Engine) -> None:
        """Refuse settings that cannot be kept.

        Raises:
            InvalidValue: ``std`` of the model is 0, or the guarantee cannot hold.
        """
        require_positive("std", engine.predictor.std)
        if engine.update == "rowless":
            raise InvalidValue(
                "update",
                engine.update,
                "fresh, frozen or corrected (rowless: with perturbation=release alone)",
            )
        for name in ("std", "residual", "noise"):
            if getattr(engine, name) is not None:
                raise InvalidValue(name, getattr(engine, name), "null but with perturbation=release")
        Guarantee(engine.epsilon, engine.delta, engine.predictor.std, 1, engine.perturbation)

    def fit(self, engine: Engine) -> None:
        """Train with a first b, and open the account at the optimiser's own leftover."""
        engine.guarantee = self._guarantee(engine)
        model = engine.predictor
        everything = Remainder[CertifiedColumn](model.out.classes, [], model.problems())
        learned, reports = self._learned(engine, everything, epoch=0)
        model.columns, model.fit_reports = learned, reports

    def _guarantee(self, engine: Engine) -> Guarantee:
        model = engine.predictor
        dim = model.x.dim * width_of(model.out.classes.first)
        return Guarantee(engine.epsilon, engine.delta, model.std, dim, engine.perturbation)

    def _learned(
        self,
        engine: Engine,
        left: Remainder[CertifiedColumn],
        epoch: int,
        starts: Sequence[Start] | None = None,
    ) -> tuple[list[CertifiedColumn], list[FitReport]]:
        """Train what is ``left`` with a fresh b.

        The loss has one minimiser, wherever training starts; how far it stopped from there is charged.

        Raises:
            InvalidValue: The result could not be certified.
        """
        model, guarantee = engine.predictor, engine.guarantee
        drawn = guarantee.draw(model.noise(epoch))
        b = np.ascontiguousarray(as_columns(drawn, model.x.dim).T[left.classes.columns])
        columns: list[CertifiedColumn] = []
        reports: list[FitReport] = []
        perturbed = [replace(problem, b=b[k]) for k, problem in enumerate(left.problems)]
        start = _with_gram if engine.needs_gram else zero
        for problem, fit, spectral in model.fits(perturbed, start, starts):
            leftover = problem.certified(fit.w, fit.gradient)
            account = Account(guarantee, engine.certificate, leftover, epoch)
            columns.append(CertifiedColumn(problem, fit.w, account, spectral, fit.factor, fit.gradient))
            reports.append(fit.report)
        leftover = joint([column.account for column in columns]).beta
        if not leftover <= guarantee.budget:
            least = model.std * leftover / guarantee.budget
            raise InvalidValue(
                "std",
                model.std,
                f"at least {least:.3g} with epsilon={guarantee.epsilon:g} and delta={guarantee.delta:g}: "
                f"training leaves a residual of {leftover:.3g}",
            )
        if engine.update != "fresh":  # theirs pay for an inverse Hessian of somewhere else at every request
            columns = [replace(c, factor=build_factor(c.problem, c.w)) for c in columns]
        return columns, reports

    def account(self, engine: Engine, columns: Sequence[CertifiedColumn]) -> Account:
        """The certificate of these columns together."""
        return replace(joint([column.account for column in columns]), guarantee=engine.guarantee)

    def serve(
        self,
        engine: Engine,
        index: NDArray[np.int64],
        left: Remainder[CertifiedColumn],
        brought: Brought | None = None,
    ) -> Outcome:
        """Release, retrain or refuse; the rows are needed, brought along or not."""
        model = engine.predictor
        target = engine.correct_to * engine.guarantee.budget / sqrt(model.width)
        proposed = [
            column.without_rows(problem, index, engine.update, target)
            for column, problem in zip(left.columns, left.problems, strict=True)
        ]
        account = self.account(engine, proposed)
        if engine.anchor and (engine.served % engine.anchor == 0 or not account.within_budget):
            proposed = [column.measured() for column in proposed]
            account = self.account(engine, proposed)
        if account.within_budget:
            outcome = self._outcome(engine, "removed", index, proposed)
            model.release([column.settled(engine.update, target) for column in proposed], index)
            return outcome
        reason = f"residual bound {account.beta:.4g} would pass the budget {engine.guarantee.budget:.4g}"
        if engine.at_limit == "refuse":
            return self.refused(engine, index, reason)
        pairs = zip(left.columns, proposed, strict=True)  # w of the model that is out, H without these rows
        starts = [Start(after.factor, column.spectral, column.w) for column, after in pairs]
        try:
            learned, reports = self._learned(engine, left, engine.columns[0].account.epoch + 1, starts)
        except InvalidValue as error:
            reason = f"{reason}, and so would a retrained model ({error})"
            return self.refused(engine, index, reason)
        outcome = self._outcome(engine, "retrained", index, learned, reason)
        model.release(learned, index)
        model.fit_reports = reports
        return outcome

    def _outcome(
        self,
        engine: Engine,
        outcome: str,
        index: NDArray[np.int64],
        columns: Sequence[CertifiedColumn],
        reason: str | None = None,
    ) -> Outcome:
        """The outcome with the columns that are to be out after it, checked before they are."""
        norms = [None if c.gradient is None else float(np.linalg.norm(c.gradient)) for c in columns]
        known = [norm for norm in norms if norm is not None]
        measured = hypot(*known) if outcome != "refused" and len(known) == len(norms) else None
        account = self.account(engine, columns)
        found = Outcome(
            outcome,
            tuple(index.tolist()),
            reason,
            residual_bound=account.beta,
            residual_measured=measured,
            budget=engine.guarantee.budget,
            epsilon_spent=account.epsilon_spent,
        )
        return require_outcome(found, index, engine.guarantee.epsilon)

    def claim(self, engine: Engine) -> Claim:
        """That the published argument is all there is."""
        return Claim(AS_PUBLISHED, AS_PUBLISHED, holds=False)

    def values(self, engine: Engine) -> dict[str, Any]:
        """What a state holds besides model and columns."""
        return {}

    def opened(self, engine: Engine, values: dict[str, Any]) -> Account:
        """The account that the columns of a state go on with."""
        engine.guarantee = self._guarantee(engine)
        return Account(engine.guarantee, engine.certificate, 0.0)

    def require_served(self, engine: Engine, outcomes: Mapping[str, int]) -> None:
        """Refuse a perturbation that is not that of as many retrains.

        Raises:
            DataError: It is not.
        """
        same("epoch", engine.columns[0].account.epoch, outcomes["retrained"])

    def require_sound(self, engine: Engine) -> None:
        """Refuse an engine whose bound is above the budget, or whose perturbation is not of one epoch.

        Raises:
            DataError: So it is.
        """
        account, epochs = self.account(engine, engine.columns), {c.account.epoch for c in engine.columns}
        if len(epochs) > 1 or max(epochs) > engine.served:
            raise DataError(
                f"epoch: got {sorted(epochs)}, after {engine.served} requests at most as many retrains"
            )
        if not account.beta <= account.budget * LAST_BITS:
            raise DataError(
                f"beta: got {account.beta:.6g}, allowed: at most the budget, {account.budget:.6g}"
            )

    def settle(self, engine: Engine) -> None:
        """Train anew, from zero and with the same b, on the rows that stay.

        Raises:
            InvalidValue: The result could not be certified.
        """
        model, start = engine.predictor, _with_gram if engine.needs_gram else zero
        columns, reports = trained_anew(model, engine.columns, start, engine.update)
        account = self.account(engine, columns)
        if not account.within_budget:
            least = model.std * account.beta / engine.guarantee.budget
            raise InvalidValue("std", model.std, f"at least {least:.3g} to train on the rows that stay")
        model.settle(columns, reports)


def _with_gram(problem: LogisticProblem) -> Start:
    """With the Gram matrix for the certificate, which is also four times the loss's Hessian at zero.

    With rows that count less than 1 it is more than that, which is summed besides. Where no such matrix is to
    be made, with a bound on ||X||_2 that takes a few passes.
    """
    if problem.iterative:
        return replace(zero(problem), spectral=spectral_bound(problem.rows))
    gram, spectral = problem.rows.gram()
    if problem.sizes is not None:
        return replace(zero(problem), spectral=spectral)
    hessian = gram / 4 + problem.lam * problem.n * np.eye(problem.rows.dim)
    return Start(inverted(hessian, problem.lam), spectral)
