"""The computation behind CODEC and FOCI: Q(columns) = sum_i min(R_i, R_M(i)), for many candidates at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from expunge.codec.kernels import exhaust_rows, walk_rows
from expunge.codec.neighbours import ENTRIES, Lists, Neighbours
from expunge.codec.tied_kernels import walk_cells
from expunge.codec.tied_rows import TiedRows
from expunge.core.cores import available_cores

FIRST_LIST = 64  # neighbours looked up before asking for more ...
SHORT_LIST = 4  # ... on behalf of one candidate alone
LONGER = 8
PLAIN = 100_000  # distances a row that a plain pass may look at before longer lists are the quicker way
WIDTH = 128  # candidates that a thread takes at once


class Scan:
    """Columns chosen so far, and the sum Q for any column that might be chosen next.

    ``M(i)`` is the nearest neighbour of row i by squared Euclidean distance, summed in float64 in the order
    of choice. Sums are integers: the result depends neither on the threads nor on the order of the work.
    ``columns`` are (p, n) float64, ``ranks`` R, (n,) int64. Ties go to the next row on the circle if
    ``cyclic``, else to the first row.
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
        self.cells = TiedRows.all_rows(len(ranks))

    def choose(self, j: int) -> None:
        """Add column ``j`` to the chosen ones."""
        self.cells = self.cells.split(self.columns[j])

    def sums(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """``Q(chosen, column j)`` for each j of ``index`` (c,), (c,) int64."""
        n, cells, ranks, cyclic = len(self.ranks), self.cells, self.ranks, self.cyclic
        todo = np.ones((n, len(index)), dtype=bool)
        sums = np.zeros(len(index), dtype=np.int64)

        def walk(rows: NDArray[np.int64], lists: Lists, first: bool, part: slice) -> None:
            lines, result = (lists.cell, lists.squared, lists.reach), (rows, todo[:, part], sums[part])
            if cells.single and not lists.ascending:
                exhaust_rows(self.columns, index[part], ranks, cyclic, lists.squared, *result)
                return
            values = self.columns[index[part]]
            if cells.single:
                walk_rows(np.ascontiguousarray(values.T), ranks, cyclic, *lines, *result, first)
            else:
                groups = (cells.label, cells.start, *lines, lists.ascending)
                walk_cells(values, np.argsort(values, axis=1), ranks, cyclic, *groups, *result)

        share = -(-len(index) // (4 * self.threads))  # each thread its own candidates
        size = max(1, min(WIDTH, share, ENTRIES // n))
        parts = [slice(a, a + size) for a in range(0, len(index), size)]
        neighbours = Neighbours(cells.points, rows=cells.single, threads=self.threads)
        pending, first = np.arange(cells.count), True
        wanted = FIRST_LIST if len(index) > 1 else SHORT_LIST
        with ThreadPoolExecutor(self.threads) as pool:
            while len(pending):
                length = neighbours.length(wanted)
                for rows, lists in neighbours.of(pending, length, pool):
                    list(pool.map(partial(walk, rows, lists, first), parts))
                pending = np.unique(cells.label[todo.any(axis=1)])
                few = np.count_nonzero(todo) * cells.count < PLAIN * len(pending)
                wanted, first = (cells.count if few else length * LONGER), False
        return sums
