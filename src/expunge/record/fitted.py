"""What one training of the estimator came to, and what its settings are to the method."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

from expunge.core.checks import is_whole, require_choice, require_switch
from expunge.core.errors import InvalidValue
from expunge.core.plain import plain
from expunge.predictors.erasure import erased
from expunge.predictors.linear import SETTINGS, LinearModel
from expunge.record.model_file import Version
from expunge.record.training_data import TrainingData
from expunge.unlearners.newton import PERTURBATIONS, Newton

_OF_NEWTON = {"residual_held": "residual"}  # the estimator's own ``residual`` measures it
_OF_THE_ESTIMATOR = ("normalize", "random_state")


@dataclass(frozen=True)
class Fitted:
    """It is replaced as a whole: whoever reads it reads of one model.

    ``settings`` are those of the training, whatever has been set since; ``version`` is of the model's files.
    """

    engine: Newton
    settings: dict[str, Any]
    data: TrainingData
    version: Version

    def apart(self) -> Fitted:
        """Return a copy that goes on by itself: a release as it stands."""
        with self.engine.lock:
            engine = copy(self.engine)
            engine.predictor = copy(engine.predictor)
        return replace(self, engine=engine)

    def erased(self) -> Fitted:
        """Return such a copy without the rows that have left; the engine is to be settled."""
        with self.engine.lock:
            engine = copy(self.engine)
            engine.predictor = erased(engine.predictor)
        there = engine.predictor.classes_
        classes = self.data.names_of(there)[:1].repeat(len(self.data.classes))
        classes[there] = self.data.names_of(there)
        data = replace(self.data, rows=engine.predictor.x, labels=engine.predictor.y, classes=classes)
        return replace(self, engine=engine, data=data)


def engine_of(settings: dict[str, Any]) -> Newton:
    """The method with these settings of the estimator.

    Raises:
        InvalidValue: One of them, by its name there, is not allowed.
    """
    require_switch("normalize", settings["normalize"])
    require_choice("perturbation", settings["perturbation"], PERTURBATIONS)
    own = {_OF_NEWTON.get(key, key): settings[key] for key in settings if key not in _OF_THE_ESTIMATOR}
    of_model = {key: own.pop(key) for key in SETTINGS if key in own}
    if own["perturbation"] == "release":  # the noise is that of what leaves; the loss has none
        own["std"], of_model["std"] = of_model["std"], 0.0
    elif of_model["std"] is None:
        raise InvalidValue("std", None, "a finite number > 0; None but with perturbation=release")
    with own_names():
        return Newton(LinearModel(**of_model), **own)


def understood(engine: Newton, settings: dict[str, Any]) -> dict[str, Any]:
    """These settings of the estimator as the method understood them, in Python's own types."""
    seed = settings["random_state"]
    found = {"normalize": bool(settings["normalize"]), "random_state": seed if is_whole(seed) else None}
    for key in settings.keys() - found.keys():
        of_model = key in SETTINGS and (key != "std" or engine.perturbation != "release")
        found[key] = getattr(engine.predictor if of_model else engine, _OF_NEWTON.get(key, key))
    return plain({key: found[key] for key in settings}, "settings")


@contextmanager
def own_names() -> Iterator[None]:
    """Name what is refused as the estimator does."""
    try:
        yield
    except InvalidValue as error:
        names = {of_newton: name for name, of_newton in _OF_NEWTON.items()}
        if error.name not in names:
            raise
        raise InvalidValue(names[error.name], error.got, error.allowed) from None
