"""A column of the certified head that serves removals without the rows that stay."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from math import inf

import numpy as np

from expunge.certificate import Account
from expunge.core.checks import require_from_zero
from expunge.core.errors import DataError
from expunge.core.files import State, under
from expunge.core.read_back import array_of, same
from expunge.linear.anchor import Anchor, Departing
from expunge.linear.anchor_errors import AnchorErrors
from expunge.linear.certified_column import CertifiedColumn, WeightColumn
from expunge.linear.factor import Factor, inverted
from expunge.linear.given import Array
from expunge.linear.logistic import LogisticProblem
from expunge.linear.removal import too_many
from expunge.linear.rounding import length_up
from expunge.linear.solver import Fit, train

_SOLVED = 2.0**-10  # of what the noise covers is what a solve may leave
_EVALUATED = 2.0**-20  # of a bound is more than evaluating it again can change
_UNKNOWN = Account(None, "measured", inf)


@dataclass(frozen=True)
class RowlessColumn(CertifiedColumn):
    """A column at ``w = anchor.w + step``: its gradient is bounded, not measured.

    Attributes:
        anchor: What is known of the loss nearby.
        step: (d,).
    """

    factor: Factor
    anchor: Anchor = field(kw_only=True)
    step: Array = field(kw_only=True)

    @classmethod
    def anchored(cls, problem: LogisticProblem, w: Array, covered: float) -> RowlessColumn:
        """Measure at ``w`` what is needed, and take the step that follows: a pass over the rows.

        ``covered`` is the norm that its gradient may have.
        """
        anchor = Anchor.of(problem, w)
        factor = inverted(anchor.hessian(), anchor.lam)
        column = cls(problem, w, _UNKNOWN, inf, factor, anchor=anchor, step=np.zeros_like(w))
        return column._solved(covered, rebuilt=True)

    def departed(self, after: LogisticProblem, departing: Departing, covered: float) -> RowlessColumn:
        """Propose the column without these rows, all of which it uses, by them alone.

        ``after`` is the loss over the rows that stay; none of them is looked at. What is proposed may be
        farther off than ``covered``: ``account`` has the bound.
        """
        anchor, factor = self.anchor.without(departing), self.factor
        try:
            if too_many(len(departing.y), anchor.dim):
                factor = Factor.of(anchor.hessian())
            else:
                factor = factor.without(anchor.removed_factors(departing), anchor.lam * len(departing.y))
        except np.linalg.LinAlgError:
            pass  # the old one is a poor inverse; what it leaves is in the bound
        return replace(self, problem=after, anchor=anchor, factor=factor)._solved(covered)

    def passed(self, covered: float) -> tuple[RowlessColumn, int]:
        """Return the column anchored where it is, and how often the rows were passed through for it."""
        column = self.anchored(self.problem, self.w, covered)
        if column.account.beta <= covered:
            return column, 1
        # too far for a single step: to the minimum by as many as it takes
        fit = train(self.problem, covered / 2, start=self.w, factor=column.factor)
        return self.anchored(self.problem, fit.w, covered), 2 + fit.report.iterations

    def resolved(self, problem: LogisticProblem, fit: Fit, spectral: float, update: str) -> RowlessColumn:
        """Return the column as one that was trained on the rows that stay alone; see ``CertifiedColumn``."""
        return self.anchored(problem, fit.w, problem.rounding(fit.w))

    def folded(self) -> RowlessColumn:
        """The same column, which holds no row that has left by itself; sums of them it does."""
        anchor = self.anchor.folded()
        return replace(self, anchor=anchor, factor=inverted(anchor.hessian(), anchor.lam))._solved(
            0.0, rebuilt=True
        )

    def state(self) -> State:
        """What a column has beyond problem and weights."""
        state, anchor = super().state(), self.anchor.folded()
        arrays = anchor.arrays() | {"step": self.step}
        state.arrays |= {f"anchor.{key}": array for key, array in arrays.items()}
        state.values |= {"anchored_rows": anchor.n, "errors": asdict(anchor.errors)}
        return state

    @classmethod
    def loaded(cls, column: WeightColumn, account: Account, state: State) -> RowlessColumn:
        """Return ``column`` with what ``state`` holds; ``account`` brings guarantee and certificate.

        Raises:
            DataError: Its weights are not those of anchor and step.
        """
        known, problem = CertifiedColumn.loaded(column, account, state), column.problem
        assert isinstance(known.factor, Factor)
        d, arrays = problem.rows.dim, under(state.arrays, "anchor.")
        for name in ("w", "gradient", "step"):
            array_of(arrays, name, np.float64, (d,))
        for name in ("curvature", "third"):
            array_of(arrays, name, np.float64, (d, d))
        errors = AnchorErrors(**state.values["errors"])
        for name, value in asdict(errors).items():
            require_from_zero(f"errors.{name}", value)
        same("errors.dim", errors.dim, d)
        same("anchored_rows", state.values["anchored_rows"], problem.n)
        anchor = Anchor.known(problem.lam, problem.n, errors, arrays)
        if not np.array_equal(column.w, anchor.w + arrays["step"]):
            raise DataError("the state is damaged: its weights are not where anchor and step lead")
        own = (known.problem, known.w, known.account, known.spectral, known.factor)
        loaded = cls(*own, anchor=anchor, step=arrays["step"])
        loaded._require_bound()
        return loaded

    def _require_bound(self) -> None:
        """See that what is known at the anchor bounds the gradient as recorded, up to roundings.

        Raises:
            DataError: It does not.
        """
        anchor, step = self.anchor, self.step
        bound = anchor.bound(step, anchor.misfit(step))
        sizes = (length_up(part) for part in (anchor.w, anchor.gradient, step))
        off = anchor.errors.of_model(anchor.made, 0, anchor.lam, *sizes)
        if not bound <= 2 * off + (1 + _EVALUATED) * self.account.beta:
            found = f"what is known at the anchor bounds the gradient by {bound:.6g}"
            raise DataError(f"{found}, and what is recorded as its bound is {self.account.beta:.6g}")

    def require_held(self) -> None:
        """Measure the gradient once, over the rows that stay, and once more what is known at the anchor.

        Raises:
            DataError: The bound, or what it rests on, does not hold.
        """
        super().require_held()
        self.anchor.require_held(self.problem)

    def _solved(self, covered: float, rebuilt: bool = False) -> RowlessColumn:
        """The column at the minimum of what is known, as far as that is worth it, and its bound.

        ``rebuilt`` says that the kept inverse is as good as they are.
        """
        enough, factor = covered * _SOLVED, self.factor
        step, misfit = self.anchor.solved(factor, self.step, enough)
        if not (rebuilt or np.linalg.norm(misfit) <= enough):
            try:
                factor = Factor.of(self.anchor.hessian())
                step, misfit = self.anchor.solved(factor, step, enough)
            except np.linalg.LinAlgError:
                pass  # as above
        beta = self.anchor.bound(step, misfit)
        if not beta <= covered:  # the minimum may be farther than what is known reaches, and need not be met
            stay = np.zeros_like(step)
            if (there := self.anchor.bound(stay, self.anchor.gradient)) < beta:
                step, beta = stay, there
        account = replace(self.account, beta=beta)
        return replace(self, w=self.anchor.w + step, step=step, factor=factor, account=account)
