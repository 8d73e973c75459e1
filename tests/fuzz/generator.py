"""Command lines from a seed: each is what somebody may type, most of them wrong."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import cycle

from tests.fuzz.line import Line
from tests.fuzz.of_commands import of_another_command
from tests.fuzz.of_hydra import flags, of_hydra, resumed, seeded, swept
from tests.fuzz.of_settings import added, choices, deleted, doubled, extreme, of_values
from tests.fuzz.scenes import SCENES, keys_of

Maker = Callable[[random.Random], Line]
OTHERS: dict[Maker, int] = {
    **{of_hydra: 6, deleted: 4, added: 5, choices: 8, flags: 8, swept: 5, seeded: 5, doubled: 5},
    **{of_another_command: 9, resumed: 5},
}
"""Makers, and how often each is asked."""


def lines(count: int, seed: int) -> Iterator[Line]:
    """``count`` command lines; the same ones for the same seed."""
    rng = random.Random(seed)
    pairs = [(name, key) for name in SCENES for key in keys_of(name)]
    rng.shuffle(pairs)
    each = cycle(pairs)
    for _ in range(count):
        part = rng.random()
        if part < 0.5:
            yield of_values(rng, *next(each))
        elif part < 0.65:
            yield extreme(rng)
        else:
            yield rng.choices(list(OTHERS), list(OTHERS.values()))[0](rng)
