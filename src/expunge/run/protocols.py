"""Has a part of an experiment all that a run asks of it? What is missing is said before the run begins."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import is_dataclass
from typing import Any

from expunge.core.errors import UserError
from expunge.datasets import Dataset
from expunge.extractors.base import Extractor
from expunge.metrics import Metric
from expunge.record.requests import RandomRows
from expunge.tracking import Tracker
from expunge.unlearners import Method, Unlearner

_STATEFUL = ("name", "fit", "remove", "state", "load_state")
_ASKED: dict[str, tuple[type, tuple[str, ...]]] = {
    "unlearner": (Unlearner, (*_STATEFUL, "predict", "residual", "model")),
    "method": (Method, (*_STATEFUL, "predictor")),
    "metrics": (Metric, ("every", "COLUMNS", "__call__")),
    "extractor": (Extractor, ("extract",)),
    "tracker": (Tracker, ("start", "log", "finish", "__enter__", "__exit__")),
    "removal": (RandomRows, ("stream",)),
}


def require_protocol(group: str, target: str, made: Any) -> None:
    """Raise ``UserError`` unless ``made`` has all that a run asks of a part of this group.

    Args:
        group: Config group, or the dotted key of a member of it.
        target: The ``_target_`` that made it.
        made: What it made.
    """
    kind = group.partition(".")[0]
    if kind == "dataset" and not isinstance(made, Dataset):
        raise UserError(
            f"{group}: {target} returns {type(made).__name__}, allowed: an expunge.datasets.Dataset"
        )
    if kind == "unlearner" and hasattr(made, "supports"):
        kind = "method"
    if kind == "metrics" and hasattr(made, "columns"):  # older ones name their numbers alone
        _require(group, target, made, Metric, ("every", "__call__"))
    elif kind == "model":
        from expunge.models import Architecture

        _require(group, target, made, Architecture, ("build", "name", "weights"))
        if not is_dataclass(made):
            allowed = "a frozen dataclass, whose fields are all that its networks depend on"
            raise UserError(f"{group}: {target} is a {type(made).__name__}, allowed: {allowed}")
    elif kind in _ASKED:
        _require(group, target, made, *_ASKED[kind])


def require_complete(group: str, target: str, factory: Any) -> None:
    """Raise ``UserError`` if a class does not say what its base leaves to it."""
    _require(group, target, None, factory, sorted(getattr(factory, "__abstractmethods__", ())))


def _require(group: str, target: str, made: Any, protocol: Any, names: Iterable[str]) -> None:
    missing = [_called(protocol, name) for name in names if not hasattr(made, name)]
    if missing:
        raise UserError(f"{group}: {target} lacks {', '.join(missing)}")


def _called(protocol: Any, name: str) -> str:
    member = getattr(protocol, name, None)
    if not inspect.isfunction(member):
        return f"the attribute {name}"
    takes = [parameter for parameter in inspect.signature(member).parameters if parameter != "self"]
    return f"the method {name}({', '.join(takes)})"
