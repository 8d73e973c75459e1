"""A table of rows that several processes have among them, as rank 0 sees it: who has what, who is asked."""

from __future__ import annotations

import itertools
import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.cores import available_cores
from expunge.core.errors import DataError
from expunge.core.mapped import place_in_file
from expunge.linear import shares
from expunge.linear.cuts import BLOCKS, PARTS, Cut
from expunge.linear.given import Array
from expunge.linear.parallel import for_each, set_threads
from expunge.linear.rows import Rows
from expunge.linear.shares import STORED
from expunge.ranks.helpers import Helpers
from expunge.ranks.wire import Message, text, words

MATRICES = [Cut("parts", PARTS), Cut("parts", 2)]
_CUTS = [BLOCKS, *MATRICES, Cut("runs", PARTS), Cut("runs", 2)]
_MARGIN = 32  # a subset's units are near those of all rows: so much of the rows more are with a process
Units = tuple[int, int]
"""Units first..last of a cut."""
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Division:
    """Which ranks have which rows: those a..b, from where each ``owned`` begins to where the next does.

    More than it owns a rank has for units that reach over to its neighbours. Rank 0 has all rows.

    Attributes:
        owned: (ranks + 1,) where the rows of each begin.
        held: (ranks, 2) a and b.
    """

    owned: NDArray[np.int64]
    held: NDArray[np.int64]

    @classmethod
    def of(cls, n: int, ranks: int) -> Division:
        """N rows, by whole blocks."""
        blocks = BLOCKS.starts(n)
        owned = blocks[-(-(len(blocks) - 1) * np.arange(ranks + 1) // ranks)]  # rank 0 has the first
        held = np.stack([owned[:-1], owned[1:]], axis=1)
        for cut in _CUTS:
            starts, owner = cut.starts(n), _owner(cut, n, None, owned)
            for rank in range(ranks):
                if len(own := np.flatnonzero(owner == rank)):
                    reach = starts[own[0]], starts[own[-1] + 1]
                    low, high = held[rank] if held[rank, 0] < held[rank, 1] else reach
                    held[rank] = min(low, reach[0]), max(high, reach[1])
        some = held[:, 0] < held[:, 1]
        held[some] += np.array([-n // _MARGIN, n // _MARGIN])
        return cls(owned, np.clip(held, 0, n))

    def units(self, cut: Cut, places: int, index: NDArray[np.int64] | None) -> dict[int, Units]:
        """The units of each rank but rank 0, which has the others.

        A rank that does not have all rows of a unit, or of one that goes with it, has none of them.
        """
        starts, reach = cut.starts(places), self.reach(index)
        owner = _owner(cut, places, index, self.owned)
        group = np.arange(len(owner)) // cut.joined
        low = starts[group * cut.joined]
        high = starts[np.minimum((group + 1) * cut.joined, len(owner))]
        fine = (low >= reach[owner, 0]) & (high <= reach[owner, 1]) & (low < high)
        found = {}
        for rank in range(1, len(reach)):
            if len(own := np.flatnonzero(fine & (owner == rank))):
                found[rank] = int(own[0]), int(own[-1]) + 1
        return found

    def reach(self, index: NDArray[np.int64] | None) -> NDArray[np.int64]:
        """The places of the rows that each rank has, (ranks, 2); ids of a subset are in rising order."""
        return self.held if index is None else np.searchsorted(index, self.held)


def _owner(
    cut: Cut, places: int, index: NDArray[np.int64] | None, owned: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Who has the row in the middle of each unit, or of those that go with it."""
    starts = cut.starts(places)
    ends = np.minimum(np.arange(len(starts) - 1) // cut.joined * cut.joined + cut.joined, len(starts) - 1)
    low = starts[np.arange(len(starts) - 1) // cut.joined * cut.joined]
    middle = np.clip((low + starts[ends]) // 2, 0, max(0, places - 1))
    row = middle if index is None or not len(index) else index[middle]
    return np.clip(np.searchsorted(owned, row, side="right") - 1, 0, len(owned) - 2)


class Kept:
    """Numbers a row, or a place, that each process has of its own part; this one's are ``own``."""

    def __init__(self, own: NDArray[Any], number: int) -> None:
        self.own, self.number = own, number


class SharedTable:
    """The rows of ``rows``, which rank 0 has all of, in parts with the other ranks too.

    Raises:
        DataError: A rank has not the same file.
    """

    def __init__(self, rows: Rows, helpers: Helpers, threads: int | None) -> None:
        self.helpers, self.number, self.threads = helpers, next(_numbers), threads
        self.division = Division.of(len(rows), helpers.size)
        self._arrays: dict[int, tuple[weakref.ref[NDArray[Any]], int]] = {}
        self._plans: dict[tuple[int, Cut, int], dict[int, Units]] = {}
        threads = threads or _threads_of(helpers.local)
        set_threads(threads)
        self._hand_out(rows, threads)
        weakref.finalize(self, _drop, helpers, self.number)

    def _hand_out(self, rows: Rows, threads: int) -> None:
        raw, place = rows.raw, place_in_file(rows.raw)
        held = {rank: self.division.held[rank].tolist() for rank in range(1, self.helpers.size)}
        offset, writeable = np.array([rows.offset]), int(raw.flags.writeable)

        def said(rank: int) -> Message:
            first, last = held[rank]
            numbers = self.number, first, writeable, threads
            if place is None:
                return Message(shares.TABLE, numbers, [offset, raw[first:last]])
            path, at = place
            where = last - first, raw.shape[1], STORED.index(raw.dtype), at + first * raw.strides[0]
            return Message(shares.MAPPED, (*numbers, *where), [offset, text(os.path.abspath(path))])

        digests = [""] * self.helpers.size

        def look(k: int) -> None:
            digests[k + 1] = shares.digest(raw[slice(*held[k + 1])])

        def meanwhile() -> None:
            if place is not None:
                for_each(look, len(held), raw.size)

        _, answers = self.helpers.ask({rank: partial(said, rank) for rank in held}, meanwhile)
        for rank, answer in answers.items():
            if place is not None and words(answer.arrays[0]) != digests[rank]:
                raise DataError(
                    f"{place[0]}: rank {rank} finds other numbers in it than rank 0; all ranks must read the "
                    "same file"
                )

    # -- what is as long as the table -------------------------------------------------------------------

    def number_of(self, array: NDArray[Any] | Kept | None) -> int:
        """The number by which the ranks know an array of an entry a row; it is sent when first needed."""
        if array is None or isinstance(array, Kept):
            return 0 if array is None else array.number
        if (known := self._arrays.get(id(array))) is not None and known[0]() is array:
            return known[1]
        held = self.division.held
        return self._known(array, lambda rank: array[slice(*held[rank])])

    def number_of_index(self, index: NDArray[np.int64] | None) -> int:
        """The same of the ids of a subset: each rank gets those of its rows, counted from its first."""
        if index is None:
            return 0
        if (known := self._arrays.get(id(index))) is not None and known[0]() is index:
            return known[1]
        held, reach = self.division.held, self.division.reach(index)
        return self._known(index, lambda rank: index[slice(*reach[rank])] - held[rank, 0])

    def number_of_scale(self, rows: Rows) -> int:
        """The same of the scale of ``rows``: of one that rows have left, those are sent alone."""
        whole, gone = rows._base
        if not gone:
            return self.number_of(rows.scale)
        before, number = self.number_of(whole), next(_numbers)
        left = np.concatenate(gone)
        for rank in range(1, self.helpers.size):
            first, last = self.division.held[rank]
            own = left[(left >= first) & (left < last)] - first
            self.helpers.tell(rank, Message(shares.SCALE, (number, before), [own]))
        self._register(rows.scale, number)
        return number

    def kept(self, own: NDArray[Any], width: int, index: NDArray[np.int64] | None) -> Kept:
        """Room with every rank: of ``width`` numbers a place, or 0 for one a row."""
        made = Kept(own, next(_numbers))
        reach = self.division.reach(index) if width else self.division.held
        for rank in range(1, self.helpers.size):
            count = int(reach[rank, 1] - reach[rank, 0])
            self.helpers.tell(rank, Message(shares.ROOM, (made.number, count, width)))
        weakref.finalize(made, _drop, self.helpers, made.number)
        return made

    def _known(self, array: NDArray[Any], part: Callable[[int], NDArray[Any]]) -> int:
        number = next(_numbers)
        for rank in range(1, self.helpers.size):
            self.helpers.tell(rank, Message(shares.VECTOR, (number,), [part(rank)]))
        self._register(array, number)
        return number

    def _register(self, array: NDArray[Any], number: int) -> None:
        key, known = id(array), self._arrays

        def forget(gone: weakref.ref[NDArray[Any]]) -> None:
            if known.get(key, (None,))[0] is gone:
                del known[key]
            _drop(self_helpers, number)

        self_helpers = self.helpers
        known[key] = weakref.ref(array, forget), number

    # -- passes -----------------------------------------------------------------------------------------

    def units(self, cut: Cut, rows: Rows) -> dict[int, Units]:
        """Who has which units of a pass over ``rows``."""
        key = self.number_of_index(rows.index), cut, rows.places
        if key not in self._plans:
            if len(self._plans) > 1000:
                self._plans.clear()
            self._plans[key] = self.division.units(cut, rows.places, rows.index)
        return self._plans[key]

    def message(
        self, number: int, rows: Rows, rank: int, cut: tuple[int, int, int, int], rowwise: Any, args: Any
    ) -> Callable[[], Message]:
        """What asks a rank for a pass; ``cut`` is kind, parts, first and last unit."""
        place = int(self.division.reach(rows.index)[rank, 0])
        scale, index = self.number_of_scale(rows), self.number_of_index(rows.index)
        known = number, self.number, scale, index, place, rows.places
        along = [self.number_of(one) for one in rowwise]
        message = Message(shares.PASS, (*known, *cut, *along), [np.asarray(one) for one in args])
        return lambda: message

    def fetched(self, kept: Kept, rows: Rows, into: Array) -> None:
        """Write what the other ranks have, of an entry a row, of their blocks to ``into`` (n,)."""
        starts, reach = BLOCKS.starts(rows.places), self.division.reach(rows.index)
        index, own = self.number_of_index(rows.index), self.units(BLOCKS, rows)
        spans = {rank: (int(starts[first]), int(starts[last])) for rank, (first, last) in own.items()}

        def said(rank: int) -> Message:
            low, high = (place - int(reach[rank, 0]) for place in spans[rank])
            return Message(shares.FETCH, (kept.number, self.number, index, low, high))

        _, answers = self.helpers.ask({rank: partial(said, rank) for rank in spans}, lambda: None)
        for rank, answer in answers.items():
            into[rows._walked[slice(*spans[rank])]] = answer.arrays[0]

    def rehearse(self) -> None:
        """Let every rank compile its passes."""
        message = Message(shares.REHEARSE, (self.number,))
        self.helpers.ask({rank: lambda: message for rank in range(1, self.helpers.size)}, lambda: None)


def _threads_of(local: int) -> int:
    """Threads of each of so many processes here: what they are told, or their part of the cores."""
    cores = available_cores()
    return cores if os.environ.get("OMP_NUM_THREADS") else max(1, cores // local)


def _drop(helpers: Helpers, number: int) -> None:
    if Helpers.here is helpers:
        for rank in range(1, helpers.size):
            helpers.tell(rank, Message(shares.DROP, (number,)))
