"""What one training of the estimator came to, and what its settings are to the method."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from expunge.core.checks import is_whole, require_choice, require_switch
from expunge.core.errors import InvalidValue
from expunge.core.files import State
from expunge.core.plain import plain
from expunge.core.read_back import of_file, read_as, same
from expunge.linear.given import Array
from expunge.linear.placed import placed
from expunge.linear.rows_away import RowsOutOfReach
from expunge.linear.sparse_rows import SparseRows
from expunge.predictors.erasure import erased
from expunge.predictors.linear import SETTINGS, LinearModel
from expunge.record.hints import of_intercept
from expunge.record.known_data import TYPES, both_or_none, brought_rows, constant_of, read_table, rows_of
from expunge.record.model_file import DIGESTS, MODEL, Version
from expunge.record.training_data import DataAway, Known
from expunge.record.weighed import as_pairs, weigh
from expunge.unlearners.base import Outcome
from expunge.unlearners.newton import PERTURBATIONS, Newton

_OF_NEWTON = {"residual_held": "residual"}  # the estimator's own ``residual`` measures it
_OF_THE_ESTIMATOR = ("normalize", "fit_intercept", "intercept_scaling", "random_state", "device")


@dataclass(frozen=True)
class Fitted:
    """It is replaced as a whole: whoever reads it reads of one model.

    ``settings`` are those of the training, whatever has been set since; ``version`` is of the model's files.
    """

    engine: Newton
    settings: dict[str, Any]
    data: Known
    version: Version

    def hint(self) -> str | None:
        """What is likely to cost accuracy, for the person who trains alone."""
        data = self.data
        if isinstance(data, DataAway):
            return None
        return of_intercept(data.rows, data.labels, data.classes, "fit_intercept=True")

    def apart(self) -> Fitted:
        """Return a copy that goes on by itself: a release as it stands."""
        with self.engine.lock:
            engine = copy(self.engine)
            engine.predictor = copy(engine.predictor)
        return replace(self, engine=engine)

    @property
    def is_away(self) -> bool:
        """Whether the training rows are out of reach."""
        return isinstance(self.data, DataAway)

    def scored(self, estimator: Any, X: Any) -> tuple[Array, NDArray[Any]]:
        """``x.w`` of each row of X, (n,) for two classes, (n, K) for more, and the classes of that model."""
        X = validate_data(estimator, read_table(X), reset=False, **TYPES)
        rows = rows_of(self.settings, X, trained=False)
        out = self.engine.predictor.out
        scores = rows.times(out.weights)
        return scores[:, 0] if out.classes.width == 1 else scores, self.data.names_of(out.classes.labels)

    def remove(self, estimator: Any, rows: Any, X: Any, y: Any, sample_weight: Any = None) -> Outcome:
        """Serve one request of ``estimator``, which may bring its rows, labels and weights along.

        Raises:
            InvalidValue: One of X and y is missing, or they are not as many as the request.
            DataError: A row or its label is another than in ``fit``.
            RowsOutOfReach: So are rows that are needed.
        """
        engine, given = self.engine, both_or_none(X, y, sample_weight)
        if not self.is_away and not given:
            return engine.remove(rows)
        index = engine.predictor.checked(rows)
        if self.is_away:
            self._require_brought(given)
        model = engine.predictor
        brought = brought_rows(estimator, self.settings, self.data, model, index, X, y, sample_weight)
        return engine.remove(rows, brought if self.is_away else None)

    def _require_brought(self, given: bool) -> None:
        engine, loaded = self.engine, "allowed: a model loaded with X and y"
        away = "the training rows are out of reach"
        if engine.update != "rowless":
            raise RowsOutOfReach(
                f"{away}, and update={engine.update} needs them; {loaded}, or update=rowless"
            )
        if engine.predictor.subsample_ratio < 1:  # which class uses which row is drawn, row after row
            raise RowsOutOfReach(f"{away}, and a subsample_ratio below 1 needs all of them; {loaded}")
        if not given:
            raise RowsOutOfReach(f"{away}; allowed: remove(rows, X, y) with those of the request, as in fit")

    def settle(self, live: bool) -> None:
        """Make what is kept a function of the rows that stay alone, before it is written.

        With rows out of reach a ``live`` model may be written as it stands.

        Raises:
            RowsOutOfReach: They are needed for it.
        """
        if self.is_away and (left := self._left_since):
            if live:
                return
            allowed = "save(path, live=True), and then load(path, X, y) and save it"
            said = f"what is kept can give back {left} removed rows, and is made anew from those that stay"
            raise RowsOutOfReach(f"{said}, which are out of reach; allowed: {allowed}")
        self.engine.settle()
        self.engine.passes = 0  # how many there were depends on rows that have left, too

    @property
    def _left_since(self) -> int:
        """Rows that have left since what is kept was made from those that stay alone."""
        model = self.engine.predictor
        return model.settled.count - model.there.count

    def saved(self, path: Path, found: dict[str, Any]) -> Fitted:
        """Write the model, which ``settle`` has seen, to ``path``; return it as one that comes from there.

        ``found`` goes into the header besides; there ``live`` counts rows that can be made out in the file.

        Raises:
            MovedOn: The file is not one that this model may replace.
        """
        engine, data = self.engine, self.data
        left, there = self._left_since, engine.predictor.there
        state = engine.live_state() if left else engine.state()
        state.arrays[DIGESTS] = digests = data.digests(there.here)
        state.values |= data.as_plain(engine.predictor.classes_) | found
        state.values |= {"settings": self.settings, "feature_type": data.dtype.str}
        if isinstance(data.rows, SparseRows):
            state.values["sparse"] = True
        if data.weighted:
            state.values["weighted"] = True
        if left:
            state.values["live"] = left
        version = self.version.save(path, state, engine.served, lambda: data.fingerprint)
        if isinstance(data, DataAway):
            data = replace(data, table=digests, removed=there.gone)
        return replace(self, data=data, version=version)

    def erased(self) -> Fitted:
        """Return such a copy without the rows that have left; the engine is to be settled."""
        with self.engine.lock:
            engine = copy(self.engine)
            engine.predictor = erased(engine.predictor)
        there = engine.predictor.classes_
        classes = self.data.names_of(there)[:1].repeat(len(self.data.classes))
        classes[there] = self.data.names_of(there)
        return replace(self, engine=engine, data=self.data.erased(engine.predictor, classes))


def engine_of(settings: dict[str, Any]) -> Newton:
    """The method with these settings of the estimator.

    Raises:
        InvalidValue: One of them, by its name there, is not allowed.
    """
    require_switch("normalize", settings["normalize"])
    constant_of(settings)
    require_choice("perturbation", settings["perturbation"], PERTURBATIONS)
    own = {_OF_NEWTON.get(key, key): settings[key] for key in settings if key not in _OF_THE_ESTIMATOR}
    of_model = {key: own.pop(key) for key in SETTINGS if key in own}
    if own["perturbation"] == "release":  # the noise is that of what leaves; the loss has none
        own["std"], of_model["std"] = of_model["std"], 0.0
    elif of_model["std"] is None:
        raise InvalidValue("std", None, "a finite number > 0; None but with perturbation=release")
    with own_names():
        return Newton(LinearModel(**of_model), **own)


def load_engine(
    engine: Newton, path: Path, state: State, data: Known, estimator: Any
) -> tuple[Newton, Known, Version, int]:
    """Let the method of ``estimator`` go on from what was saved in ``path``, with these data.

    Returns:
        Method and data, the file's version, and the steps that training took.

    Raises:
        DataError: The file is not what it says; see ``Newton.load_state``.
    """
    rows = placed(data.rows, estimator.device)
    with of_file(path), read_as(MODEL):
        if engine.predictor.class_weight is not None or data.weighted:
            weigh(engine.predictor, data, np.array(state.values["classes"], dtype=np.int64), some_left=True)
        engine.load_state(state, rows, data.labels)
        if is_whole(estimator.random_state):
            model = engine.predictor
            same("secret", (model.seed, model.seeded), (estimator.random_state, True))
        version = Version.loaded(path, state.values)
        if "version" in state.values:
            same("served", engine.served, state.values["version"]["requests"])
    return engine, data, version, state.values["n_iter"]


def understood(engine: Newton, settings: dict[str, Any]) -> dict[str, Any]:
    """These settings of the estimator as the method understood them, in Python's own types.

    Where the rows are is none of them: who reads what was saved may have another machine.
    """
    settings = {key: value for key, value in settings.items() if key != "device"}
    seed = settings["random_state"]
    found: dict[str, Any] = {key: bool(settings[key]) for key in ("normalize", "fit_intercept")}
    found["intercept_scaling"] = float(settings["intercept_scaling"])
    found["random_state"] = seed if is_whole(seed) else None
    found["lam"], found["class_weight"] = float(settings["lam"]), as_pairs(settings["class_weight"])
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
