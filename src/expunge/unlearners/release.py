"""Noise at release: the model stays inside, and what leaves is drawn around it anew every time.

The internal model w~ is a deterministic function of rows and requests alone: the loss is not perturbed. It is
lam n-strongly convex, so that ``||w~ - w*|| <= beta / (lam n) <= Delta`` of the exactly retrained w*, with
Delta fixed beforehand. What leaves, ``W = w~ + s z`` with fresh noise, and exact retraining with the same
noise are two Gaussians Delta apart: a certificate for who sees every release and chooses requests after it.
Derivation: docs/certificate.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.certificate import Account, ReleaseAccount, ReleaseGuarantee
from expunge.certificate.account import together
from expunge.certificate.composition import Claim
from expunge.certificate.lattice import on_lattice, with_float_noise
from expunge.certificate.release import NOISES, sensitivity
from expunge.core.checks import require_choice, require_count, require_positive, require_probability
from expunge.core.errors import BrokenInvariant, DataError, InvalidValue
from expunge.core.seeds import SystemNoise, stream
from expunge.linear.brought import Brought
from expunge.linear.certified_column import CertifiedColumn
from expunge.linear.logistic import LogisticProblem
from expunge.linear.rounding import public_floor
from expunge.linear.rows import Array
from expunge.linear.solver import Fit
from expunge.predictors.linear import zero
from expunge.predictors.remainder import Remainder
from expunge.unlearners import sound
from expunge.unlearners.base import Outcome
from expunge.unlearners.engine import Engine, Scheme
from expunge.unlearners.invariants import require_outcome
from expunge.unlearners.settling import trained_anew
from expunge.unlearners.updated import updated

_NEEDED = {"certificate": "measured", "anchor": 0}
_UPDATES = ("corrected", "rowless")
# Of what a column may have, for the gradient's norm: of the least that is planned a quarter is rounding.
_MOST = 0.7


class Release(Scheme):
    """What ``Newton`` does with ``perturbation=release``.

    Nothing that leaves but W depends on the internal model: the budget is that of n, epsilon that of the
    count of releases, and a request is refused for their count, or because one class would be left, as
    retraining would find too.
    """

    def check(self, engine: Engine) -> None:
        """Refuse settings that do not go together.

        Raises:
            InvalidValue: One does not.
        """
        if engine.predictor.std:
            allowed = "0 in the model with perturbation=release: the noise is that of the unlearner"
            raise InvalidValue("std", engine.predictor.std, allowed)
        for name, needed in _NEEDED.items():
            if getattr(engine, name) != needed:
                raise InvalidValue(name, getattr(engine, name), f"{needed} with perturbation=release")
        if engine.update not in _UPDATES:
            raise InvalidValue("update", engine.update, f"{' or '.join(_UPDATES)} with perturbation=release")
        require_probability("delta", engine.delta)
        for name in ("std", "residual"):
            if getattr(engine, name) is not None:
                setattr(engine, name, require_positive(name, getattr(engine, name)))
        if None not in (engine.std, engine.residual):
            raise InvalidValue("residual", engine.residual, "null where std is given")
        if engine.noise is not None:
            require_choice("noise", engine.noise, NOISES)

    # -- training ---------------------------------------------------------------------------------------

    def fit(self, engine: Engine) -> None:
        """Train, plan the noise by public numbers alone, and make the first release."""
        model = engine.predictor
        problems = model.problems()
        engine.guarantee = self._planned(engine, [problem.n for problem in problems])
        targets = self._targets(engine, problems)
        columns: list[CertifiedColumn] = []
        reports = []
        for problem, fit, spectral in model.fits(problems, zero, most=targets):
            columns.append(self._column(problem, fit, spectral, targets[len(columns)]))
            reports.append(fit.report)
        self._require_held(engine, columns)
        engine.released = 1
        model.protected = engine.guarantee.noise == "lattice"
        model.put(columns, self._drawn(engine, columns, 0))
        model.fit_reports = reports

    def _column(self, problem: LogisticProblem, fit: Fit, spectral: float, target: float) -> CertifiedColumn:
        """A column where its training ended."""
        opened = Account(None, "measured", problem.certified(fit.w, fit.gradient))
        factor = fit.factor_here(problem)
        return CertifiedColumn(problem, fit.w, opened, spectral, factor, fit.gradient)

    def _planned(self, engine: Engine, counts: Sequence[int], std: float | None = None) -> ReleaseGuarantee:
        """The noise: of public numbers alone; ``std`` where neither that nor a residual is given."""
        model = engine.predictor
        n, d, width = len(model.x), model.x.dim, model.width
        noise = engine.noise or ("float" if model.seeded else "lattice")
        return ReleaseGuarantee.planned(
            *(engine.epsilon, engine.delta, engine.releases, noise),
            dim=d * width,
            lam=model.lam,
            n=min(counts),
            floor=public_floor(n, n, d, width, model.lam, model.x.block),
            std=engine.std or std,
            residual=engine.residual,
        )

    def _targets(self, engine: Engine, problems: Sequence[LogisticProblem]) -> list[float]:
        """The gradient norm that each column is brought to."""
        shares = engine.guarantee.shares(engine.predictor.lam, [problem.n for problem in problems])
        return [min(engine.correct_to, _MOST) * share for share in shares]

    def _require_held(self, engine: Engine, columns: Sequence[CertifiedColumn]) -> None:
        """Refuse a training that ended too far from the minimiser; how far is nobody's business."""
        if not self._is_covered(engine, columns):
            allowed = f"enough steps to come within {engine.guarantee.sensitivity:.3g} of the minimiser"
            raise InvalidValue("max_iter", engine.predictor.max_iter, allowed)

    def _is_covered(self, engine: Engine, columns: Sequence[CertifiedColumn]) -> bool:
        """Whether every column is within its share: all together are within what the noise covers then."""
        counts = [column.problem.n for column in columns]
        shares = engine.guarantee.shares(engine.predictor.lam, counts)
        return all(column.account.beta <= share for column, share in zip(columns, shares, strict=True))

    def _sensitivity(self, engine: Engine, columns: Sequence[CertifiedColumn]) -> float:
        """Bound on ``||w~ - w*||`` over all columns."""
        betas = [column.account.beta for column in columns]
        return sensitivity(betas, engine.predictor.lam, [column.problem.n for column in columns])

    def _drawn(self, engine: Engine, columns: Sequence[CertifiedColumn], number: int) -> Array:
        """W of the release of this number, from 0."""
        model, guarantee = engine.predictor, engine.guarantee
        w = np.stack([column.w for column in columns], axis=1)
        if guarantee.noise == "lattice":
            return on_lattice(w, guarantee.std, guarantee.grid)
        rng = stream(model.seed, "release", number, again=model.again) if model.seeded else SystemNoise()
        return with_float_noise(w, guarantee.std, rng)

    # -- removal ----------------------------------------------------------------------------------------

    def serve(
        self,
        engine: Engine,
        index: NDArray[np.int64],
        left: Remainder[CertifiedColumn],
        brought: Brought | None = None,
    ) -> Outcome:
        """Correct the internal model until the noise covers it, and release."""
        model, guarantee = engine.predictor, engine.guarantee
        if engine.released >= guarantee.releases:
            reason = f"all {guarantee.releases} releases that the noise covers are out (releases)"
            return self.refused(engine, index, reason)
        columns = self._updated(engine, index, left, brought)
        if not self._is_covered(engine, columns):
            allowed = f"within {guarantee.sensitivity:.3g} of the minimiser, which the noise covers"
            raise BrokenInvariant("the model", "farther off", allowed)
        released = self._drawn(engine, columns, engine.released)
        engine.released += 1
        outcome = self._outcome(engine, "removed", index, columns)
        model.release(columns, index, released, None if brought is None else brought.labels)
        return outcome

    def _updated(
        self,
        engine: Engine,
        index: NDArray[np.int64],
        left: Remainder[CertifiedColumn],
        brought: Brought | None,
    ) -> list[CertifiedColumn]:
        """The columns of the classes that are left, near enough to their minima."""
        return updated(left, index, engine.update, self._targets(engine, left.problems))

    def account(self, engine: Engine, columns: Sequence[CertifiedColumn]) -> ReleaseAccount:
        """The certificate of these columns together."""
        counts = [column.problem.n for column in columns]
        return ReleaseAccount(
            engine.guarantee,
            beta=together([column.account.beta for column in columns]),
            budget=together(engine.guarantee.shares(engine.predictor.lam, counts)),
            sensitivity=self._sensitivity(engine, columns),
            released=engine.released,
        )

    def _outcome(
        self,
        engine: Engine,
        outcome: str,
        index: NDArray[np.int64],
        columns: Sequence[CertifiedColumn],
        reason: str | None = None,
    ) -> Outcome:
        account = self.account(engine, columns)
        gradients = [column.gradient for column in columns if column.gradient is not None]
        shown = outcome != "refused" and engine.guarantee.noise == "float" and bool(gradients)
        norms = [float(np.linalg.norm(gradient)) for gradient in gradients]
        found = Outcome(
            outcome,
            tuple(index.tolist()),
            reason,
            residual_bound=account.budget,
            residual_measured=float(np.hypot.reduce(norms)) if shown else None,
            budget=account.budget,
            epsilon_spent=account.epsilon_spent,
            figures=self._figures(engine),
        )
        return require_outcome(found, index, engine.guarantee.epsilon)

    def _figures(self, engine: Engine) -> dict[str, float]:
        return {}

    def claim(self, engine: Engine) -> Claim:
        """What holds for whom, in words; of a run whose noise can be known, that it does not."""
        guarantee = engine.guarantee
        if guarantee.noise == "lattice":
            who = f"whoever sees all of up to {guarantee.releases} releases and chooses requests after them"
            what = "cannot tell them from exact retraining with the same noise"
            return Claim(f"release: {who} {what}, beyond ({guarantee.epsilon:g}, {guarantee.delta:g})")
        source = "from a seed" if engine.predictor.seeded else "in floating point"
        figures = f"figures only: the noise is drawn {source}; the figures are right, and protect nobody"
        return Claim(figures, figures)

    # -- saving -----------------------------------------------------------------------------------------

    def values(self, engine: Engine) -> dict[str, Any]:
        """What a state holds besides model and columns."""
        plan = {field: getattr(engine.guarantee, field) for field in ("std", "sensitivity", "grid", "noise")}
        notice = "secret: holds the model that releases are drawn around; whoever has it needs no release"
        return {
            "release": {**plan, "dim": engine.guarantee.dim, "released": engine.released, "notice": notice}
        }

    def opened(self, engine: Engine, values: dict[str, Any]) -> Account:
        """The account that the columns of a state go on with; noise goes on as it was planned."""
        plan = dict(values["release"])
        engine.released = require_count("released", plan.pop("released"))
        del plan["notice"]
        engine.guarantee = ReleaseGuarantee(engine.epsilon, engine.delta, engine.releases, **plan)
        engine.predictor.protected = engine.guarantee.noise == "lattice"
        return Account(None, "measured", 0.0)

    def require_served(self, engine: Engine, outcomes: Mapping[str, int]) -> None:
        """Refuse a count of releases below what was served; models that left with replaced records add to it.

        Raises:
            DataError: It is.
        """
        least = 1 + outcomes["removed"] + outcomes["retrained"]
        if engine.released < least:
            raise DataError(f"release.released: got {engine.released}, and the records say {least} or more")

    def require_sound(self, engine: Engine) -> None:
        """Refuse an engine whose noise is not that of its settings, or does not cover it; see ``sound``.

        Raises:
            DataError: So it is.
        """
        model = engine.predictor
        sound.require_plan(engine)
        sound.require_drawn(engine, model.out.weights)
        # what was written as it stood, without training anew, may have to be measured before it is released
        if model.is_settled and not self._is_covered(engine, engine.columns):
            raise DataError("beta: is more than the noise covers")

    def settle(self, engine: Engine) -> None:
        """Train anew, from zero, on the rows that stay; the release that is out stays as it is."""
        model = engine.predictor
        targets = self._targets(engine, [column.problem for column in engine.columns])
        columns, reports = trained_anew(model, engine.columns, zero, engine.update, most=targets)
        self._require_held(engine, columns)
        model.settle(columns, reports)
