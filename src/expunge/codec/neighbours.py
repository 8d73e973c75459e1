"""The nearest cells of a cell, nearest first, and how far such a list can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from expunge.core.compiled import njit

FEW = 4096  # cells that are simply sorted, all of them
TREE_COLUMNS = 6  # beyond, a k-d tree visits nearly every point: a plain pass is quicker ...
TREE_FROM = 50_000  # ... unless there are very many points
SHORTEST = 512  # list that a partial sort is asked for: what is shorter takes as long
LONGEST = 4096  # and the longest: beyond, it is left to a plain pass ...
LONGEST_OF_TREE = 512  # ... and so it is here, where a list costs more
ENTRIES = 2**23  # of the lists held at once: 96 MiB
BUFFER = 2**18  # distances that a thread holds while it sorts: 2 MiB


@dataclass(frozen=True)
class Lists:
    """For each of q cells, other cells and how far they are.

    Attributes:
        cell: (q, m) int32.
        squared: Squared distances (q, m) float64, summed over the columns in their order of choice.
        reach: (q,) float64. A cell that is not listed is at least this far (squared); inf: all are listed.
        ascending: Whether lists are sorted by distance.
    """

    cell: NDArray[np.int32]
    squared: NDArray[np.float64]
    reach: NDArray[np.float64]
    ascending: bool = True


class Neighbours:
    """Lists of near cells among ``points`` (k, count), made on demand.

    A few thousand cells are sorted whole. Of more, the nearest come from a k-d tree (scipy) in few columns,
    from a plain pass in many. Distances are summed in the same order everywhere: ties are the same ties.
    With ``rows`` cells are single rows: a row is not its own neighbour (its squared distance is set to inf).
    """

    def __init__(self, points: NDArray[np.float64], *, rows: bool, threads: int) -> None:
        self.points, self.rows, self.threads = points, rows, threads
        columns, self.count = points.shape
        tree = self.count > FEW and (columns <= TREE_COLUMNS or self.count > TREE_FROM)
        self.tree = cKDTree(points.T) if tree else None

    def length(self, wanted: int) -> int:
        """How long lists are when ``wanted`` neighbours are asked for: all there are, if few or too many."""
        if self.tree is None:
            wanted = max(wanted, SHORTEST)
        longest = LONGEST if self.tree is None else LONGEST_OF_TREE
        return self.count if self.count <= FEW or wanted > min(longest, self.count) else wanted

    def of(
        self, cells: NDArray[np.int64], m: int, pool: Executor
    ) -> Iterator[tuple[NDArray[np.int64], Lists]]:
        """Yield, some of ``cells`` (q,) at a time, these and the ``m`` nearest cells of each.

        Lists take 12 bytes an entry, of which there are at most ``ENTRIES`` at once; they are unsorted if
        ``m`` is the whole of many.
        """
        block = max(1, ENTRIES // m)
        for part in (cells[low : low + block] for low in range(0, len(cells), block)):
            if m == self.count and self.count > FEW:
                yield part, self._whole(part, pool)
            else:
                yield part, self._sorted(part, m, pool) if self.tree is None else self._from_tree(part, m)

    def _whole(self, cells: NDArray[np.int64], pool: Executor) -> Lists:
        squared = np.empty((len(cells), self.count))
        share(pool, self.threads, len(cells), lambda a, b: self._measure(cells[a:b], squared[a:b]))
        every = np.broadcast_to(np.arange(self.count, dtype=np.int32), squared.shape)
        return Lists(every, squared, np.full(len(cells), np.inf), ascending=False)

    def _measure(self, cells: NDArray[np.int64], squared: NDArray[np.float64]) -> None:
        _measure_all(self.points, cells, squared)
        if self.rows:  # a row is not its own neighbour
            squared[np.arange(len(cells)), cells] = np.inf

    def _sorted(self, cells: NDArray[np.int64], m: int, pool: Executor) -> Lists:
        near = np.empty((len(cells), m), dtype=np.int32)
        distance = np.empty((len(cells), m))
        height = max(1, BUFFER // self.count)

        def work(low: int, high: int) -> None:
            buffer = np.empty((height, self.count))
            for a in range(low, high, height):
                z = min(high, a + height)
                squared = buffer[: z - a]
                self._measure(cells[a:z], squared)
                if m < self.count:
                    nearest = np.argpartition(squared, m - 1, axis=1)[:, :m]
                    some = np.take_along_axis(squared, nearest, axis=1)
                    order = np.take_along_axis(nearest, np.argsort(some, axis=1), axis=1)
                else:
                    order = np.argsort(squared, axis=1)
                near[a:z] = order
                _gather(squared, order, distance[a:z])

        share(pool, self.threads, len(cells), work)
        whole = m == self.count
        return Lists(near, distance, np.full(len(cells), np.inf) if whole else distance[:, -1].copy())

    def _from_tree(self, cells: NDArray[np.int64], m: int) -> Lists:
        assert self.tree is not None
        reach, near = self.tree.query(self.points[:, cells].T, k=m, workers=self.threads)
        reach, near = reach.reshape(len(cells), m)[:, -1], near.reshape(len(cells), m).astype(np.int32)
        squared = np.empty(near.shape)
        _measure_listed(self.points, cells, near, squared, self.rows)
        order = np.argsort(squared, axis=1)
        # The tree rounds in its own way, by a few units in the last place.
        near, squared = (np.take_along_axis(table, order, axis=1) for table in (near, squared))
        return Lists(near, squared, reach**2 * (1 - 1e-12))


def share(pool: Executor, threads: int, count: int, work: Callable[[int, int], Any]) -> list[Any]:
    """Return what ``work(a, b)`` does on slices that cover range(count), a few for each thread."""
    cuts = np.linspace(0, count, min(count, 4 * threads) + 1).astype(np.int64)
    return list(pool.map(work, cuts[:-1], cuts[1:]))


@njit()
def _gather(values, order, out):  # type: ignore[no-untyped-def]
    """``out[q, t] = values[q, order[q, t]]``."""
    for q in range(out.shape[0]):
        for t in range(out.shape[1]):
            out[q, t] = values[q, order[q, t]]


@njit()
def _measure_all(points, cells, squared):  # type: ignore[no-untyped-def]
    """Squared distances (q, count) of ``cells`` to all cells, in tiles that stay in the nearest cache."""
    columns, count = points.shape
    for a in range(0, count, _TILE):
        z = min(count, a + _TILE)
        for q in range(len(cells)):
            out = squared[q, a:z]
            out[:] = 0.0
            for c in range(columns):
                tile, here = points[c, a:z], points[c, cells[q]]
                for u in range(len(out)):
                    difference = tile[u] - here
                    out[u] += difference * difference


_TILE = 512


@njit()
def _measure_listed(points, cells, near, squared, rows):  # type: ignore[no-untyped-def]
    """Squared distances (q, m) of ``cells`` to the cells ``near``; inf to itself if cells are single rows."""
    columns, m = points.shape[0], near.shape[1]
    for q in range(len(cells)):
        for t in range(m):
            total = 0.0
            for c in range(columns):
                difference = points[c, near[q, t]] - points[c, cells[q]]
                total += difference * difference
            squared[q, t] = np.inf if rows and near[q, t] == cells[q] else total
