"""The number that a run tells an optimising sweeper (Optuna, Ax, Nevergrad), which chooses the next by it."""

from __future__ import annotations

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
    found = [float(numbers[name]) for name in names_of(asked)]
    if isinstance(asked, list):
        return tuple(found)
    return found[0] if found else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
