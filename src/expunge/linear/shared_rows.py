"""Dense rows over the processes of ``torchrun``: the passes of ``Rows``, each unit of them by one process.

Partial sums are gathered and added in the order of the units by the code that adds them in one process, so
that no result depends on the number of processes, nor on whether there is more than one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from expunge.linear import passes
from expunge.linear.cuts import BLOCKS, KINDS, Cut, whole
from expunge.linear.given import Array
from expunge.linear.parallel import one_blas_thread
from expunge.linear.rows import Rows
from expunge.linear.shared_table import MATRICES, Kept, SharedTable
from expunge.linear.shares import EVERY
from expunge.ranks.helpers import Helpers

log = logging.getLogger(__name__)


def spread(rows: Any, threads: int | None = None) -> Any:
    """Return rows whose passes the processes of ``torchrun`` share; where there is one process, the same.

    Rows of another kind stay with rank 0, which says so. ``threads`` are those of each process; None: its
    part of the cores.

    Raises:
        DataError: A process has not the same file.
    """
    helpers = Helpers.here
    if helpers is None:
        return rows
    if type(rows) is not Rows:
        log.warning(
            "%d ranks: only dense rows of a linear model are shared out; rank 0 works alone", helpers.size
        )
        return rows
    shared = vars(rows).get("_shared")
    if shared is None or shared.table.helpers is not helpers or shared.table.threads != threads:
        table = SharedTable(rows, helpers, threads)
        shared = SharedRows(rows.raw, rows.scale, rows.offset, rows.index, table)
        vars(rows)["_shared"] = shared  # for the next cell of a sweep, which is given the same rows
    return shared


@dataclass(frozen=True)
class SharedRows(Rows):
    """Rows that other processes have parts of; ``raw`` has all of them. See ``Rows``."""

    table: Any = None

    def partial_sums(self, work: passes.Pass, cut: Cut, rowwise: tuple[Any, ...], *args: Any) -> list[Any]:
        """What ``work`` has for each unit of ``cut``, whoever has its rows."""
        table: SharedTable = self.table
        theirs, edges = table.units(cut, self), whole(cut, self.places)
        kind = KINDS.index(cut.kind)
        messages = {
            rank: table.message(work.number, self, rank, (kind, cut.parts, *units), rowwise, args)
            for rank, units in theirs.items()
        }
        mine = np.ones(len(edges), dtype=bool)
        for first, last in theirs.values():
            mine[first:last] = False
        along = [one.own if isinstance(one, Kept) else one for one in rowwise]

        def meanwhile() -> list[Any]:
            with one_blas_thread():
                return work.run(self, [edges[k] for k in np.flatnonzero(mine)], *along, *args)

        own, answers = table.helpers.ask(messages, meanwhile)
        return _joined(own, mine, {theirs[rank]: answer.arrays for rank, answer in answers.items()})

    def scores(self, w: Array) -> Array:
        """``x_i.w`` for every row, (n,); they come from all processes."""
        kept = self.table.kept(np.zeros(len(self)), 0, None)
        self.partial_sums(passes.SCORES, BLOCKS, (kept,), np.ascontiguousarray(w, dtype=np.float64))
        self.table.fetched(kept, self, kept.own)
        return cast("Array", kept.own)

    def slopes(self, y: Array, w: Array) -> Array:
        """The slopes, which stay with the processes: each makes those of all rows that it has."""
        table, w = cast("SharedTable", self.table), np.ascontiguousarray(w, dtype=np.float64)
        kept = table.kept(np.zeros(len(self)), 0, None)
        ranks = range(1, table.helpers.size)
        every = EVERY, 0, 0, 0
        messages = {
            rank: table.message(passes.SLOPES.number, self, rank, every, (kept, y), (w,)) for rank in ranks
        }

        def meanwhile() -> None:
            passes.SLOPES.run(self, self._mine, kept.own, y, w)

        table.helpers.ask(messages, meanwhile)
        return cast("Array", kept)

    @property
    def _mine(self) -> list[NDArray[np.int64]]:
        """Blocks of all places that rank 0 may have in any pass that takes slopes."""
        blocks = whole(BLOCKS, self.places)
        reached = np.zeros(self.places, dtype=bool)
        for cut in (BLOCKS, *MATRICES):
            starts, others = cut.starts(self.places), self.table.units(cut, self)
            own = np.ones(len(starts) - 1, dtype=bool)
            for first, last in others.values():
                own[first:last] = False
            for k in np.flatnonzero(own):
                reached[starts[k] : starts[k + 1]] = True
        return [unit for unit in blocks if reached[unit[0] : unit[1]].any()]

    def room(self, width: int) -> NDArray[np.float32]:
        """Room with every process for its places."""
        own = np.empty((self.places, width), dtype=np.float32)  # no memory until it is written to
        return cast("NDArray[np.float32]", self.table.kept(own, width, self.index))

    def rehearse(self) -> None:
        """Compile the passes, here and with the other processes."""
        self._alone.rehearse()
        self.table.rehearse()

    def erased(self, gone: NDArray[np.bool_]) -> Any:
        """The same rows without what those in ``gone`` (n,) were: for who keeps them, and sums no more."""
        return self._alone.erased(gone)

    def storing(self, other: Any) -> Any:
        """Return these rows as ``other`` stores them, in one process."""
        return Rows(other.raw, self.scale, other.offset, self.index)

    @property
    def _alone(self) -> Rows:
        return Rows(self.raw, self.scale, self.offset, self.index)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy is rows of one process."""
        return Rows, (self.raw, self.scale, self.offset, self.index)


def _joined(
    own: list[Any], mine: NDArray[np.bool_], others: dict[tuple[int, int], Any]
) -> list[NDArray[Any]]:
    """The outputs of a pass for all units, in order, from those of rank 0's and of the others."""
    if not others:
        return own
    found = []
    for k, some in enumerate(own):
        whole = np.empty((len(mine), *some.shape[1:]), dtype=some.dtype)
        whole[mine] = some
        for (first, last), arrays in others.items():
            whole[first:last] = arrays[k]
        found.append(whole)
    return found
