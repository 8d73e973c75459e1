"""Which draw of each kind of chance a run is: of the original, of its unlearning, of the evaluation.

Runs of one seed have the original in common: they are not independent, and count together as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from expunge.core.variance import Draws

LEVELS = {"seed": "original", "repeat": "unlearning", "evaluation": "evaluation"}
"""Key in settings and summary -> what it draws, each within the one before; runs that do not say have 0."""


def path_of(summary: Mapping[str, Any]) -> Draws:
    """Return the draws of a run, the outermost first."""
    return tuple(str(summary.get(key, 0)) for key in LEVELS)


def told(path: Draws) -> str:
    """Return a run's draws in words: the seed, and what is not the first of its kind."""
    first, *others = zip(LEVELS, path, strict=True)
    return ", ".join(f"{key} {draw}" for key, draw in (first, *(one for one in others if one[1] != "0")))


def is_nested(paths: Iterable[Draws]) -> bool:
    """Whether there are several runs of one seed."""
    every = set(paths)
    return len(every) > len({path[0] for path in every})
