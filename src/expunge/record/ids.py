"""A set of row ids in little memory, whatever their range: a bit each, where they lie close together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_BITS = 512  # of a block: a request for far-apart ids costs no more than a set would


class Ids:
    """Ids from 0; grows by ``update`` alone."""

    def __init__(self) -> None:
        self._blocks: dict[int, int] = {}
        self._count = 0

    def update(self, ids: Iterable[int]) -> None:
        """Add ids, each of which may be there already."""
        for one in ids:
            block, bit = divmod(one, _BITS)
            there = self._blocks.get(block, 0)
            self._blocks[block] = there | 1 << bit
            self._count += not there >> bit & 1

    def __contains__(self, one: int) -> bool:
        block, bit = divmod(one, _BITS)
        return bool(self._blocks.get(block, 0) >> bit & 1)

    def __iter__(self) -> Iterator[int]:
        """In rising order."""
        for block, bits in sorted(self._blocks.items()):
            yield from (block * _BITS + bit for bit in range(_BITS) if bits >> bit & 1)

    def __len__(self) -> int:
        return self._count
