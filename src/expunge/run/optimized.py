"""The number that a run tells an optimising sweeper (Optuna, Ax, Nevergrad), which chooses the next by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from expunge.core.errors import InvalidValue

if TYPE_CHECKING:
    from expunge.run.experiment import Experiment

KEY = "optimized_metric"
_OF_EXTRACTORS = "extractor_"
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


def require_numbers(asked: Any, experiment: Experiment) -> None:
    """Refuse, before anything runs, a name that no summary of this experiment is going to have.

    Parts that are not ours, and extractors, may tell more than they declare; then ``told`` is to say so.

    Raises:
        InvalidValue: There will be no such number.
    """
    from expunge.metrics.base import columns_of  # not for --help
    from expunge.record.summary import NUMBERS

    parts = (experiment.unlearner, *experiment.metrics)
    if not all(type(part).__module__.startswith("expunge.") for part in parts):
        return
    own = (getattr(part, "COLUMNS", {}) for part in (experiment.extractor, experiment.unlearner))
    columns = [*own, *map(columns_of, experiment.metrics)]
    known = dict.fromkeys((*NUMBERS, *(key for each in columns for key in each)))
    for name in names_of(asked):
        if name not in known and not name.startswith(_OF_EXTRACTORS):
            raise InvalidValue(KEY, name, f"a number of summary.json: {', '.join(known)}")


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
