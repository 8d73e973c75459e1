"""The linear model from a configuration, where each of its settings may go by two names."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from expunge.core.errors import InvalidValue
from expunge.datasets import Dataset
from expunge.linear.example_weights import by_label
from expunge.linear.intercept import SCALING, checked
from expunge.predictors.linear import LinearModel

OF_THE_MODEL = {
    **dict.fromkeys(("lam", "std", "subsample_ratio", "joint_training", "class_weight"), "model"),
    **dict.fromkeys(("tol", "max_iter", "solver", "solver_memory"), "training"),
}
"""Settings of the linear model that may be given as ``unlearner.KEY`` too, and the group they belong to."""

OF_THE_ROWS = ("intercept", "intercept_scaling")
"""Settings of the group ``model`` that say what the model's rows are."""


def constant_of(settings: dict[str, Any], dataset: Dataset) -> float:
    """The constant beside the features of each row, 0 for none; ``model.intercept`` null: of tables alone.

    Raises:
        InvalidValue: ``model.intercept`` or ``model.intercept_scaling`` is not allowed.
    """
    model = settings["model"] or {}
    intercept, scaling = (model.get(key) for key in OF_THE_ROWS)
    of_tables = dataset.features is not None
    return checked(
        of_tables if intercept is None else intercept,
        SCALING if scaling is None else scaling,
        ("model.intercept", "model.intercept_scaling"),
    )


def linear_model(settings: dict[str, Any], typed: Collection[str]) -> LinearModel:
    """The linear model: one problem for every method, whichever of its two names a setting is given by.

    Raises:
        InvalidValue: The command line gives a setting by its name in ``model`` or ``training``, and
            ``unlearner`` has another value; or a value is not allowed.
    """
    release = at_release(settings)
    found = {key: _given(settings, key, typed) for key in OF_THE_MODEL if not (release and key == "std")}
    found = {
        key: value for key, value in found.items() if value is not None or _at_home(settings, key) is not None
    }
    if release:  # its std is that of the noise
        found["std"] = 0.0
    try:
        return LinearModel(**found, progress=bool(settings["progress"]))
    except InvalidValue as error:
        raise as_typed(error.within("unlearner"), typed) from None


def weigh(unlearner: Any, dataset: Dataset, typed: Collection[str]) -> None:
    """Tell the linear model of a method what the training rows count in its loss.

    Raises:
        InvalidValue: A class has no weight, or one is no class; or the model knows no weights of rows.
    """
    model = getattr(unlearner, "predictor", None)
    if not isinstance(model, LinearModel):
        if dataset.weights is not None:
            raise InvalidValue("dataset.weight", "weights of rows", "null but with model=logistic")
        return
    if dataset.weights is None and model.class_weight is None:
        return

    def label_of(name: Any) -> int | None:
        try:
            return dataset.label_of(name)
        except InvalidValue:
            return None

    names = {label: dataset.class_names[label] for label in np.unique(dataset.y_train).tolist()}
    try:
        model.weigh(by_label(model.class_weight, names, label_of), dataset.weights)
    except InvalidValue as error:
        raise as_typed(error.within("unlearner"), typed) from None


def as_typed(error: InvalidValue, typed: Collection[str]) -> InvalidValue:
    """The same complaint of ``unlearner.KEY`` by the setting's other name, where that was typed."""
    group, _, key = error.name.rpartition(".")
    other = f"{OF_THE_MODEL.get(key, 'model')}.{key}"
    named = group == "unlearner" and other in typed
    return InvalidValue(other, error.got, error.allowed) if named else error


def at_release(settings: dict[str, Any]) -> bool:
    """Whether the noise is that of releases: ``std`` is then the unlearner's own, null to be derived."""
    return bool(settings["unlearner"].get("perturbation") == "release")


def release_std(settings: dict[str, Any], typed: Collection[str]) -> Any:
    """``std`` of the noise at release: as the unlearner has it, or ``model.std`` where that is typed.

    A ``model.std`` of 0 leaves the perturbation out of the loss, as a release does: it says nothing of noise.
    """
    own, at_home = settings["unlearner"].get("std"), _at_home(settings, "std")
    if own is None and ("model.std" not in typed or at_home == 0):
        return None
    if at_home == 0:
        return own
    return _given(settings, "std", typed)


def _given(settings: dict[str, Any], key: str, typed: Collection[str]) -> Any:
    """The value of a setting that has two names; null of the unlearner is a value but for ``std``."""
    home, at_home = OF_THE_MODEL[key], _at_home(settings, key)
    given = settings["unlearner"].get(key, at_home)
    if given is None and key == "std":
        return at_home
    if f"{home}.{key}" in typed and given != at_home:
        allowed = f"the value of {home}.{key}, {at_home}, or one of the two alone"
        raise InvalidValue(f"unlearner.{key}", given, allowed)
    return given


def _at_home(settings: dict[str, Any], key: str) -> Any:
    """The value by its own name."""
    return (settings[OF_THE_MODEL[key]] or {}).get(key)
