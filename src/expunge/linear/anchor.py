"""Removals between two passes over the data: everything that is known of the loss at one point.

At an anchor w_a the gradient r, the curvature ``C = sum_i c_i l2(t_i) x_i x_i^T`` and
``T = sum_i c_i |l3(t_i)| x_i x_i^T`` of the rows that stay are kept (t_i = x_i.w_a, lk the k-th derivative of
the loss, c_i in (0, 1] what the row counts). A row that leaves takes its own part along, which needs no other
row. The model is ``w = w_a + p``, where ``(C + lam n I) p = -r`` is solved as well as need be, and

    ||grad L(w)|| <= ||r + (C + lam n I) p|| + beyond_anchor(p^T T p, p^T C p, ||p||) + roundings.

Nothing adds up over requests: the bound is that of one step from the anchor, however many led there. It costs
``O(d^2 + m d)`` for m rows, and ``O(m d^2)`` where 33 or more have gathered and are taken from the matrices:
at most ``O(d^2)`` a row, whatever n is. The usual ``||X||_2^2 ||p||^2`` times the largest third derivative is
some hundred times as much on images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf, isfinite

import numpy as np
from scipy.linalg.blas import dsymv

from expunge.certificate.bounds import beyond_anchor
from expunge.certificate.outward import norm_up, sum_up
from expunge.core.errors import DataError
from expunge.core.seeds import SystemNoise
from expunge.linear.anchor_errors import AnchorErrors
from expunge.linear.cuts import Cut, parts_of
from expunge.linear.factor import FOLD_RANK, Factor
from expunge.linear.given import BLOCK_ROWS, Array
from expunge.linear.logistic import LogisticProblem, data_gradient
from expunge.linear.operations import UNIT, DenseRows
from expunge.linear.parallel import one_blas_thread
from expunge.linear.passes import ANCHORED, derivatives, sized_blocks
from expunge.linear.rounding import OUTWARD, length_up

_REFINED = 6  # solves at most
_SLOW = 0.5  # contraction above which another solve is not worth it


@dataclass(frozen=True)
class Departing:
    """Rows that leave, as the model sees them: ``x`` (m, d) with norms of at most 1.

    ``y`` (m,) are as in ``LogisticProblem``: the label is the sign, the size is what the row counts.
    """

    x: Array
    y: Array


@dataclass(frozen=True)
class Anchor:
    """What is known of the loss of one column, without b, at ``w``, over the ``n`` rows that stay.

    Immutable. ``curvature`` and ``third``, (d, d), are of ``made`` rows; those of them that have left since,
    ``gone`` (k, d) with the derivatives ``slopes`` c l2 and ``bends`` c |l3|, (k,), are to be subtracted.

    Attributes:
        w: (d,). gradient: (d,), r.
        lam: Regularisation per example.
        errors: What r, C and T may be off by.
    """

    w: Array
    lam: float
    n: int
    gradient: Array
    curvature: Array
    third: Array
    made: int
    errors: AnchorErrors
    gone: Array
    slopes: Array
    bends: Array

    @classmethod
    def of(cls, problem: LogisticProblem, w: Array) -> Anchor:
        """Measure: a pass over the rows, which are read twice."""
        gradient = problem.gradient(w)
        assert isinstance(problem.rows, DenseRows)  # nobody else has two matrices of d x d to keep
        curvature, third = _matrices(problem.rows, problem.y, w)
        errors = AnchorErrors.measured(problem, w, parts_of(len(w)))
        known = w, problem.lam, problem.n, gradient, curvature, third, problem.n, errors
        return cls(*known, np.empty((0, len(w))), np.empty(0), np.empty(0))

    def without(self, departing: Departing) -> Anchor:
        """Return the same point once these rows have left, by them alone.

        They leave in blocks of ``BLOCK_ROWS``: the roundings of like rows in a single sum add up with their
        number, and many rows are not copied as a whole.
        """
        left, x, y = self, departing.x, departing.y
        for start in range(0, len(y), BLOCK_ROWS):
            part = slice(start, start + BLOCK_ROWS)
            left = left._without(Departing(x[part], y[part]))
        return left

    def _without(self, departing: Departing) -> Anchor:
        x, m = departing.x, len(departing.y)
        slopes, bends = derivatives(x @ self.w, np.abs(departing.y))
        gradient = self.gradient - data_gradient(self.w, x, departing.y) - self.lam * m * self.w
        left = replace(
            self,
            n=self.n - m,
            gradient=gradient,
            gone=np.vstack([self.gone, x]),
            slopes=np.concatenate([self.slopes, slopes]),
            bends=np.concatenate([self.bends, bends]),
            errors=self.errors.after(self.lam, self.w, m, self.gradient, gradient),
        )
        return left.folded() if len(left.slopes) > FOLD_RANK else left

    @property
    def dim(self) -> int:
        """Number of features d."""
        return len(self.w)

    def removed_factors(self, departing: Departing) -> Array:
        """U, (m, d) with ``U^T U = sum over these rows of c_i l2(t_i) x_i x_i^T``."""
        slopes, _ = derivatives(departing.x @ self.w, np.abs(departing.y))
        return np.asarray(np.sqrt(slopes)[:, None] * departing.x)

    def folded(self) -> Anchor:
        """Return the same with the rows that have left in the matrices: none of them is kept."""
        if not len(self.slopes):
            return self
        roots = np.sqrt(self.slopes)[:, None] * self.gone, np.sqrt(self.bends)[:, None] * self.gone
        curvature, third = (
            np.asfortranarray(matrix - root.T @ root)
            for matrix, root in zip((self.curvature, self.third), roots, strict=True)
        )
        return replace(
            self,
            curvature=curvature,
            third=third,
            made=self.made - len(self.slopes),
            errors=self.errors.folded(self.made, len(self.slopes)),
            gone=self.gone[:0],
            slopes=self.slopes[:0],
            bends=self.bends[:0],
        )

    def hessian(self) -> Array:
        """``C + lam n I``, (d, d)."""
        matrix: Array = np.array(self.folded().curvature)
        matrix[np.diag_indices(len(self.w))] += self.lam * self.n
        return matrix

    def misfit(self, step: Array) -> Array:
        """``r + (C + lam n I) step``, (d,)."""
        return self.gradient + self._times(self.curvature, self.slopes, step) + self.lam * self.n * step

    def solved(self, factor: Factor, step: Array, enough: float) -> tuple[Array, Array]:
        """Return the step that solves for the minimum, from one nearby, and its misfit.

        ``factor`` inverts the Hessian, well or badly; refinement ends where the misfit's norm is at most
        ``enough``, or comes down no more.
        """
        misfit = self.misfit(step)
        size = _norm(misfit)
        for _ in range(_REFINED):
            if size <= enough:
                break
            there = step - factor.nearby(misfit)
            left = self.misfit(there)
            new_size, before = _norm(left), size
            if new_size < size:
                step, misfit, size = there, left, new_size
            if not new_size <= _SLOW * before:
                break
        return step, misfit

    def bound(self, step: Array, misfit: Array) -> float:
        """Guaranteed bound on ``||grad L(w_a + step)||_2``, the sum taken in float64; infinity for NaN."""
        length, k, errors = length_up(step), len(self.slopes), self.errors
        curvature = float(step @ self._times(self.curvature, self.slopes, step))
        third = float(step @ self._times(self.third, self.bends, step))
        if not isfinite(length + curvature + third):
            return inf
        off = errors.of_forms(self.made, k, length)
        remainder = beyond_anchor(max(0.0, third) + off.third, max(0.0, curvature) + off.curvature, length)
        charged = errors.of_model(self.made, k, self.lam, length_up(self.w), length_up(self.gradient), length)
        return sum_up(norm_up(misfit), OUTWARD * remainder, charged)

    def arrays(self) -> dict[str, Array]:
        """What a state holds of one that is folded."""
        return {key: getattr(self, key) for key in ("w", "gradient", "curvature", "third")}

    @classmethod
    def known(cls, lam: float, n: int, errors: AnchorErrors, arrays: Mapping[str, Array]) -> Anchor:
        """Return the anchor with these ``arrays``."""
        curvature, third = (np.asfortranarray(arrays[key]) for key in ("curvature", "third"))
        w, none = arrays["w"], np.empty(0)
        known = w, lam, n, arrays["gradient"], curvature, third, n, errors
        return cls(*known, np.empty((0, len(w))), none, none)

    def require_held(self, problem: LogisticProblem) -> None:
        """Measure r, and C and T along a random direction, over the rows of ``problem``: two passes.

        An error in a matrix shows along almost every direction. What is allowed are the errors that r, C and
        T are known to have, those of measuring likewise, and those of a product with a matrix.

        Raises:
            DataError: One of them is not that of these rows.
        """
        w, errors, rows = self.w, self.errors, problem.rows
        along = SystemNoise().normal(size=self.dim)
        along /= np.linalg.norm(along)
        assert isinstance(rows, DenseRows)
        sums, sizes = np.zeros((2, self.dim)), np.abs(problem.y)
        with one_blas_thread():
            for block, own in sized_blocks(rows, sizes, range(0, rows.places, BLOCK_ROWS)):
                moved = block @ along
                for into, weights in zip(sums, derivatives(block @ w, own), strict=True):
                    into += (weights * moved) @ block
        again = AnchorErrors.measured(problem, w, 1)
        product = 4 * OUTWARD * UNIT * (2 * self.dim + 64) * problem.n
        matrices = (self.curvature, self.slopes), (self.third, self.bends)
        curved, bent = (self._times(*own, along) for own in matrices)
        for name, off, most in (
            ("gradient", problem.gradient(w) - self.gradient, errors.gradient + again.gradient),
            ("curvature", sums[0] - curved, errors.curvature + again.curvature + product),
            ("third", sums[1] - bent, errors.third + again.third + product),
        ):
            if not length_up(off) <= 2 * most:
                raise DataError(f"anchor.{name}: is {length_up(off):.6g} from that of the rows that stay")

    def _times(self, matrix: Array, weights: Array, step: Array) -> Array:
        product: Array = dsymv(1.0, matrix, step, lower=1)
        return product - self.gone.T @ (weights * (self.gone @ step)) if len(weights) else product


def _matrices(rows: DenseRows, y: Array, w: Array) -> tuple[Array, Array]:
    """C and T at ``w`` of rows that count ``|y|`` (n,), (d, d) each; every row is read once."""
    (sums,) = rows.partial_sums(ANCHORED, Cut("parts", parts_of(rows.dim)), (y,), w)
    curvature, third = sums.sum(axis=0)
    return curvature.T, third.T  # symmetric: so they are in Fortran's order without a copy


def _norm(vector: Array) -> float:
    return float(np.linalg.norm(vector))
