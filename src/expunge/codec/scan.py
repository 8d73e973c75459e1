"""The one computation behind CODEC and FOCI: Q(columns) = sum_i min(R_i, R_M(i)), for many candidates at once."""

from __future__ import annotations

import os
from concurrent.futures import Executor, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from expunge.codec.cells import Cells
from expunge.codec.neighbours import ENTRIES, Lists, Neighbours
from expunge.codec.walk import walk_cells, walk_rows

FIRST_LIST = 64  # neighbours looked up before asking for more
LONGER = 8


def available_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Scan:
    """Columns chosen so far, and the sum Q for any column that might be chosen next.

    ``M(i)`` is the nearest neighbour of row i by squared Euclidean distance, summed in float64 in the order of
    choice. Sums are integers: the result depends neither on the number of threads nor on the order of the work.

    Args:
        columns: (p, n) float64.
        ranks: R, (n,) int64.
        cyclic: Ties go to the next row (cyclically); else to the first row.
        threads: None: every core.
    """

    def __init__(
        self,
        columns: NDArray[np.float64],
        ranks: NDArray[np.int64],
        *,
        cyclic: bool,
        threads: int | None = None,
    ) -> None:
        self.columns, self.ranks, self.cyclic = columns, ranks, cyclic
        self.threads = threads or available_cores()
        self.cells = Cells.all_rows(len(ranks))

    def choose(self, j: int) -> None:
        """Add column ``j`` to the chosen ones."""
        self.cells = self.cells.split(self.columns[j])

    def sums(self, index: NDArray[np.int64], first_list: int = FIRST_LIST) -> NDArray[np.int64]:
        """``Q(chosen, column j)`` for each j of ``index`` (c,), (c,) int64.

        Args:
            index: Candidate columns.
            first_list: How many neighbours of a row to look up at first; affects the time alone.
        """
        todo = np.ones((len(index), len(self.ranks)), dtype=bool)
        sums = np.zeros(len(index), dtype=np.int64)
        neighbours = Neighbours(self.cells.points, self.threads)
        start = np.concatenate([[0], np.cumsum(np.bincount(self.cells.label, minlength=self.cells.count))])
        with ThreadPoolExecutor(self.threads) as pool:
            pending, length = np.arange(self.cells.count), first_list
            while len(pending):
                block = max(1, ENTRIES // min(length, self.cells.count))
                for low in range(0, len(pending), block):
                    cells = pending[low : low + block]
                    lists = neighbours.of(cells, length, pool)
                    self._walk(pool, index, cells, lists, start, todo, sums)
                rows = todo.any(axis=0)
                pending = np.unique(self.cells.label[rows])
                length *= LONGER
        return sums

    def _walk(
        self,
        pool: Executor,
        index: NDArray[np.int64],
        cells: NDArray[np.int64],
        lists: Lists,
        start: NDArray[np.int64],
        todo: NDArray[np.bool_],
        sums: NDArray[np.int64],
    ) -> None:
        """Walk the lists of ``cells`` for every candidate, each thread its own candidates."""
        near = (lists.cell, lists.squared, lists.reach)

        def work(part: slice) -> None:
            which = index[part]
            if self.cells.single:
                walk_rows(
                    self.columns, which, self.ranks, self.cyclic, *near, cells, todo[part], sums[part]
                )
                return
            orders = np.argsort(self.columns[which], axis=1, kind="stable")
            walk_cells(
                self.columns,
                which,
                orders,
                self.ranks,
                self.cyclic,
                self.cells.label,
                start,
                *near,
                cells,
                todo[part],
                sums[part],
            )

        size = max(1, min(64, -(-len(index) // (4 * self.threads))))
        parts = [slice(a, a + size) for a in range(0, len(index), size)]
        for _ in pool.map(work, parts):
            pass
