"""A certified method and its model by one flat set of settings, as the estimator has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from expunge.core.errors import InvalidValue
from expunge.predictors.linear import SETTINGS, LinearModel
from expunge.unlearners.newton import Newton

_HERE = {"residual": "residual_held"}  # an estimator's own ``residual`` measures it
_THERE = {here: there for there, here in _HERE.items()}


def engine_of(settings: Mapping[str, Any]) -> Newton:
    """The method on its model.

    Raises:
        InvalidValue: A setting is not allowed.
    """
    own = {_THERE.get(key, key): value for key, value in settings.items()}
    of_model = {key: own.pop(key) for key in SETTINGS if key in own}
    if settings["perturbation"] == "release":  # the noise is that of what leaves; the loss has none
        own["std"], of_model["std"] = of_model["std"], 0.0
    with named_here():
        return Newton(LinearModel(**of_model), **own)


def settings_of(engine: Newton, names: Iterable[str]) -> dict[str, Any]:
    """The settings of these names as they were understood."""
    own = ("std",) if engine.keeps_secret else ()
    return {
        name: getattr(
            engine.predictor if name in SETTINGS and name not in own else engine, _THERE.get(name, name)
        )
        for name in names
    }


@contextmanager
def named_here() -> Iterator[None]:
    """Let complaints name a setting as it is called here."""
    try:
        yield
    except InvalidValue as error:
        if error.name not in _HERE:
            raise
        raise InvalidValue(_HERE[error.name], error.got, error.allowed) from None
