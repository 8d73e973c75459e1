"""Which of n rows are there: a set that rows leave at a cost that does not depend on n."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK = 16_384  # of ten million rows 611: copying the list of them costs about as much as copying one


@dataclass(frozen=True, eq=False)
class RowSet:
    """Ids from 0 to ``size`` - 1, ``count`` of which are there. Immutable: a removal makes another set.

    Both share the blocks that it does not touch, so that whoever has the old one goes on with it.
    """

    _blocks: tuple[NDArray[np.bool_], ...]
    size: int
    count: int

    @classmethod
    def full(cls, size: int) -> RowSet:
        """All of ``size`` rows."""
        whole, rest = divmod(size, _BLOCK)
        block = _read_only(np.ones(_BLOCK, dtype=bool))
        return cls((block,) * whole + ((block[:rest],) if rest else ()), size, size)

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> RowSet:
        """The rows at which ``mask`` (n,) is true."""
        own = _read_only(np.array(mask, dtype=bool))
        blocks = tuple(own[start : start + _BLOCK] for start in range(0, len(own), _BLOCK))
        return cls(blocks, len(own), int(np.count_nonzero(own)))

    def without(self, index: Sequence[int] | NDArray[np.int64]) -> RowSet:
        """These rows but for ``index`` (m,), which may have left already: O(m), and a word a block."""
        ids = np.unique(np.asarray(index, dtype=np.int64))
        blocks, left = list(self._blocks), 0
        for number, chosen in _by_block(ids):
            places = ids[chosen] - number * _BLOCK
            left += int(np.count_nonzero(blocks[number][places]))
            blocks[number] = block = blocks[number].copy()
            block[places] = False
            _read_only(block)
        return RowSet(tuple(blocks), self.size, self.count - left) if left else self

    def has(self, index: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each of these ids is there, (m,)."""
        found = np.empty(len(index), dtype=bool)
        for number, chosen in _by_block(index):
            found[chosen] = self._blocks[number][index[chosen] - number * _BLOCK]
        return found

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """(n,) bool, which cannot be written to; made when it is first asked for, in O(n)."""
        return _read_only(np.concatenate([np.empty(0, dtype=bool), *self._blocks]))

    @property
    def here(self) -> NDArray[np.int64]:
        """Ids of the rows that are there, in rising order."""
        return np.flatnonzero(self.mask)

    @property
    def gone(self) -> NDArray[np.int64]:
        """Ids of the others, in rising order."""
        return np.flatnonzero(~self.mask)

    def __eq__(self, other: object) -> bool:
        """Whether the same of as many rows are there: seldom more than a look at two numbers."""
        if not isinstance(other, RowSet):
            return NotImplemented
        if self is other or (self.size, self.count) != (other.size, other.count):
            return self is other
        pairs = zip(self._blocks, other._blocks, strict=True)
        return all(one is two or np.array_equal(one, two) for one, two in pairs)

    __hash__ = None  # type: ignore[assignment]

    def __deepcopy__(self, memo: dict[int, Any]) -> RowSet:
        """Itself, for it never changes."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickles: without the mask, which is made again."""
        return RowSet, (self._blocks, self.size, self.count)


def _by_block(index: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield the number of each block that has some of these ids, and where among them those stand."""
    numbers = index // _BLOCK
    order = np.argsort(numbers, kind="stable")
    ends = np.flatnonzero(np.diff(numbers[order], append=-1)) + 1
    start = 0
    for end in ends.tolist():
        yield int(numbers[order[start]]), order[start:end]
        start = end


def _read_only(array: NDArray[np.bool_]) -> NDArray[np.bool_]:
    array.flags.writeable = False
    return array
