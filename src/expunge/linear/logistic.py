"""The perturbed logistic loss and its derivatives over the rows that remain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from expunge.linear import kernels
from expunge.linear.parallel import for_each, one_blas_thread
from expunge.linear.rows import BLOCK_ROWS, Array, Rows

_HESSIAN_BLOCK = 2048  # rows widened at a time
_PARTS_BELOW = 1024  # features up to which four partial Hessians are small beside the rows
_UNIT = 2.0**-53


@dataclass(frozen=True)
class LogisticProblem:
    """``L_b(w; D) = sum_i log(1 + exp(-y_i x_i.w)) + (lam n / 2) ||w||^2 + b.w`` (a **sum** over rows).

    Attributes:
        rows: x_i with ||x_i|| <= 1; n counts those not removed.
        y: (len(rows),) float64 labels, -1 or +1.
        lam: Regularisation per example: it multiplies n.
        b: (d,) perturbation of the summed loss.

    Source: Guo et al., ICML 2020, section 3.
    """

    rows: Rows
    y: Array
    lam: float
    b: Array

    @property
    def n(self) -> int:
        """Rows that have not been removed."""
        return self.rows.count

    def without(self, index: Sequence[int] | NDArray[np.int64]) -> LogisticProblem:
        """Return the problem over the rows that stay."""
        return replace(self, rows=self.rows.without(index))

    def loss(self, w: Array) -> float:
        """L_b(w; D)."""
        kept = self.rows.scale != 0
        terms = np.logaddexp(0.0, -self.y[kept] * self.rows.scores(w)[kept])
        return float(terms.sum() + 0.5 * self.lam * self.n * (w @ w) + self.b @ w)

    def gradient(self, w: Array) -> Array:
        """``sum_i -y_i sigmoid(-y_i x_i.w) x_i + lam n w + b``, (d,); one pass over the stored rows."""
        (data,) = self.rows.reduce(kernels.gradient_block, (self.y, np.ascontiguousarray(w)), [self.rows.dim])
        return data + self.lam * self.n * w + self.b

    def removed_gradient(self, w: Array, index: Sequence[int] | NDArray[np.int64]) -> Array:
        """``g = sum over index of (d/dw log(1 + exp(-y_i x_i.w)) + lam w)``, (d,)."""
        chosen = np.asarray(index, dtype=np.int64)
        x, y = self.rows.dense(chosen), self.y[chosen]
        return -(y * expit(-y * (x @ w))) @ x + self.lam * len(chosen) * w

    def hessian(self, w: Array, dtype: Any = np.float64) -> NDArray[Any]:
        """``X^T diag(s (1 - s)) X + lam n I``, (d, d) in ``dtype`` (float64 or float32), symmetric."""
        scores = self.rows.scores(w)
        matrix = weighted_gram(self.rows, expit(scores) * expit(-scores), dtype)
        matrix[np.diag_indices(self.rows.dim)] += self.lam * self.n
        return matrix

    def curvature_along(self, w: Array, step: Array) -> tuple[Array, float, float]:
        """Return (H(w) step, ||X step||, ||(X step)^2||) in one pass over the stored rows."""
        args = (np.ascontiguousarray(w), np.ascontiguousarray(step))
        data, sums = self.rows.reduce(kernels.curvature_block, args, [self.rows.dim, 2])
        return data + self.lam * self.n * step, sqrt(sums[0]), sqrt(sums[1])

    def removed_factors(self, w: Array, index: Sequence[int] | NDArray[np.int64]) -> Array:
        """U, (m, d) with ``U^T U = sum over index of s_i (1 - s_i) x_i x_i^T``."""
        x = self.rows.dense(np.asarray(index, dtype=np.int64))
        scores = x @ w
        return np.sqrt(expit(scores) * expit(-scores))[:, None] * x

    def rounding(self, w: Array) -> float:
        """A-priori bound on the float64 error of ``gradient(w)`` in 2-norm.

        Standard forward analysis (Higham, Accuracy and Stability, section 3): a score is off by at most
        (d + 4) u ||w||, its slope is at most 1/4, and a blocked sum of N terms of norm at most 1 by N u each.
        """
        n, d, length = self.n, self.rows.dim, float(np.linalg.norm(w))
        blocked = BLOCK_ROWS + 16 + n / BLOCK_ROWS
        size = n + self.lam * n * length + float(np.linalg.norm(self.b))
        return _UNIT * (n * (d + 8) * length / 4 + blocked * n + 8 * size)


def weighted_gram(rows: Rows, weights: Array | None = None, dtype: Any = np.float64) -> NDArray[Any]:
    """``X^T diag(weights) X``, (d, d) symmetric; weights >= 0, None for all ones."""
    roots = None if weights is None else np.sqrt(weights)
    # A fixed number of partial sums: the result does not depend on the number of threads.
    parts = 4 if rows.dim <= _PARTS_BELOW else 2
    sums = np.zeros((parts, rows.dim, rows.dim), dtype=dtype)

    def add_up(k: int) -> None:
        part = range(rows.places * k // parts, rows.places * (k + 1) // parts, _HESSIAN_BLOCK)
        for block in rows.weighted_blocks(roots, part, dtype):
            # NumPy knows this product as symmetric (half the work) and lets other threads run meanwhile.
            sums[k] += block.T @ block

    with one_blas_thread():
        for_each(add_up, parts, rows.places * rows.dim)
    return sums.sum(axis=0)


def spectral_norm(gram: Array, n: int) -> float:
    """Upper bound on ||X||_2 from X^T X of n rows.

    The largest eigenvalue, plus what floating point can have hidden: summing n products is off by at most
    n u |X|^T |X|, whose norm is at most the trace, and the eigensolver by a small multiple of d u ||X^T X||.
    """
    largest = float(np.linalg.eigvalsh(gram)[-1])
    return sqrt(max(largest, 0.0) + 2 * _UNIT * (n + 8 * len(gram)) * float(np.trace(gram)))
