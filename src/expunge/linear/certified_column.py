"""One column of the certified head: a binary problem, its weights, and what they are charged with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf, isfinite

import numpy as np
from numpy.typing import NDArray

from expunge.certificate import Account, StepFacts
from expunge.certificate.outward import norm_up, sum_up
from expunge.core.checks import require_count, require_finite, require_from_zero, require_positive
from expunge.core.errors import DataError
from expunge.core.files import State
from expunge.core.read_back import array_of
from expunge.core.seeds import SystemNoise
from expunge.linear.factor import Factor, Solver, inverted
from expunge.linear.given import Array
from expunge.linear.iterative import Iterative
from expunge.linear.logistic import LogisticProblem, LossCurvature
from expunge.linear.removal import EXTRA_STEPS, Step, correct, depart, replaces_inverse, solve
from expunge.linear.rounding import length_up
from expunge.linear.solver import Fit, build_factor, train

_LAST_BITS = 1 + 2.0**-40
_PRODUCTS = 4


@dataclass(frozen=True)
class WeightColumn:
    """The weights ``w`` (d,) of one binary problem. Immutable: a removal proposes another column.

    ``problem`` is the loss over the rows that the column uses and that have not been removed.
    """

    problem: LogisticProblem
    w: Array

    def without(self, problem: LogisticProblem) -> WeightColumn:
        """Return the same weights for another set of rows."""
        return replace(self, problem=problem)


@dataclass(frozen=True)
class Start:
    """Where the training of a column begins: solver, weights (d,) or None for zero.

    ``spectral`` is an upper bound on ||X||_2 of the column's rows.
    """

    factor: Solver
    spectral: float = inf
    w: Array | None = None


@dataclass(frozen=True)
class CertifiedColumn(WeightColumn):
    """A column with its share of the certificate.

    Attributes:
        account: beta of this column alone.
        spectral: Upper bound on ||X||_2 of the rows it was trained on; rows that leave never raise it.
        factor: What solves with its Hessian: an inverse that is kept, or nothing but a diagonal.
        gradient: grad L_b(w; D) where it has been measured.
        drift: What the kept factor has cost since it was built: solve errors of ``frozen`` updates, extra
            steps of ``corrected`` ones, extra products of ``fresh`` ones.
    """

    account: Account
    spectral: float
    factor: Solver
    gradient: Array | None = None
    drift: float = 0.0

    def makes_inverse(self, index: NDArray[np.int64]) -> bool:
        """Whether removing the rows ``index``, some of which it may not use, is sure to make an inverse."""
        if not isinstance(self.factor, Factor):  # nor is anybody asked which rows are used
            return False
        used = int(np.count_nonzero(self.problem.rows.uses(index)))
        return bool(used) and replaces_inverse(self.factor, self.problem.rows.dim, used)

    def without_rows(
        self, after: LogisticProblem, index: NDArray[np.int64], update: str, target: float
    ) -> CertifiedColumn:
        """Propose the column without the rows ``index``, some of which it may not use; see ``removed``."""
        if after is self.problem:
            return self
        return self.removed(after, index[self.problem.rows.uses(index)], update, target)

    def removed(
        self, after: LogisticProblem, index: NDArray[np.int64], update: str, target: float
    ) -> CertifiedColumn:
        """Propose the column after an update that removes the rows ``index``, all of which it uses.

        ``after`` is the problem over the rows that stay, ``update`` ``fresh``, ``frozen`` or ``corrected``,
        whose steps aim at the residual norm ``target``.
        """
        factor = depart(self.factor, self.problem, self.w, index)
        if update == "corrected":
            return self._corrected(after, index, factor, target)
        gone = self.problem.removed_gradient(self.w, index)
        if update == "fresh":
            curvature = after.curvature(self.w)
            solved = solve(curvature, gone, factor, int(self.drift))
            proposed = self._stepped(after, Step(self.w, solved.x, gone), curvature)
            return replace(proposed, factor=solved.factor, drift=solved.extra_steps)
        proposed = self._stepped(after, Step(self.w, factor.solve(after, self.w, gone), gone))
        spent, before = proposed.account, self.account
        cost = spent.solve_error - before.solve_error if spent.needs_facts else spent.beta - before.beta
        return replace(proposed, factor=factor, drift=self.drift + max(0.0, cost))

    def corrected(self, target: float) -> CertifiedColumn:
        """The column stepped on until its residual norm is at most ``target``; its gradient is known."""
        assert self.gradient is not None
        found = correct(self.problem, self.w, self.gradient, self.factor, target, int(self.drift))
        account = replace(self.account, beta=self.problem.certified(found.w, found.gradient))
        return CertifiedColumn(
            self.problem, found.w, account, self.spectral, found.factor, found.gradient, found.extra_steps
        )

    def measured(self) -> CertifiedColumn:
        """Replace the accumulated bound by the measured residual."""
        gradient = self.problem.gradient(self.w) if self.gradient is None else self.gradient
        account = self.account.anchored(self.problem.certified(self.w, gradient))
        return replace(self, gradient=gradient, account=account)

    def settled(self, update: str, target: float) -> CertifiedColumn:
        """Make a released column ready for the next request: too costly a factor is rebuilt."""
        if update == "fresh" and self.drift > EXTRA_STEPS:
            return replace(self, factor=build_factor(self.problem, self.w), drift=0.0)
        if update == "frozen" and self.drift > target:  # what its solves miss is charged: built in float64
            return replace(self, factor=self._exact(), drift=0.0)
        return self

    def resolved(self, problem: LogisticProblem, fit: Fit, spectral: float, update: str) -> CertifiedColumn:
        """Return the column as one that was trained, from zero and with its b, on the rows that stay alone.

        ``fit`` is that training of ``problem``, ``spectral`` the bound on ||X||_2 of its rows. It is brought
        to where rounding ends it, and measured; nothing here but b, the epoch and what is promised was there
        before. Weights that start where a departed row has led them keep its traces in their last bits:
        enough for those who have a guess at the row to have it confirmed.
        """
        if fit.report.gradient_norm > problem.rounding(fit.w):
            fit = train(problem, problem.rounding(fit.w), start=fit.w, factor=fit.factor)
        factor = fit.factor if update == "fresh" else fit.factor_here(problem)
        account = replace(self.account, beta=problem.certified(fit.w, fit.gradient), solve_error=0.0)
        return CertifiedColumn(problem, fit.w, account, spectral, factor, fit.gradient)

    def folded(self) -> CertifiedColumn:
        """The same column, which holds no row that has left by itself; sums of them it may."""
        return self

    def state(self) -> State:
        """What a column has beyond problem and weights."""
        state = State({}, {key: getattr(self.account, key) for key in ("beta", "epoch", "solve_error")})
        state.values |= {"spectral": None if np.isinf(self.spectral) else self.spectral, "drift": self.drift}
        own = self.factor.state()
        state.values |= own.values
        state.arrays |= own.arrays
        if self.gradient is not None:
            state.arrays["gradient"] = self.gradient
        return state

    @classmethod
    def loaded(cls, column: WeightColumn, account: Account, state: State) -> CertifiedColumn:
        """Return ``column`` with what ``state`` holds; ``account`` brings guarantee and certificate.

        Raises:
            DataError: An array is missing, or of another form.
            InvalidValue: So is a value.
        """
        arrays, values, d = state.arrays, state.values, column.problem.rows.dim
        account = replace(
            account,
            beta=require_from_zero("beta", values["beta"]),
            epoch=require_count("epoch", values["epoch"], least=0),
            solve_error=require_from_zero("solve_error", values["solve_error"]),
        )
        spectral = values["spectral"]
        spectral = inf if spectral is None else require_positive("spectral", spectral)
        factor = (Iterative if column.problem.iterative else Factor).loaded(state, d)
        gradient = array_of(arrays, "gradient", np.float64, (d,)) if "gradient" in arrays else None
        drift = require_finite("drift", values["drift"])
        return cls(column.problem, column.w, account, spectral, factor, gradient, drift)

    def require_held(self) -> None:
        """Measure the gradient once, over the rows that stay, and what else is believed of them.

        The bound is on the true norm, and what is measured is off by ``rounding`` at most; so nothing that
        was true is refused, whatever computed it. ``gradient``, where it is kept, was measured likewise.
        A bound on ||X||_2 is compared with what a few products find: nearly the norm, and never more.

        Raises:
            DataError: The bound does not hold; what was measured and what is recorded are said.
        """
        gradient, off = self.problem.gradient(self.w), 2 * self.problem.rounding(self.w)
        measured, most = norm_up(gradient), _LAST_BITS * sum_up(self.account.beta, off)
        if not measured <= most:
            found = f"the gradient over the rows that stay has norm {measured:.6g}"
            raise DataError(f"{found}, and what is recorded as its bound is {self.account.beta:.6g}")
        if self.gradient is not None and not length_up(gradient - self.gradient) <= 2 * off:
            away = length_up(gradient - self.gradient)
            raise DataError(f"the gradient over the rows that stay is {away:.6g} from the one recorded")
        if self.account.needs_facts and isfinite(self.spectral):
            least = self._spectral_found()
            if not least <= _LAST_BITS * self.spectral:
                found = f"the norm of the rows that stay is {least:.6g} or more"
                raise DataError(f"{found}, and what is recorded as its bound is {self.spectral:.6g}")

    def _spectral_found(self) -> float:
        """A lower bound on ||X||_2 by a few power iterations, each a pass."""
        ones = LossCurvature(self.problem.rows, np.ones(len(self.problem.rows)), 0.0)
        along, least = SystemNoise().normal(size=self.problem.rows.dim), 0.0
        for _ in range(_PRODUCTS):
            along = along / np.linalg.norm(along)
            along, scores, _ = ones.along(along)
            least = max(least, scores)
            if not along.any():
                break
        return least

    def _exact(self) -> Solver:
        """A solver whose own error is no more than rounding."""
        if self.problem.iterative:
            return Iterative.at(self.problem, self.w)
        return inverted(self.problem.hessian(self.w), self.problem.lam)

    def _stepped(
        self, after: LogisticProblem, step: Step, curvature: LossCurvature | None = None
    ) -> CertifiedColumn:
        """Charge one Newton step for the removed gradient (``fresh`` and ``frozen``)."""
        proposed = replace(self, problem=after, w=step.w, gradient=None)
        if self.account.needs_facts:
            facts = self._facts(after, step, aims_at_residual=False, curvature=curvature)
            return replace(proposed, account=self.account.after(facts))
        gradient = after.gradient(step.w)
        beta = after.certified(step.w, gradient)
        return replace(proposed, gradient=gradient, account=replace(self.account, beta=beta))

    def _corrected(
        self, after: LogisticProblem, index: NDArray[np.int64], factor: Solver, target: float
    ) -> CertifiedColumn:
        """Steps for the removed gradient and the measured residual together."""
        assert self.gradient is not None
        gradient = self.gradient - self.problem.removed_gradient(self.w, index)
        found = correct(after, self.w, gradient, factor, target, int(self.drift))
        beta = after.certified(found.w, found.gradient)
        account = replace(self.account, beta=beta)
        if self.account.needs_facts and found.last is not None:
            account = self.account.after(self._facts(after, found.last, aims_at_residual=True))
        kept = self.spectral, found.factor, found.gradient, found.extra_steps
        return CertifiedColumn(after, found.w, account, *kept)

    def _facts(
        self,
        after: LogisticProblem,
        step: Step,
        aims_at_residual: bool,
        curvature: LossCurvature | None = None,
    ) -> StepFacts:
        """What the certificate needs to know; ``curvature`` is that at the step's origin, where known."""
        along, scores, squared = (curvature or after.curvature(step.origin)).along(step.step)
        corrects = step.origin is not self.w  # a later step of one request: the rows have left already
        removed = 0 if corrects else self.problem.n - after.n
        of_rhs = self.problem.errors.of_removed(self.w, removed)
        if aims_at_residual:  # which is the gradient over the rows that were there when it was measured
            of_rhs += (after if corrects else self.problem).errors.of_gradient(step.origin)
        charged = of_rhs + after.errors.of_step(step.origin, step.step, step.rhs)
        return StepFacts(
            removed=removed,
            retained=after.n,
            lam=after.lam,
            residual=float(np.linalg.norm(step.rhs)) if corrects else self.account.beta,
            aims_at_residual=aims_at_residual,
            perturbation_norm=float(np.linalg.norm(after.b)),
            spectral=self.spectral,
            step_norm=float(np.linalg.norm(step.step)),
            scores_norm=scores,
            scores_squared_norm=squared,
            tau=float(np.linalg.norm(along - step.rhs)),
            # The gradient's own at both ends is more, unless a large share of the rows left.
            rounding=max(after.rounding(step.origin), charged) + after.rounding(step.w),
        )
