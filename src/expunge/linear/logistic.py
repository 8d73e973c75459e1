"""The perturbed logistic loss and its derivatives over the rows that remain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, nextafter, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from expunge.certificate.outward import norm_up, sum_up
from expunge.linear.given import BLOCK_ROWS, Array
from expunge.linear.operations import RowOperations
from expunge.linear.rounding import Rounding, length_up


@dataclass(frozen=True)
class LogisticProblem:
    """``L_b(w; D) = sum_i c_i log(1 + exp(-s_i x_i.w)) + (lam n / 2) ||w||^2 + b.w`` (a **sum** over rows).

    ||x_i|| <= 1, and n counts the rows not removed, whatever they count; y are (len(rows),) float64: the sign
    s_i of each is the label, its size c_i, in (0, 1], what the row counts (1 without weights). lam is per
    example: it multiplies n; b is the (d,) perturbation of the summed loss. ``iterative`` says that no
    matrix of d x d is to be made.

    Source: Guo et al., ICML 2020, section 3.
    """

    rows: RowOperations
    y: Array
    lam: float
    b: Array
    iterative: bool = False

    @property
    def n(self) -> int:
        """Rows that have not been removed."""
        return self.rows.count

    @property
    def sizes(self) -> Array | None:
        """What each row counts, (len(rows),), 0 for those not in use; None where all that are count 1."""
        there = self.rows.scale != 0
        sizes = np.where(there, np.abs(self.y), 0.0)
        return None if (sizes == there).all() else sizes

    def without(self, index: Sequence[int] | NDArray[np.int64]) -> LogisticProblem:
        """Return the problem over the rows that stay."""
        return replace(self, rows=self.rows.without(index))

    def loss(self, w: Array) -> float:
        """L_b(w; D)."""
        kept = self.rows.scale != 0
        y = self.y[kept]
        terms = np.abs(y) * np.logaddexp(0.0, -np.sign(y) * self.rows.scores(w)[kept])
        return float(terms.sum() + 0.5 * self.lam * self.n * (w @ w) + self.b @ w)

    def gradient(self, w: Array) -> Array:
        """``sum_i -y_i sigmoid(-s_i x_i.w) x_i + lam n w + b``, (d,); one pass over the stored rows."""
        return self.rows.gradient(self.y, w) + self.lam * self.n * w + self.b

    def removed_gradient(self, w: Array, index: Sequence[int] | NDArray[np.int64]) -> Array:
        """``g = sum over index of (c_i d/dw log(1 + exp(-s_i x_i.w)) + lam w)``, (d,)."""
        chosen = np.asarray(index, dtype=np.int64)
        parts = [chosen[start : start + BLOCK_ROWS] for start in range(0, max(1, len(chosen)), BLOCK_ROWS)]
        first, *others = (data_gradient(w, self.rows.part(part), self.y[part]) for part in parts)
        return sum(others, first) + self.lam * len(chosen) * w

    def hessian(self, w: Array, dtype: Any = np.float64) -> NDArray[Any]:
        """``X^T diag(c l2) X + lam n I``, (d, d) in ``dtype`` (float64 or float32), symmetric.

        l2 is the second derivative of the loss.
        """
        return self.curvature(w).matrix(dtype)

    def curvature(self, w: Array) -> LossCurvature:
        """The same matrix by its products; the sigmoids cost one pass over the stored rows."""
        return LossCurvature(self.rows, self.rows.slopes(self.y, w), self.lam * self.n)

    def removed_factors(self, w: Array, index: Sequence[int] | NDArray[np.int64]) -> Array:
        """U, (m, d) with ``U^T U = sum over index of c_i l2(x_i.w) x_i x_i^T``."""
        chosen = np.asarray(index, dtype=np.int64)
        x = self.rows.dense(chosen)
        scores = x @ w
        return np.sqrt(expit(scores) * expit(-scores) * np.abs(self.y[chosen]))[:, None] * x

    @property
    def errors(self) -> Rounding:
        """What its sums can be off by."""
        b = norm_up(self.b) if self.b.any() else 0.0  # of a release, which asks a thousand columns, it is 0
        return Rounding(self.n, self.rows.places, self.rows.dim, self.lam, b, self.rows.block)

    def rounding(self, w: Array) -> float:
        """A-priori bound on the float64 error of ``gradient(w)`` in 2-norm."""
        return self.errors.of_gradient(w)

    def certified(self, w: Array, gradient: Array) -> float:
        """Guaranteed bound on the true ||grad L_b(w)||_2, given what ``gradient(w)`` returned."""
        return sum_up(norm_up(gradient), self.rounding(w))


def certified_together(problems: Sequence[LogisticProblem], w: Array, gradient: Array) -> list[float]:
    """What ``certified`` says of each column, or a millionth more, (K,): upper bounds all the same.

    The problems are of the same rows; w and gradient are (K, d), a column a row. Rounding is that of the
    longest weights and of the longest b, with both of which it grows. One after the other a thousand columns
    take as long as two passes on a device.
    """
    longest = max(length_up(one) for one in w)
    errors = replace(problems[0].errors, b=max(length_up(problem.b) for problem in problems))
    off = errors.of_gradient_at(longest)
    return [nextafter(length_up(one) + off, inf) for one in gradient]


def data_gradient(w: Array, x: Any, y: Array) -> Array:
    """``sum_i -y_i sigmoid(-sign(y_i) x_i.w) x_i`` of rows x (m, d) with y (m,), (d,).

    x may be sparse; y are as in ``LogisticProblem``.
    """
    return np.asarray(-(y * expit(-np.sign(y) * (x @ w))) @ x)


@dataclass(frozen=True)
class LossCurvature:
    """``H(w) = X^T diag(slopes) X + ridge I`` at fixed weights; a product is one pass over the stored rows.

    slopes, (len(rows),), are c_i p_i (1 - p_i) with p_i = sigmoid(x_i.w), wherever the rows keep them; ridge
    is lam n.
    """

    rows: RowOperations
    slopes: Any
    ridge: float

    def matrix(self, dtype: Any = np.float64) -> NDArray[Any]:
        """H, (d, d) in ``dtype``."""
        matrix = self.rows.weighted_gram(self.slopes, dtype)
        matrix[np.diag_indices(self.rows.dim)] += self.ridge
        return matrix

    def times(self, step: Array) -> Array:
        """``H step``, (d,)."""
        return self.along(step)[0]

    def along(self, step: Array) -> tuple[Array, float, float]:
        """(H step, ||X step||, ||(X step)^2||), the square elementwise."""
        data, sums = self.rows.curved(self.slopes, step)
        return data + self.ridge * step, sqrt(sums[0]), sqrt(sums[1])
