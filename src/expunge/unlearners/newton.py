"""Certified removal by Newton steps (Guo et al., ICML 2020); cheaper updates, tighter certificates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import hypot, sqrt
from typing import cast

import numpy as np
from numpy.typing import NDArray

from expunge.certificate import CERTIFICATES, Account, Guarantee, joint
from expunge.certificate.guarantee import PERTURBATIONS
from expunge.core.checks import (
    require_choice,
    require_count,
    require_from_zero,
    require_positive,
    require_probability,
)
from expunge.core.errors import InvalidValue
from expunge.core.files import State, under
from expunge.core.threads import whole
from expunge.linear.certified_column import CertifiedColumn, Start
from expunge.linear.classes import width_of
from expunge.linear.factor import Factor
from expunge.linear.logistic import LogisticProblem
from expunge.linear.memory import enough_memory, of_training, require_matrices
from expunge.linear.parallel import one_blas_thread
from expunge.linear.removal import UPDATES
from expunge.linear.rows import Rows
from expunge.linear.solver import FitReport, build_factor
from expunge.predictors import NothingLeft
from expunge.predictors.linear import LinearModel, as_columns, zero
from expunge.predictors.remainder import Remainder
from expunge.unlearners.base import RESIDUAL, Method, Outcome
from expunge.unlearners.invariants import require_outcome

POLICIES = ("retrain", "refuse")


class Newton(Method):
    """Removal-enabled logistic regression: every release carries a bound on its gradient residual.

    Of more than two classes (one-vs-rest) the (d, K) residual is bounded jointly, and a request changes
    only the columns of classes that use its rows. A class whose last row leaves takes its column along; the
    others are served as always. The guarantee stays that of the classes of the fit: for as many b is drawn
    again, of which those that are there take their own. One inverse Hessian a class is kept, 8 K d^2 bytes,
    and as much again while a release is prepared; the Gram matrix (8 d^2) is made once where all classes use
    all rows (see ``Rows.gram``), once a class where they use subsamples.

    Args:
        model: The linear model; the ``std`` of its perturbation is > 0.
        epsilon: Guarantee, with ``delta``; see ``Guarantee``.
        delta: In (0, 1); 0 with ``perturbation=pure_eps``.
        certificate: ``worst_case``, ``data_dependent``, ``third_order`` or ``measured``.
        update: ``fresh``, ``frozen`` or ``corrected``; see ``expunge.linear.removal``.
        at_limit: ``retrain`` (to the minimiser of the loss with a fresh b, from the weights that are out) or
            ``refuse`` when the bound would pass the budget.
        perturbation: ``gaussian`` or ``pure_eps``.
        anchor: Replace the accumulated bound by the measured residual every this many requests, and before
            giving up at the limit; 0 never.
        correct_to: ``corrected`` steps until the residual is at most this share of the budget; ``frozen``
            rebuilds its Hessians whenever inexact solves have cost this share.
        name: What the run files call it.
    """

    role = "certified"
    COLUMNS = RESIDUAL
    supports = ("logistic",)
    predictor: LinearModel

    def __init__(
        self,
        model: LinearModel,
        epsilon: float = 1.0,
        delta: float = 1e-4,
        certificate: str = "data_dependent",
        update: str = "fresh",
        at_limit: str = "retrain",
        perturbation: str = "gaussian",
        anchor: int = 0,
        correct_to: float = 0.01,
        name: str = "newton",
    ) -> None:
        super().__init__(model, name)
        require_positive("std", model.std)
        self.epsilon = require_positive("epsilon", epsilon)
        self.perturbation = require_choice("perturbation", perturbation, PERTURBATIONS)
        allowed = require_from_zero if perturbation == "pure_eps" else require_probability
        self.delta = allowed("delta", delta)
        self.certificate = require_choice("certificate", certificate, CERTIFICATES)
        self.update = require_choice("update", update, UPDATES)
        self.at_limit = require_choice("at_limit", at_limit, POLICIES)
        self.anchor = require_count("anchor", anchor, least=0)
        self.correct_to = require_probability("correct_to", correct_to)
        Guarantee(self.epsilon, self.delta, model.std, 1, self.perturbation)  # refuse what can't hold, early

    # -- training ---------------------------------------------------------------------------------------

    @one_blas_thread()
    def fit(self, x: Rows, y: NDArray[np.int64], seed: int | None = None) -> None:
        """Train, and open the account at the optimiser's own leftover.

        Args:
            x: Rows with ||x_i|| <= 1.
            y: (n,) labels of two classes or more.
            seed: Seed of b, which must stay as secret as b; None draws b from the operating system.

        Raises:
            InvalidValue: ``features``: their matrices do not fit into memory; or a setting is not allowed.
        """
        width = width_of(len(np.unique(y)))
        shared = self.predictor.subsample_ratio == 1
        count = of_training(width, shared, self._needs_gram, self.update != "fresh")
        require_matrices(x.dim, width, count)
        with whole(self, self.predictor), enough_memory(x.dim, width, count + 1):
            self.predictor.begin(x, y, seed)
            self.served = 0
            self.guarantee = self._guarantee()
            everything = Remainder[CertifiedColumn](self.predictor.out.classes, [], self.predictor.problems())
            learned, reports = self._learned(everything, epoch=0)
            self.predictor.columns, self.predictor.fit_reports = learned, reports

    @property
    def _needs_gram(self) -> bool:
        return self.certificate in ("data_dependent", "third_order")

    def _guarantee(self) -> Guarantee:
        dim = self.predictor.x.dim * width_of(self.predictor.out.classes.first)
        return Guarantee(self.epsilon, self.delta, self.predictor.std, dim, self.perturbation)

    def _learned(
        self, left: Remainder[CertifiedColumn], epoch: int, starts: Sequence[Start] | None = None
    ) -> tuple[list[CertifiedColumn], list[FitReport]]:
        """Train what is ``left`` with a fresh b.

        The loss has one minimiser, wherever training starts; how far it stopped from there is charged.

        Raises:
            InvalidValue: The result could not be certified.
        """
        model = self.predictor
        drawn = self.guarantee.draw(model.noise(epoch))
        b = np.ascontiguousarray(as_columns(drawn, model.x.dim).T[left.classes.columns])
        columns: list[CertifiedColumn] = []
        reports: list[FitReport] = []
        perturbed = [replace(problem, b=b[k]) for k, problem in enumerate(left.problems)]
        for problem, fit, spectral in model.fits(perturbed, self._start, starts):
            leftover = fit.report.gradient_norm + problem.rounding(fit.w)
            account = Account(self.guarantee, self.certificate, leftover, epoch)
            columns.append(CertifiedColumn(problem, fit.w, account, spectral, fit.factor, fit.gradient))
            reports.append(fit.report)
        leftover = joint([column.account for column in columns]).beta
        if not leftover <= self.guarantee.budget:
            least = model.std * leftover / self.guarantee.budget
            raise InvalidValue(
                "std", model.std, f"at least {least:.3g} here: training leaves a residual of {leftover:.3g}"
            )
        if self.update != "fresh":  # theirs pay for an inverse Hessian of somewhere else at every request
            columns = [replace(c, factor=build_factor(c.problem, c.w)) for c in columns]
        return columns, reports

    def _start(self, problem: LogisticProblem) -> Start:
        """With the Gram matrix for the certificate, which is also four times the loss's Hessian at zero."""
        if not self._needs_gram:
            return zero(problem)
        gram, spectral = problem.rows.gram()
        hessian = gram / 4 + problem.lam * problem.n * np.eye(problem.rows.dim)
        return Start(Factor.of(hessian), spectral)

    # -- removal ----------------------------------------------------------------------------------------

    @property
    def columns(self) -> list[CertifiedColumn]:
        """The model's columns, each with its share of the certificate."""
        return cast("list[CertifiedColumn]", self.predictor.columns)

    @property
    def account(self) -> Account:
        """The certificate as it stands, of all columns together."""
        return self._joint(self.columns)

    def _joint(self, columns: Sequence[CertifiedColumn]) -> Account:
        return replace(joint([column.account for column in columns]), guarantee=self.guarantee)

    @property
    def _target(self) -> float:
        """The residual norm a column may be left with, or lose to inexact solves."""
        return self.correct_to * self.guarantee.budget / sqrt(self.predictor.width)

    @one_blas_thread()
    def remove(self, rows: Sequence[int]) -> Outcome:
        """Remove training rows from the model, in one release.

        Whatever is raised, be it from the keyboard, leaves the model as it was.

        Raises:
            InvalidValue: A row is out of range, named twice or gone already, or no row would stay; or memory
                runs out.
            BrokenInvariant: What would go out is not what its bound says.
        """
        index, model = self.predictor.checked(rows), self.predictor
        try:
            left = cast("Remainder[CertifiedColumn]", model.without(index))
        except NothingLeft as error:
            self.served += 1
            return self._outcome("refused", index, self.columns, str(error))
        made = sum(column.makes_inverse(index) for column in left.columns)
        size = model.x.dim, model.width
        require_matrices(*size, made + 1 if made else 0)  # 1 more while it is made
        with whole(self, model), enough_memory(*size, made + 1):
            self.served += 1
            return self._served(index, left)

    def _served(self, index: NDArray[np.int64], left: Remainder[CertifiedColumn]) -> Outcome:
        """Release, retrain or refuse."""
        proposed = [
            column if problem is column.problem else self._removed(column, problem, index)
            for column, problem in zip(left.columns, left.problems, strict=True)
        ]
        account = self._joint(proposed)
        if self.anchor and (self.served % self.anchor == 0 or not account.within_budget):
            proposed = [column.measured() for column in proposed]
            account = self._joint(proposed)
        if account.within_budget:
            outcome = self._outcome("removed", index, proposed)
            self.predictor.release([column.settled(self.update, self._target) for column in proposed], index)
            return outcome
        reason = f"residual bound {account.beta:.4g} would pass the budget {self.guarantee.budget:.4g}"
        if self.at_limit == "refuse":
            return self._outcome("refused", index, self.columns, reason)
        pairs = zip(left.columns, proposed, strict=True)  # w of the model that is out, H without these rows
        starts = [Start(after.factor, column.spectral, column.w) for column, after in pairs]
        try:
            learned, reports = self._learned(left, self.account.epoch + 1, starts)
        except InvalidValue as error:
            reason = f"{reason}, and so would a retrained model ({error})"
            return self._outcome("refused", index, self.columns, reason)
        outcome = self._outcome("retrained", index, learned, reason)
        self.predictor.release(learned, index)
        self.predictor.fit_reports = reports
        return outcome

    def _removed(
        self, column: CertifiedColumn, after: LogisticProblem, index: NDArray[np.int64]
    ) -> CertifiedColumn:
        used = index[column.problem.rows.scale[index] != 0]
        return column.removed(after, used, self.update, self._target)

    def _outcome(
        self,
        outcome: str,
        index: NDArray[np.int64],
        columns: Sequence[CertifiedColumn],
        reason: str | None = None,
    ) -> Outcome:
        """The outcome with the columns that are to be out after it, checked before they are."""
        norms = [None if c.gradient is None else float(np.linalg.norm(c.gradient)) for c in columns]
        known = [norm for norm in norms if norm is not None]
        measured = hypot(*known) if outcome != "refused" and len(known) == len(norms) else None
        account = self._joint(columns)
        found = Outcome(
            outcome,
            tuple(index.tolist()),
            reason,
            residual_bound=account.beta,
            residual_measured=measured,
            budget=self.guarantee.budget,
            epsilon_spent=account.epsilon_spent,
        )
        return require_outcome(found, index, self.guarantee.epsilon)

    # -- saving -----------------------------------------------------------------------------------------

    def state(self) -> State:
        """Model, account and kept factors: a loaded model goes on removing exactly where this one stands.

        It holds b, which must stay secret, and so must the seed of later perturbations where one was given.
        """
        state = super().state()
        saved = [column.state() for column in self.columns]
        for k, column in enumerate(saved):
            state.arrays |= {f"column{k}.{key}": array for key, array in column.arrays.items()}
        state.values["columns"] = [column.values for column in saved]
        return state

    def load_state(self, state: State, x: Rows, y: NDArray[np.int64]) -> None:
        """Continue from ``state`` with the rows and labels that ``fit`` was given."""
        super().load_state(state, x, y)
        self.guarantee = self._guarantee()
        opened = Account(self.guarantee, self.certificate, 0.0)
        columns, saved = self.predictor.columns, state.values["columns"]
        # the first versions kept the columns of classes without rows
        kept = range(len(columns)) if "class_places" in state.values else self.predictor.out.classes.columns
        self.predictor.columns = [
            CertifiedColumn.loaded(column, opened, State(under(state.arrays, f"column{k}."), saved[k]))
            for k, column in zip(kept, columns, strict=True)
        ]
