"""Gram matrices of the rows, plain and weighted, and the norm bound that certificates take from them."""

from __future__ import annotations

from math import sqrt
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from expunge.linear.parallel import for_each, one_blas_thread

Array = NDArray[np.float64]

_GRAM_BLOCK = 2048  # rows widened at a time
_PARTS_BELOW = 1024  # features up to which four partial sums are small beside the rows
_UNIT = 2.0**-53


class Blocks(Protocol):
    """Rows that are widened a block at a time, (places, dim) in all; see ``expunge.linear.rows.Rows``."""

    @property
    def dim(self) -> int: ...  # noqa: D102
    @property
    def places(self) -> int: ...  # noqa: D102
    def weighted_blocks(self, weights: Array | None, part: range, dtype: Any) -> Any: ...  # noqa: D102


def weighted_gram(rows: Blocks, weights: Array | None = None, dtype: Any = np.float64) -> NDArray[Any]:
    """``X^T diag(weights) X``, (d, d) symmetric; weights >= 0, None for all ones."""
    roots = None if weights is None else np.sqrt(weights)
    # A fixed number of partial sums: the result does not depend on the number of threads.
    parts = 4 if rows.dim <= _PARTS_BELOW else 2
    sums = np.zeros((parts, rows.dim, rows.dim), dtype=dtype)

    def add_up(k: int) -> None:
        part = range(rows.places * k // parts, rows.places * (k + 1) // parts, _GRAM_BLOCK)
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
