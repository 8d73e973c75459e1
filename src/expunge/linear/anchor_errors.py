"""What float64 takes from an anchor's gradient and matrices: bounds known beforehand, carried along.

u = 2^-53; the analysis is that of ``expunge.linear.rounding``. Norms of matrices are bounded by their
Frobenius norms, and those of C and T of N rows by their traces, N / 4 and c3 N. Rows that count less than 1
have one rounding more, for which ``_EVALUATED`` and ``_OF_ENTRY`` have room.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from expunge.certificate.bounds import THIRD_DERIVATIVE
from expunge.linear.logistic import LogisticProblem
from expunge.linear.rounding import OUTWARD, length_up
from expunge.linear.rows import BLOCK_ROWS, UNIT, Array

_SLOPE, _BEND = 0.25, THIRD_DERIVATIVE  # largest second and third derivative
_OF_SLOPE, _OF_BEND = THIRD_DERIVATIVE, 0.125  # largest of what they change by with the score
_EVALUATED = 8.0  # u that evaluating either is off by at most: a few units in the last place of a quarter
_OF_ENTRY = 24  # roundings of an entry of a weighted row, twice, and some to spare
_U = OUTWARD * UNIT


@dataclass(frozen=True)
class Forms:
    """What the quadratic forms ``p^T C p`` and ``p^T T p`` may be off by."""

    curvature: float
    third: float


@dataclass(frozen=True)
class AnchorErrors:
    """Bounds on the errors of r (2-norm), C and T (spectral norm); ``dim`` is d.

    A row as the model takes it is its stored numbers times a scale, and (d / 2 + 3) u from normalised: that
    is in here.
    """

    dim: int
    gradient: float
    curvature: float
    third: float

    @classmethod
    def measured(cls, problem: LogisticProblem, w: Array, parts: int) -> AnchorErrors:
        """Those of sums over the rows of ``problem``, of blocks of ``BLOCK_ROWS`` in so many parts."""
        depth = BLOCK_ROWS + problem.rows.places / (parts * BLOCK_ROWS) + parts
        none = cls(problem.rows.dim, problem.rounding(w), 0.0, 0.0)
        return none._with_rows(problem.n, length_up(w), depth)

    def after(self, lam: float, w: Array, m: int, before: Array, after: Array) -> AnchorErrors:
        """Those once m rows have left in one sum, and the gradient ``before`` has become ``after``."""
        length = length_up(w)
        depth = m + 16 + 0.55 * self.dim
        removed = m * ((self.dim + 8) * length / 4 + depth + 8 * lam * length)
        subtracted = 4 * (length_up(before) + length_up(after)) + 4 * lam * m * length
        left = replace(self, gradient=self.gradient + _U * (removed + subtracted))
        return left._with_rows(m, length, 0.0)

    def folded(self, made: int, k: int) -> AnchorErrors:
        """Those once the k rows that have left of ``made`` are taken from the matrices."""
        taken = _U * (made + (k + 8.0) * k)
        return replace(self, curvature=self.curvature + _SLOPE * taken, third=self.third + _BEND * taken)

    def of_forms(self, made: int, k: int, length: float) -> Forms:
        """What the quadratic forms at a step of this length may be off by."""
        evaluated = _U * (2 * self.dim + k + _OF_ENTRY) * (made + k)
        squares = OUTWARD * length**2
        return Forms(
            squares * (self.curvature + _SLOPE * evaluated), squares * (self.third + _BEND * evaluated)
        )

    def of_model(self, made: int, k: int, lam: float, anchor: float, gradient: float, length: float) -> float:
        """What the misfit of a step, and the model that it leads to, add to the norm of the gradient.

        Args:
            made: Rows that the matrices are of.
            k: Rows that have left since.
            lam: Regularisation per example.
            anchor: ||w_a||.
            gradient: ||r||.
            length: ||p||.
        """
        product = (self.dim + k + _OF_ENTRY) * (made + k) * _SLOPE + 8 * lam * made
        moved = (_SLOPE + lam) * made * (anchor + length)  # w_a + p is rounded
        evaluated = _U * (product * length + 8 * gradient + 2 * moved)
        return OUTWARD * (self.gradient + self.curvature * length + evaluated)

    def _with_rows(self, m: int, length: float, depth: float) -> AnchorErrors:
        """Those with what the derivatives of m more rows at a w of this length are off by."""
        score = (1.5 * self.dim + 11) * length  # that of the scale is in it
        row = depth + self.dim + _OF_ENTRY
        return replace(
            self,
            curvature=self.curvature + _U * m * (_SLOPE * row + _OF_SLOPE * score + _EVALUATED),
            third=self.third + _U * m * (_BEND * row + _OF_BEND * score + _EVALUATED),
        )
