"""Which of several processes this one is: what ``torchrun``, or who starts it, says in the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from expunge.core.errors import InvalidValue

_NAMES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Place:
    """Rank ``rank`` of ``size`` processes, ``local`` of them on this machine, that meet at ``host``:``port``.

    ``hosted`` says that who started them keeps the store there by which they meet.
    """

    rank: int
    size: int
    local: int
    host: str
    port: int
    hosted: bool


def place_of(environment: Mapping[str, str]) -> Place | None:
    """The place that an environment gives; None for a process that is alone.

    Raises:
        InvalidValue: A variable is no whole number, or out of range.
    """
    if not all(environment.get(name) for name in _NAMES):
        return None
    size = _number(environment, "WORLD_SIZE", 1, 2**20)
    if size == 1:
        return None
    return Place(
        _number(environment, "RANK", 0, size - 1),
        size,
        _number({"LOCAL_WORLD_SIZE": str(size), **environment}, "LOCAL_WORLD_SIZE", 1, size),
        environment["MASTER_ADDR"],
        _number(environment, "MASTER_PORT", 1, 65_535),
        environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
    )


def forget() -> None:
    """Take the place out of the environment: a process that this one starts is alone."""
    for name in (*_NAMES, "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        os.environ.pop(name, None)


def _number(environment: Mapping[str, str], name: str, least: int, most: int) -> int:
    given = environment[name]
    if not (given.isdecimal() and least <= int(given) <= most):
        raise InvalidValue(name, given, f"a whole number from {least} to {most}")
    return int(given)
