"""What a process holds of a table of rows that several have among them, and what it sums over that.

It knows a contiguous range of rows a..b, and everything as long as the table (scales, labels, slopes) for
these alone, by numbers that rank 0 gives them. Its partial sums are those of ``expunge.linear.passes`` over
the units it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import DataError
from expunge.core.hashing import sha256_of
from expunge.core.mapped import map_array
from expunge.linear import column_sums, passes
from expunge.linear.cuts import BLOCKS, KINDS, Cut, Edges
from expunge.linear.parallel import one_blas_thread, set_threads
from expunge.linear.rows import Rows
from expunge.ranks.helpers import ANSWER
from expunge.ranks.wire import Message, text, words

assert column_sums.GRADIENTS in passes.PASSES  # all of them are there once both modules are

# Rank 0 waits for an answer to those with odd numbers.
TABLE, MAPPED, PASS, REHEARSE, FETCH = 1, 3, 5, 7, 9
VECTOR, ROOM, SCALE, DROP = 2, 4, 6, 8
EVERY = len(KINDS)
"""In place of the kind of a cut: all places that the process has, however they are cut."""
STORED = [np.dtype(name) for name in ("uint8", "float16", "float32", "float64")]
_BLOCK = 1 << 14


def digest(raw: NDArray[Any]) -> str:
    """SHA-256 of stored rows."""
    step = max(1, _BLOCK * 64 // max(1, raw.shape[1] * raw.itemsize))
    return sha256_of(raw[start : start + step].tobytes() for start in range(0, len(raw), step))


@dataclass(frozen=True)
class Share:
    """Rows a..b of a table."""

    rows: Rows
    first: int


class Shares:
    """Tables and vectors of this process, by their numbers. An instance answers rank 0's messages."""

    def __init__(self) -> None:
        self.tables: dict[int, Share] = {}
        self.known: dict[int, NDArray[Any]] = {}

    def __call__(self, message: Message) -> Message | None:
        """Do what a message asks for, and return the answer if it has one."""
        return _ANSWERS[message.what](self, message)

    def table(self, message: Message) -> Message:
        """Take rows that come along."""
        number, first, writeable, threads = message.numbers
        offset, raw = message.arrays
        self._take(number, first, raw, float(offset[0]), bool(writeable), threads)
        return Message(ANSWER)

    def mapped(self, message: Message) -> Message:
        """Map rows of a file that is here too, and say what they are."""
        number, first, writeable, threads, count, dim, kind, at = message.numbers
        offset, path = message.arrays[0], Path(words(message.arrays[1]))
        try:
            raw = map_array(path, STORED[kind], (count, dim), at, "C")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or f"too short for {count} rows more ({error})"
            raise DataError(f"{path}: {reason}; all ranks must find the same file") from None
        self._take(number, first, raw, float(offset[0]), bool(writeable), threads)
        return Message(ANSWER, (), [text(digest(raw))])

    def _take(
        self, number: int, first: int, raw: NDArray[Any], offset: float, writeable: bool, threads: int
    ) -> None:
        if raw.flags.writeable and not writeable:  # kernels are compiled by it, too
            raw.flags.writeable = False
        set_threads(threads)
        self.tables[number] = Share(Rows(raw, np.ones(len(raw)), offset), first)

    def vector(self, message: Message) -> None:
        """Keep numbers of the rows of a table, or the ids of a subset of them."""
        self.known[message.numbers[0]] = message.arrays[0]

    def room(self, message: Message) -> None:
        """Make room for numbers: one a row, or as many a place."""
        number, count, width = message.numbers
        self.known[number] = np.empty((count, width), np.float32) if width else np.zeros(count)

    def scale(self, message: Message) -> None:
        """Keep a scale as it is without rows that have left since."""
        number, before = message.numbers
        scale = self.known[before].copy()
        scale[message.arrays[0]] = 0.0
        self.known[number] = scale

    def drop(self, message: Message) -> None:
        """Forget what nobody will ask for again."""
        for number in message.numbers:
            self.known.pop(number, None)
            self.tables.pop(number, None)

    def rehearse(self, message: Message) -> Message:
        """Compile the passes."""
        rows = self.tables[message.numbers[0]].rows
        if len(rows):
            rows.rehearse()
        return Message(ANSWER)

    def sums(self, message: Message) -> Message:
        """Run a pass over some units, and return its outputs."""
        number, table, scale, index, place, places, kind, parts, first, last, *rowwise = message.numbers
        rows = self._rows(table, scale, index)
        edges: Edges
        if kind == EVERY:
            edges = BLOCKS.edges(rows.places)
        else:
            edges = [unit - place for unit in Cut(KINDS[kind], parts).edges(places, first, last)]
        along = [self.known[one] if one else None for one in rowwise]
        with one_blas_thread():
            found = passes.PASSES[number].run(rows, edges, *along, *message.arrays)
        return Message(ANSWER, (), found)

    def fetch(self, message: Message) -> Message:
        """Return numbers of the rows at some places."""
        number, table, index, first, last = message.numbers
        walked = self._rows(table, 0, index)._walked[first:last]
        return Message(ANSWER, (), [self.known[number][walked]])

    def _rows(self, table: int, scale: int, index: int) -> Rows:
        rows = self.tables[table].rows
        changed: dict[str, Any] = {"scale": self.known[scale]} if scale else {}
        return replace(rows, **changed, index=self.known[index] if index else None)


_ANSWERS = {
    **{TABLE: Shares.table, MAPPED: Shares.mapped, PASS: Shares.sums, REHEARSE: Shares.rehearse},
    **{FETCH: Shares.fetch, VECTOR: Shares.vector, ROOM: Shares.room, SCALE: Shares.scale},
    **{DROP: Shares.drop},
}
