"""How a pass cuts the places of its rows into units, each of which has a partial sum of its own.

Cuts depend on the number of places alone: whoever sums whatever unit, threads or processes, the partial sums
are the same numbers, and they are added in the order of the units.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from expunge.linear.given import BLOCK_ROWS

KINDS = ("blocks", "parts", "runs")
Edges = list[NDArray[np.int64]]
"""Of each unit the bounds of its blocks, in order: (2,) or more, the first and the last its own."""


@dataclass(frozen=True)
class Cut:
    """One way to cut places into units.

    Attributes:
        kind: ``blocks`` of about ``BLOCK_ROWS`` places each; ``parts`` of the same size; ``runs`` of whole
            blocks.
        parts: Number of parts or runs; of blocks there are as many as there are.
        joined: Units next to each other that one process is to have, as another cut has them as one.
    """

    kind: str
    parts: int = 0
    joined: int = 1

    def starts(self, places: int) -> NDArray[np.int64]:
        """Where the units begin, and where the last ends, (units + 1,)."""
        blocks = max(1, -(-places // BLOCK_ROWS))
        if self.kind == "blocks":
            return places * np.arange(blocks + 1) // blocks
        share = np.arange(self.parts + 1)
        if self.kind == "parts":
            return np.asarray(places * share // self.parts)
        return np.asarray(places * (blocks * share // self.parts) // blocks)

    def edges(self, places: int, first: int = 0, last: int | None = None) -> Edges:
        """The units ``first`` to ``last`` (None: to the end)."""
        starts = self.starts(places)
        last = len(starts) - 1 if last is None else last
        if self.kind != "runs":
            return [starts[k : k + 2] for k in range(first, last)]
        blocks = Cut("blocks").starts(places)
        return [
            blocks[np.searchsorted(blocks, starts[k]) : np.searchsorted(blocks, starts[k + 1]) + 1]
            for k in range(first, last)
        ]


@lru_cache(maxsize=64)
def whole(cut: Cut, places: int) -> Edges:
    """All units of so many places."""
    return cut.edges(places)


BLOCKS = Cut("blocks")
PARTS = 4
"""Partial sums of matrices, whatever the number of threads and processes; 2 where matrices are large."""
_WIDEST_OF_MANY = 1024  # features up to which as many matrices are small beside the rows


def parts_of(dim: int) -> int:
    """Partial sums of a d x d matrix."""
    return PARTS if dim <= _WIDEST_OF_MANY else 2
