"""Weights of classes and of rows on their way from the estimator's arguments into its model, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import DataError, InvalidValue
from expunge.linear.example_weights import by_label
from expunge.predictors.linear import LinearModel
from expunge.record.training_data import Known, TrainingData

_KEYS = "classes called by text, whole numbers, true or false"


def weigh(model: LinearModel, data: Known, classes: NDArray[np.int64], some_left: bool = False) -> None:
    """Tell a model what the rows of ``data`` count, before it is trained on them or loaded.

    ``classes`` are the numbers of those that have rows; where ``some_left`` there were others.

    Raises:
        InvalidValue: ``class_weight`` has no weight for one of them, or one for another.
    """
    names = dict(zip(classes.tolist(), data.names_of(classes).tolist(), strict=True))
    of_rows = data.weights if isinstance(data, TrainingData) else None
    model.weigh(by_label(model.class_weight, names, some_left=some_left), of_rows)


def require_as_in_fit(path: Path | None, weighted: bool, given: Any) -> None:
    """Refuse rows without the weights that they had in ``fit``, or with some that they had not.

    Raises:
        DataError: So it is.
    """
    if weighted is not (given is not None):
        where = "" if path is None else f"{path}: "
        allowed = "those of the rows in fit, which belong to them" if weighted else "none, as in fit"
        raise DataError(
            f"{where}sample_weight: got {'none' if given is None else 'some'}, allowed: {allowed}"
        )


def as_pairs(class_weight: Any) -> list[list[Any]] | None:
    """Weights of classes as a file's header has them: its mappings have no keys but text.

    Raises:
        InvalidValue: A class is called by something that it cannot hold.
    """
    if class_weight is None:
        return None
    pairs = [
        [key.item() if isinstance(key, np.generic) else key, float(c)] for key, c in class_weight.items()
    ]
    if not all(isinstance(key, (str, int, float)) for key, _ in pairs):
        raise InvalidValue("class_weight", [*class_weight], _KEYS)
    return pairs


def from_pairs(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a file's header as the estimator takes them."""
    pairs = settings.get("class_weight")
    return {**settings, "class_weight": None if pairs is None else {key: weight for key, weight in pairs}}
