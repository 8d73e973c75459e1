"""The gradient of the loss over the rows that stay, with a bound on what arithmetic has done to it.

``grad L_k(w) = -sum_i c_i y_ik x_i / (1 + exp(y_ik x_i.w)) + lam n_k w + b`` for each column k; w and b
are (d, K), and c_i in (0, 1] is what the row counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, partial
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.verify.exact import least_above, norm_above, root_below
from expunge.verify.rows import BLOCK, Columns, Extended, Table
from expunge.verify.sparse import conjugate_gradients

EPS = float(np.finfo(Extended).eps)
_FLOAT = 2.0**-52
_SECOND_ORDER = 1.01
_LONGEST = 1 + 1e-9  # how far over 1 the norm of a row that was scaled may be

_SOLVED, _PRODUCTS = 1e-8, 1000  # of a step of Newton's method, by conjugate gradients

Tick = Callable[[int], Any]
Solve = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Loss:
    """The K losses: rows, columns, lam, and b (d, K)."""

    table: Table
    columns: Columns
    lam: float
    b: NDArray[np.float64]
    tick: Tick = lambda rows: None

    def gradient(self, w: NDArray[np.float64]) -> Gradient:
        """Measured with the longest mantissa that there is."""
        wide = w.astype(Extended)
        total = np.zeros(w.shape, dtype=Extended)
        for ids in self.columns.blocks():
            x, signs = self.table.extended(ids), self.columns.signs(ids).astype(Extended)
            slopes = self.columns.counting(ids, _slopes(x @ wide, signs))
            total += (np.ascontiguousarray(slopes.T) @ x).T
            self.tick(len(ids))
        total += np.array(self.strengths, dtype=Extended) * wide + self.b.astype(Extended)
        return Gradient(total, [self.error(w[:, k], k, EPS) for k in range(w.shape[1])])

    @property
    def strengths(self) -> list[Any]:
        """``lam n_k``, by which each loss is strongly convex."""
        return [Extended(self.lam) * n for n in self.columns.counts]

    def error(self, w: NDArray[np.float64], k: int, eps: float) -> float:
        """Bound on the 2-norm of what arithmetic of precision ``eps`` does to column k of the gradient.

        Of rows of norm at most 1: a row is off by (d/2 + 8) eps, a score by (3 d / 2 + 16) eps ||w||, its
        sigmoid by a quarter of that and 8 eps, and eps more where rows count less than 1; summing blocks of m
        rows, B of them, costs (m + B) eps a term.
        """
        n, d = self.columns.counts[k], self.table.dim
        length, b = norm_above(w.tolist()), norm_above(self.b[:, k].tolist())
        a_term = (1.5 * d + 16) * length / 4 + d / 2 + 20 + BLOCK + len(self.columns.ids) / BLOCK
        a_term += self.columns.weights is not None
        return _SECOND_ORDER * _LONGEST * eps * (n * a_term + 8 * (self.lam * n * length + b))

    def float_error(self, w: NDArray[np.float64]) -> float:
        """What a pass in float64, in blocks of any size and in any order, may be off by, all columns."""
        n = max(self.columns.counts)
        parts = [self.error(w[:, k], k, _FLOAT) + _FLOAT * n * n for k in range(w.shape[1])]
        return norm_above(parts)

    def quick(self, w: NDArray[np.float64]) -> NDArray[np.float64]:
        """The gradient in float64, (d, K)."""
        total = np.zeros_like(w)
        for ids in self.columns.blocks():
            x, signs = self.table.doubles(ids), self.columns.signs(ids)
            total += x.T @ self.columns.counting(ids, _slopes(x @ w, signs))
            self.tick(len(ids))
        return np.asarray(total + np.array(self.strengths, dtype=np.float64) * w + self.b)

    def solvers(self, w: NDArray[np.float64], which: list[int]) -> dict[int, Solve]:
        """What solves with the Hessians of some columns at ``w``, in float64."""
        if self.table.is_sparse:
            return {k: self._iterated(w[:, k], k) for k in which}
        return {k: partial(np.linalg.solve, hessian) for k, hessian in self.hessians(w, which).items()}

    def _iterated(self, w: NDArray[np.float64], k: int) -> Solve:
        """Conjugate gradients, which need the Hessian's products and its diagonal alone."""
        x, signs = self._all_rows
        strength = float(self.strengths[k])
        half = np.exp(-np.abs(x @ w))
        shares = self.columns.counting(self.columns.ids, np.abs(signs[:, k : k + 1]))[:, 0]
        weights = shares * half / (1 + half) ** 2
        diagonal = x.squared.T @ weights + strength

        def times(v: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray(x.T @ (weights * (x @ v)) + strength * v)

        return lambda rhs: conjugate_gradients(times, diagonal, rhs, _SOLVED, _PRODUCTS)

    @cached_property
    def _all_rows(self) -> tuple[Any, NDArray[np.float64]]:
        return self.table.doubles(self.columns.ids), self.columns.signs(self.columns.ids)

    def hessians(self, w: NDArray[np.float64], which: list[int]) -> dict[int, NDArray[np.float64]]:
        """``X^T diag(s (1 - s)) X + lam n_k I`` of some columns, (d, d) each, in float64."""
        strengths = [float(strength) for strength in self.strengths]
        found = {k: strengths[k] * np.eye(self.table.dim) for k in which}
        for ids in self.columns.blocks():
            x, signs = self.table.doubles(ids), self.columns.signs(ids)
            with np.errstate(over="ignore"):
                half = np.exp(-np.abs(x @ w))
            weights = self.columns.counting(ids, np.abs(signs)) * half / (1 + half) ** 2
            for k in which:
                rows = np.sqrt(weights[:, k])[:, None] * x
                found[k] += rows.T @ rows
            self.tick(len(ids))
        return found


@dataclass(frozen=True)
class Gradient:
    """What was measured, (d, K), and how far each column may be from the truth, in 2-norm."""

    value: NDArray[Any]
    errors: list[float]

    @property
    def norms(self) -> list[tuple[Fraction, Fraction]]:
        """What the norm of each column is at least, and at most."""
        found = []
        for column, error in zip(self.value.T, self.errors, strict=True):
            if not np.isfinite(length := _norm(column)) or not isfinite(error):
                raise OverflowError("the gradient is no number")
            norm, off = Fraction(length), Fraction(error)
            slack = norm * Fraction(len(column) + 8) * Fraction(max(EPS, _FLOAT))
            found.append((max(Fraction(0), norm - slack - off), norm + slack + off))
        return found

    @property
    def joint(self) -> tuple[float, float]:
        """The same of all columns together."""
        low, high = zip(*self.norms, strict=True)
        squares = sum((part**2 for part in low), Fraction(0))
        return root_below(squares), norm_above(map(least_above, high))

    def distance(self, lam: float, counts: list[int]) -> float:
        """What all columns together can be from their minimisers: ``||grad_k|| / (lam n_k)``, rounded up."""
        pairs = zip(self.norms, counts, strict=True)
        return norm_above(least_above(high / (Fraction(lam) * n)) for (_, high), n in pairs)


def _norm(column: NDArray[Any]) -> float:
    peak = np.abs(column).max()
    if not np.isfinite(peak) or peak == 0:
        return float(peak)
    scaled = column / peak
    return float(peak * np.sqrt((scaled * scaled).sum()))


def _slopes(scores: NDArray[Any], signs: NDArray[Any]) -> NDArray[Any]:
    """``-y / (1 + exp(y s))``, (m, K)."""
    with np.errstate(over="ignore"):
        return np.asarray(-signs / (1 + np.exp(signs * scores)))
