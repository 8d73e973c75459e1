"""The linear model from a configuration, where each of its settings may go by two names."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from expunge.core.errors import InvalidValue
from expunge.predictors.linear import LinearModel

OF_THE_MODEL = {
    **dict.fromkeys(("lam", "std", "subsample_ratio", "joint_training"), "model"),
    **dict.fromkeys(("tol", "max_iter"), "training"),
}
"""Settings of the linear model that may be given as ``unlearner.KEY`` too, and the group they belong to."""


def linear_model(settings: dict[str, Any], typed: Collection[str]) -> LinearModel:
    """The linear model: one problem for every method, whichever of its two names a setting is given by.

    Raises:
        InvalidValue: The command line gives a setting by its name in ``model`` or ``training``, and
            ``unlearner`` has another value; or a value is not allowed.
    """
    found: dict[str, Any] = {}
    for key, home in OF_THE_MODEL.items():
        at_home = (settings[home] or {}).get(key)
        given = settings["unlearner"].get(key, at_home)
        if f"{home}.{key}" in typed and given != at_home:
            allowed = f"the value of {home}.{key}, {at_home}, or one of the two alone"
            raise InvalidValue(f"unlearner.{key}", given, allowed)
        found |= {} if given is at_home is None else {key: given}
    try:
        return LinearModel(**found, progress=bool(settings["progress"]))
    except InvalidValue as error:
        home = OF_THE_MODEL.get(error.name, "model")
        raise error.within(home if f"{home}.{error.name}" in typed else "unlearner") from None
