"""The number that a run tells an optimising sweeper (Optuna, Ax, Nevergrad), which chooses the next by it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from expunge.core.errors import InvalidValue

KEY = "optimized_metric"
Told = float | tuple[float, ...] | None


def names_of(asked: Any) -> list[str]:
    """The names asked for: none, one, or more (of several objectives).

    Raises:
        InvalidValue: It is no name.
    """
    names = asked if isinstance(asked, list) else [] if asked is None else [asked]
    if not all(isinstance(name, str) and name for name in names):
        raise InvalidValue(KEY, asked, "the name of a number of summary.json, a list of names, or null")
    return names


def metric_of(config: DictConfig) -> Any:
    """What a configuration asks for, as plain values."""
    asked = config.get(KEY)
    return OmegaConf.to_container(asked) if isinstance(asked, ListConfig) else asked


def told(asked: Any, summary: Mapping[str, Any]) -> Told:
    """Return what ``optimized_metric`` names in a summary: a number, or one of each name of a list.

    Raises:
        InvalidValue: The summary has no such number.
    """
    numbers = {key: value for key, value in summary.items() if _is_number(value)}
    for name in names_of(asked):
        if name not in numbers:
            raise InvalidValue(KEY, name, f"a number of summary.json: {', '.join(numbers)}")
    return _shaped(asked, [float(numbers[name]) for name in names_of(asked)])


def of_a_failed_cell(asked: Any) -> Told:
    """Not a number, where one is waited for: the sweep goes on, and its sweeper does not prefer this cell."""
    try:
        return _shaped(asked, [math.nan] * len(names_of(asked)))
    except InvalidValue:
        return None


def _shaped(asked: Any, numbers: list[float]) -> Told:
    if isinstance(asked, list):
        return tuple(numbers)
    return numbers[0] if numbers else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
