"""Cells: groups of rows that are equal in every column chosen so far."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TiedRows:
    """A partition of n rows into ``count`` cells, and where the cells lie.

    Attributes:
        label: Cell of each row, (n,) int64, 0..count-1. If no two rows share a cell, row i is cell i.
        points: The chosen columns at one row of each cell, in order of choice, (k, count) float64.
    """

    label: NDArray[np.int64]
    points: NDArray[np.float64]

    @classmethod
    def all_rows(cls, n: int) -> TiedRows:
        """One cell: no column is chosen."""
        return cls(np.zeros(n, dtype=np.int64), np.empty((0, 1)))

    @property
    def count(self) -> int:
        """Number of cells."""
        return self.points.shape[1]

    @property
    def single(self) -> bool:
        """Whether every cell is one row."""
        return self.count == len(self.label)

    @cached_property
    def start(self) -> NDArray[np.int64]:
        """First place of each cell among the rows sorted by cell; at the end their number, (count + 1,)."""
        members = np.bincount(self.label, minlength=self.count)
        return np.concatenate([[0], np.cumsum(members)])

    def split(self, column: NDArray[np.float64]) -> TiedRows:
        """The cells after one more column (n,) is chosen."""
        n = len(column)
        if self.single:
            return TiedRows(self.label, np.vstack([self.points, column]))
        _, value = np.unique(column, return_inverse=True)
        both, first, label = np.unique(self.label * n + value, return_index=True, return_inverse=True)
        points = np.vstack([self.points[:, self.label[first]], column[first]])
        if len(both) == n:
            return TiedRows(np.arange(n), np.ascontiguousarray(points[:, label]))
        return TiedRows(label, points)
