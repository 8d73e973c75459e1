"""The nearest cells of a cell, nearest first, and how far such a list can be trusted."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

TREE_FROM = 50_000  # cells; below, a plain pass over all of them is quicker than the tree
TREE_COLUMNS = 8  # above, a k-d tree visits nearly every point anyway
ENTRIES = 2**22  # of one block of lists: 48 MiB


@dataclass(frozen=True)
class Lists:
    """For each of q cells its m nearest cells, itself included.

    Attributes:
        cell: (q, m) int32.
        squared: Squared distances, ascending, (q, m) float64: summed over the columns in their order of choice.
        reach: (q,) float64. A cell that is not in the list is at least this far (squared); inf: none is left out.
    """

    cell: NDArray[np.int32]
    squared: NDArray[np.float64]
    reach: NDArray[np.float64]


class Neighbours:
    """Lists of nearest cells among ``points`` (k, count), made on demand.

    Few cells are compared with each other directly, many in few columns through a k-d tree (scipy); the
    squared distances of both are summed in the same order, so that ties are the same ties.
    """

    def __init__(self, points: NDArray[np.float64], threads: int) -> None:
        self.points, self.threads = points, threads
        columns, count = points.shape
        self.tree = cKDTree(points.T) if count >= TREE_FROM and columns <= TREE_COLUMNS else None

    def of(self, cells: NDArray[np.int64], m: int, pool: Executor) -> Lists:
        """The ``m`` nearest cells of each of ``cells`` (q,)."""
        columns, count = self.points.shape
        m = min(m, count)
        index = np.empty((len(cells), m), dtype=np.int32)
        squared = np.empty((len(cells), m))
        reach = np.empty(len(cells))
        if self.tree is not None and m < count:
            tree_reach, found = self.tree.query(self.points[:, cells].T, k=m, workers=self.threads)
            index[:] = found.reshape(len(cells), m)
            # The tree's own rounding: a few units in the last place per column.
            reach[:] = tree_reach.reshape(len(cells), m)[:, -1] ** 2 * (1 - 1e-12)
            work = _measure
        else:
            work = _search
        share = np.linspace(0, len(cells), self.threads + 1).astype(np.int64)
        jobs = [
            pool.submit(work, self.points, cells[a:b], index[a:b], squared[a:b], reach[a:b])
            for a, b in zip(share[:-1], share[1:], strict=True)
            if b > a
        ]
        for job in jobs:
            job.result()
        if m == count:
            reach[:] = np.inf
        return Lists(index, squared, reach)


@numba.njit(nogil=True, cache=True)
def _search(points, cells, index, squared, reach):  # type: ignore[no-untyped-def]
    """Compare each cell with all others; keep the m nearest in a heap whose root is the farthest of them."""
    columns, count = points.shape
    m = index.shape[1]
    distance = np.empty(count)
    for q in range(len(cells)):
        distance[:] = 0.0
        for c in range(columns):
            here = points[c, cells[q]]
            column = points[c]
            for u in range(count):
                difference = column[u] - here
                distance[u] += difference * difference
        heap, who = squared[q], index[q]
        for u in range(m):
            heap[u], who[u] = distance[u], u
        for start in range(m // 2 - 1, -1, -1):
            _sift(heap, who, start, m)
        for u in range(m, count):
            if distance[u] < heap[0]:
                heap[0], who[0] = distance[u], u
                _sift(heap, who, 0, m)
        reach[q] = heap[0]
        _sort(heap, who, m)


@numba.njit(nogil=True, cache=True)
def _measure(points, cells, index, squared, reach):  # type: ignore[no-untyped-def]
    """Distances of the cells that the tree has found, in our order of summation; sorted anew."""
    columns, m = points.shape[0], index.shape[1]
    for q in range(len(cells)):
        heap, who = squared[q], index[q]
        for t in range(m):
            total = 0.0
            for c in range(columns):
                difference = points[c, who[t]] - points[c, cells[q]]
                total += difference * difference
            heap[t] = total
        for start in range(m // 2 - 1, -1, -1):
            _sift(heap, who, start, m)
        _sort(heap, who, m)


@numba.njit(nogil=True, cache=True, inline="always")
def _sift(heap, who, start, size):  # type: ignore[no-untyped-def]
    """Let the entry at ``start`` sink until no entry below it is farther."""
    value, cell = heap[start], who[start]
    at = start
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        if below + 1 < size and heap[below + 1] > heap[below]:
            below += 1
        if heap[below] <= value:
            break
        heap[at], who[at] = heap[below], who[below]
        at = below
    heap[at], who[at] = value, cell


@numba.njit(nogil=True, cache=True)
def _sort(heap, who, m):  # type: ignore[no-untyped-def]
    """Heap sort: ascending."""
    for end in range(m - 1, 0, -1):
        heap[0], heap[end] = heap[end], heap[0]
        who[0], who[end] = who[end], who[0]
        _sift(heap, who, 0, end)
