"""Standard normal numbers by several threads: those that one generator draws alone, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Floats = NDArray[np.float64]

_SHARE = 1 << 17  # numbers that are worth a thread
_PIECE = 1 << 16  # numbers that a thread draws before they are sent
_PROBED = 24  # first numbers of a thread, looked at one by one
_STEPS = 1.0219  # of the generator for a number: most take one, one in fifty takes more
_SPREAD = 0.2  # standard deviation of the same is below this times the root of how many
_MULTIPLIER, _BITS = 0x2360ED051FC65DA44385DF649FCCF645, 1 << 128  # of PCG64 (O'Neill 2014)


def normals(rng: np.random.Generator, count: int, threads: int, put: Callable[[Floats], T]) -> list[T]:
    """Draw what ``rng.standard_normal(count)`` would, in pieces, and leave ``rng`` as that would.

    Every thread starts at a place of its own in the generator's sequence. How many steps a number takes hangs
    on what is drawn (NumPy's ziggurat rejects some), so that the place may lie within a number of the thread
    before. That one goes on until it stands where the next one stood after one of its first numbers, which
    are then dropped: two threads that meet in a state draw the same from there on.

    Args:
        rng: Generators other than PCG64, NumPy's default, draw alone.
        count: Of all numbers.
        threads: At most.
        put: What is made of a piece, in the thread that drew it: a copy, for its memory is used again.
    """
    bits, parts = rng.bit_generator, min(threads, count // _SHARE)
    if type(bits) is not np.random.PCG64 or parts < 2:
        return [put(rng.standard_normal(count))]
    begin: Any = bits.state
    each = count // parts
    slack = int(12 * _SPREAD * each**0.5) + 2 * _PROBED  # numbers that a thread surely does not lack
    with ThreadPoolExecutor(parts) as pool:
        runs = list(pool.map(lambda k: _Run(begin, int(k * each * _STEPS), each - slack, put), range(parts)))
    pieces, drawn = [put(runs[0].first), *runs[0].rest], runs[0].count
    for run, after in pairwise(runs):
        found = run.up_to(after)
        if found is None:  # has not been seen, nor what follows
            return [put(rng.standard_normal(count))]
        between, dropped = found
        more = np.concatenate([between, after.first[dropped:]])
        pieces += [put(more), *after.rest]
        drawn += len(more) + after.count - _PROBED
    if drawn > count:
        return [put(rng.standard_normal(count))]
    last = runs[-1].rng
    pieces.append(put(last.standard_normal(count - drawn)))
    end: Any = last.bit_generator.state
    whole: Any = {**begin, "state": end["state"]}
    bits.state = whole  # half a number of another kind may be waiting: it stays
    return pieces


class _Run:
    """A thread's numbers: the first few with the states after them, and as many more as it surely draws."""

    def __init__(self, begin: Any, place: int, count: int, put: Callable[[Floats], Any]) -> None:
        bits = np.random.PCG64(0)
        bits.state = begin
        self.rng = np.random.Generator(bits.advance(place))
        self.states = {_state(self.rng): 0}
        first = []
        for number in range(1, _PROBED + 1):
            first.append(self.rng.standard_normal())
            self.states[_state(self.rng)] = number
        self.first, self.count = np.array(first), count
        self.begin = next(iter(self.states))
        self.increment: int = bits.state["state"]["inc"]
        room, left = np.empty(min(_PIECE, count)), count - _PROBED  # small: it stays in the processor's cache
        self.rest = []
        while left:
            piece = room[: min(_PIECE, left)]
            self.rng.standard_normal(out=piece)
            self.rest.append(put(piece))
            left -= len(piece)

    def up_to(self, after: _Run) -> tuple[Floats, int] | None:
        """Draw on to a state among the first of ``after``: the numbers, and how many of its first."""
        found: list[Floats] = []
        while (left := _distance(_state(self.rng), after.begin, self.increment)) > _PROBED:
            if left > 1 << 32:  # it lies behind
                return None
            found.append(self.rng.standard_normal(int(left * 0.97) - _PROBED // 2))
        for _ in range(3 * _PROBED):
            if (number := after.states.get(_state(self.rng))) is not None:
                return np.concatenate([*found, np.empty(0)]), number
            found.append(self.rng.standard_normal(1))
        return None


def _state(rng: np.random.Generator) -> int:
    held: Any = rng.bit_generator.state
    return int(held["state"]["state"])


def _distance(here: int, there: int, increment: int) -> int:
    """How many steps of the generator lead from one state to another (Brown 1994)."""
    factor, plus, bit, distance = _MULTIPLIER, increment, 1, 0
    while here != there:
        if (here ^ there) & bit:
            here, distance = (here * factor + plus) % _BITS, distance | bit
        bit, plus, factor = bit << 1, (factor + 1) * plus % _BITS, factor * factor % _BITS
    return distance
