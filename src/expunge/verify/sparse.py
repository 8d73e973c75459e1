"""Sparse rows for the checks, with numpy alone: entries with their places, whatever the mantissa."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Sparse:
    """A matrix of ``shape`` with ``data`` at ``rows`` and ``columns``, (m,) each."""

    data: NDArray[Any]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    shape: tuple[int, int]
    __array_ufunc__ = None  # so that an array leaves ``array @ matrix`` to it

    @classmethod
    def of(cls, raw: Any) -> Sparse:
        """A matrix in CSR, row after row; entries that it has twice are summed in the numbers it stores.

        Whole numbers are taken as float64.
        """
        n, m = raw.shape[0], int(raw.indptr[-1])
        rows, columns = np.repeat(np.arange(n), np.diff(raw.indptr)), raw.indices[:m].astype(np.int64)
        data = raw.data[:m]
        if data.dtype.type not in (np.float32, np.float64):
            data = data.astype(np.float64)
        order = np.lexsort((columns, rows))
        rows, columns, data = rows[order], columns[order], data[order]
        firsts = np.flatnonzero(np.diff(rows, prepend=-1) | np.diff(columns, prepend=-1))
        if len(firsts) < m:
            data, rows, columns = np.add.reduceat(data, firsts), rows[firsts], columns[firsts]
        return cls(data, rows, columns, (n, int(raw.shape[1])))

    def take(self, ids: NDArray[np.int64]) -> Sparse:
        """Some rows of a matrix whose entries are in their order."""
        lengths = self._starts[ids + 1] - self._starts[ids]
        ends = np.cumsum(lengths)
        places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(
            self._starts[ids] - ends + lengths, lengths
        )
        rows = np.repeat(np.arange(len(ids)), lengths)
        return Sparse(self.data[places], rows, self.columns[places], (len(ids), self.shape[1]))

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.searchsorted(self.rows, np.arange(self.shape[0] + 1))

    def beside(self, constant: float) -> Sparse:
        """These rows with a constant as the last entry of each, in the numbers that they are stored in."""
        n, d = self.shape
        last = np.full(n, constant, dtype=self.data.dtype)
        data, rows = np.concatenate([self.data, last]), np.concatenate([self.rows, np.arange(n)])
        return Sparse(data, rows, np.concatenate([self.columns, np.full(n, d)]), (n, d + 1))

    def scaled(self, scale: NDArray[np.float64], kind: Any) -> Sparse:
        """Each row times its ``scale`` (n,), in numbers of ``kind``."""
        return replace(self, data=self.data.astype(kind) * scale[self.rows].astype(kind))

    def unit(self, kind: Any) -> Sparse:
        """Each row divided by its norm, in numbers of ``kind``; rows of zeros stay."""
        wide = replace(self, data=self.data.astype(np.longdouble))
        norms = np.sqrt(wide.squared @ np.ones(self.shape[1], dtype=np.longdouble))
        norms[norms == 0] = 1
        return replace(wide, data=(wide.data / norms[self.rows]).astype(kind))

    @property
    def squared(self) -> Sparse:
        """The square of each entry."""
        return replace(self, data=self.data * self.data)

    @property
    def T(self) -> Sparse:
        """The transpose."""
        return Sparse(self.data, self.columns, self.rows, self.shape[::-1])

    def __matmul__(self, other: NDArray[Any]) -> NDArray[Any]:
        terms = (self.data * other[self.columns].T).T
        found = np.zeros((self.shape[0], *other.shape[1:]), dtype=terms.dtype)
        np.add.at(found, self.rows, terms)
        return found

    def __rmatmul__(self, other: NDArray[Any]) -> NDArray[Any]:
        return np.asarray((self.T @ other.T).T)


def conjugate_gradients(
    times: Callable[[Vector], Vector], diagonal: Vector, rhs: Vector, share: float, most: int
) -> Vector:
    """X with ``||A x - rhs||`` about ``share`` of ``||rhs||``, for A x = ``times(x)`` with this diagonal."""
    x, left = np.zeros_like(rhs), rhs.copy()
    enough = share * float(np.linalg.norm(rhs))
    along = left / diagonal
    slope = float(left @ along)
    for _ in range(most):
        if not float(np.linalg.norm(left)) > enough:
            break
        product = times(along)
        step = slope / float(along @ product)
        x, left = x + step * along, left - step * product
        near = left / diagonal
        slope, before = float(left @ near), slope
        along = near + slope / before * along
    return x
