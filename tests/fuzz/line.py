"""One generated command line, and what its makers share."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.fuzz import values


@dataclass(frozen=True)
class Line:
    """A command line and what may come of it.

    Attributes:
        program: ``expunge`` or another of our commands.
        arguments: What follows.
        names: A refusal names one of these: keys, flags, or what was given.
        never: It must be refused.
        kind: Which of the kinds below it is.
    """

    program: str
    arguments: tuple[str, ...]
    names: tuple[str, ...]
    never: bool
    kind: str


def drawn(rng: random.Random, key: str) -> str:
    pool = rng.choice((values.NEVER, values.NUMBERS, values.TEXTS, values.PATHS, values.ALL))
    return rng.choice([value for value in pool if values.is_quick(key, value)])


def is_never(key: str, value: str) -> bool:
    group = key.partition(".")[0]
    return value in values.NEVER and value not in (*values.MAY.get(key, ()), *values.MAY.get(group, ()))


def named(key: str, value: str) -> tuple[str, ...]:
    """What a refusal of a value may name: the key, or a file that the value is, or a reference in it."""
    shown = value.strip("'\"")
    parts = [key] if len(shown) < 3 else [key, shown[:60]]
    return (*parts, *(("NOPE", "missing", "nope") if "$" in value else ()))


def keys_in(overrides: list[str]) -> tuple[str, ...]:
    return tuple(text.partition("=")[0] for text in overrides)
