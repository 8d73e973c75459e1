"""Conjugate gradients for many columns at once, and one preconditioner for all of them.

The eigenvectors of X^T X are kept once, (d, d), and ``(c_k X^T X + lam n I)^{-1}`` has them too, whatever the
mean slope c_k of column k.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expunge.linear.given import Array
from expunge.linear.operations import DenseRows

_WIDEST = 2048  # features up to which eigenvectors are made; beyond, the diagonal serves


@dataclass(frozen=True)
class Basis:
    """``X^T C X`` as ``V diag(values) V^T``, or its diagonal alone (``vectors`` None); values are (d,).

    C is the diagonal matrix of what each row counts.
    """

    values: Array
    vectors: Array | None

    @classmethod
    def of(cls, rows: DenseRows, sizes: Array | None = None) -> Basis:
        """That of these rows, which count ``sizes`` (n,), None for 1 each: one pass."""
        if rows.dim > _WIDEST:
            return cls(rows.squares(np.ones(len(rows)) if sizes is None else sizes), None)
        values, vectors = rows.spectrum(sizes)
        return cls(np.maximum(values, 0.0), vectors)

    def nearby(self, rhs: Array, slopes: Array, ridge: float) -> Array:
        """``(m_k X^T C X + ridge I)^{-1} rhs_k``, (d, k), of mean slopes m (k,)."""
        weights = self.values[:, None] * slopes + ridge
        if self.vectors is None:
            return rhs / weights
        found: Array = self.vectors @ ((self.vectors.T @ rhs) / weights)
        return found


def conjugate_gradients(
    times: Callable[[Array, NDArray[np.int64]], Array],
    nearby: Callable[[Array, NDArray[np.int64]], Array],
    rhs: Array,
    enough: Array,
    most: int,
) -> Array:
    """Solve ``H_k x_k = rhs_k`` for all columns, (d, k), until each residual norm is at most ``enough`` (k,).

    ``times(p, at)`` are the products, ``nearby(r, at)`` the preconditioner's, of the columns ``at`` alone: a
    column that is solved takes no further part.
    """
    x, r = np.zeros_like(rhs), rhs.copy()
    at = np.flatnonzero(np.linalg.norm(r, axis=0) > enough)
    p = nearby(r[:, at], at)
    rz = np.einsum("ij,ij->j", r[:, at], p)
    for _ in range(most):
        if not len(at):
            break
        product = times(p, at)
        curvature = np.einsum("ij,ij->j", p, product)
        sound = (curvature > 0) & (rz > 0)  # else rounding is all there is
        alpha = np.where(sound, rz / np.where(sound, curvature, 1.0), 0.0)
        x[:, at] += alpha * p
        r[:, at] -= alpha * product
        go = sound & (np.linalg.norm(r[:, at], axis=0) > enough[at])
        at, p, before = at[go], p[:, go], rz[go]
        if len(at):
            z = nearby(r[:, at], at)
            rz = np.einsum("ij,ij->j", r[:, at], z)
            p = z + (rz / before) * p
    return x
