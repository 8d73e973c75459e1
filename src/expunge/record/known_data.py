"""Training data as they are handed in: to be trained on, or to be known again by a model that was saved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from expunge.core.checks import require_numbers
from expunge.core.errors import DataError, InvalidValue
from expunge.core.files import State
from expunge.linear.brought import Brought
from expunge.linear.example_weights import checked_sample_weight, of_rows
from expunge.linear.intercept import beside, beside_unit, checked
from expunge.linear.operations import RowOperations
from expunge.linear.rows_away import RowsAway, RowsOutOfReach
from expunge.linear.sparse_rows import SparseRows
from expunge.linear.taken import as_given, laid_out, normalised, require_sound, unscaled
from expunge.predictors.linear import LinearModel
from expunge.record.model_file import DIGESTS, FINGERPRINT, REMOVED
from expunge.record.training_data import (
    DataAway,
    Known,
    TrainingData,
    numbered,
    other_labels,
    readable,
    saved_labels,
    two_or_more,
)
from expunge.record.weighed import require_as_in_fit

TYPES: dict[str, Any] = {"dtype": [np.float64, np.float32, np.float16], "order": "C", "accept_sparse": "csr"}
"""What scikit-learn is to make of a table."""


def training_data(estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> TrainingData:
    """Return what ``estimator`` is to be trained on; what scikit-learn keeps of X is set on it.

    Raises:
        ValueError: They are nothing that it can be trained on.
    """
    X, y = validate_data(estimator, read_table(X), readable(y), **TYPES)
    classes, labels = numbered(y)
    weights = checked_sample_weight(sample_weight, len(labels))
    rows = rows_of(vars(estimator), X)
    return TrainingData(rows, labels, two_or_more(classes), _names(estimator), weights)


def known_data(
    estimator: Any, path: Path, state: State, X: Any, y: Any, sample_weight: Any = None
) -> TrainingData:
    """Return the training data of a model, as saved in ``path``, from what is left of them.

    X and y, and the rows' weights where they have any, have the n rows of ``fit``, of which those that were
    removed may hold anything, or only those that stay, in their order. Ids are those of ``fit``.

    Raises:
        DataError: X and y are not the data that the model was trained on.
    """
    saved = state.values
    require_as_in_fit(path, saved.get("weighted", False), sample_weight)
    if FINGERPRINT in saved:  # of an earlier version, which knows all rows together
        return training_data(estimator, X, y).known_from(path, saved)
    digests, removed = state.arrays[DIGESTS], state.arrays[REMOVED]
    kept = np.ones(len(digests) + len(removed), dtype=bool)
    kept[removed] = False
    stay = np.flatnonzero(kept)
    X = _stored_like(saved.get("sparse", False), _part(path, "X", read_table(X), kept))
    y = _labels(_part(path, "y", readable(y), kept))
    now, numbers = numbered(validate_data(estimator, "no_validation", y))
    X = validate_data(estimator, X, ensure_all_finite=False, **TYPES)  # rows that stay are: see _rows
    known = saved_labels(saved, now)
    there = np.array(saved["classes"], dtype=np.int64)
    own = _numbers_of(now, known, there)
    if (own < 0).any():
        raise other_labels(path, known, now)
    labels, weights = np.full(len(kept), -1), None
    labels[stay] = own[numbers]
    if sample_weight is not None:
        weights = np.ones(len(kept))
        weights[stay] = checked_sample_weight(_part(path, "sample_weight", sample_weight, kept), len(stay))
    said = f"{path}: X ({X.dtype} of shape {X.shape}) and y are not the training data of this model"
    if X.shape[1] != saved["n_features"]:
        raise DataError(f"{said}: they have {X.shape[1]} features, allowed: {saved['n_features']}")
    if X.shape[0] != len(kept):
        X = laid_out(X, stay, len(kept))
    classes = _all_classes(saved, known)
    rows = rows_of(vars(estimator), X, f"{path}: row", kept)
    data = TrainingData(rows, labels, classes, _names(estimator), weights)
    changed = stay[(data.digests(stay) != digests).any(axis=1)]
    if len(changed):
        more = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
        raise DataError(f"{said}: row {changed[0]} is another{more}; allowed: what it was in fit")
    return data.named_as(path, saved, classes)


def data_away(estimator: Any, state: State) -> DataAway:
    """Return what a saved model knows of training data that are out of reach: digests that ``state`` holds.

    What scikit-learn keeps of X is set on ``estimator``, as if it had seen them.

    Raises:
        RowsOutOfReach: The file is of an earlier version, which has less of them.
    """
    saved, removed = state.values, state.arrays[REMOVED]
    if "feature_type" not in saved:  # of an earlier version
        raise RowsOutOfReach
    estimator.n_features_in_ = saved["n_features"]
    table = state.arrays[DIGESTS]
    dim = saved["n_features"] + (constant_of(vars(estimator)) > 0)
    rows = RowsAway(len(table) + len(removed), dim, len(table))
    classes = _all_classes(saved, saved_labels(saved, np.empty(0)))
    known = table, removed, rows, np.dtype(saved["feature_type"])
    return DataAway(*known, classes, saved["feature_names"], weighted=saved.get("weighted", False))


def brought_rows(
    estimator: Any,
    settings: Mapping[str, Any],
    data: Known,
    model: LinearModel,
    index: NDArray[np.int64],
    X: Any,
    y: Any,
    sample_weight: Any = None,
) -> Brought:
    """Return the rows ``index``, which a request brings along, as a model sees them.

    They must be those of ``fit``, in this order: a model from which something else is taken than what is in
    it would be certified, and hold both. ``model`` knows which classes have rows, and what they count.

    Raises:
        InvalidValue: There are more or fewer.
        DataError: One is another than in ``fit``, or its label or weight is.
    """
    require_as_in_fit(None, data.weighted, sample_weight)
    own, there = checked_sample_weight(sample_weight, len(index)), model.classes_
    X = _stored_like(isinstance(data.rows, SparseRows), read_table(X))
    X, y = validate_data(estimator, X, _labels(readable(y)), reset=False, **TYPES)
    if X.shape[0] != len(index):
        raise InvalidValue("X", f"{X.shape[0]} rows", f"the {len(index)} of the request, in its order")
    now, numbers = numbered(y)
    labels = _numbers_of(now, data.names_of(there), there)[numbers]
    rows = rows_of(settings, X)
    found = TrainingData(rows, labels, data.classes, weights=own).digests(np.arange(len(index)))
    wrong = np.flatnonzero((found != data.digests(index)).any(axis=1))
    if len(wrong):
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        more = f" or weight{more}" if data.weighted else more
        said = f"X and y: what is brought as row {index[wrong[0]]} is another, or has another label{more}"
        raise DataError(f"{said}; allowed: the rows of the request as they were in fit, in its order")
    if X.dtype != data.dtype:  # the same numbers; their norms may have another last bit
        rows = rows_of(settings, X.astype(data.dtype))
    return Brought(rows.dense(), labels, of_rows(model.class_sizes, labels, own))


def both_or_none(X: Any, y: Any, sample_weight: Any = None) -> bool:
    """Whether rows and labels are given.

    Raises:
        InvalidValue: Only one of them is; or their weights are, and they are not.
    """
    if X is None and y is None and sample_weight is not None:
        raise InvalidValue("sample_weight", "weights", "None without X and y, whose weights they are")
    for name, given, other in (("X", X, y), ("y", y, X)):
        if given is None and other is not None:
            raise InvalidValue(name, None, "X and y, or neither")
    return X is not None


def _numbers_of(now: NDArray[Any], known: NDArray[Any], there: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers of the labels ``now`` (k,) among those of a model, ``there`` of ``known``; -1 of others."""
    same = np.broadcast_to(known[:, None] == now, (len(known), len(now)))
    return np.where(same.any(axis=0), there[same.argmax(axis=0)], -1)


def _all_classes(saved: dict[str, Any], known: NDArray[Any]) -> NDArray[Any]:
    """Labels by their numbers; of those that left nothing is known, and the first takes their places."""
    there = np.array(saved["classes"], dtype=np.int64)
    if "classes_of_fit" not in saved:  # the first versions kept all, and had them without their numbers
        return known
    classes = known[:1].repeat(saved["classes_of_fit"])
    classes[there] = known
    return classes


def read_table(X: Any) -> Any:
    """X as it can be read: numbers, and of a sparse matrix indices that are in range, row after row.

    Raises:
        InvalidValue: It is of text or times.
        DataError: Of a sparse matrix they are not.
    """
    require_numbers("X", X)
    require_sound("X", X)
    return X.tocsr() if sp.issparse(X) else X


def _stored_like(sparse: bool, X: Any) -> Any:
    """A table as the model has its own, by which it knows it again: the same numbers in its container."""
    if sp.issparse(X):
        return X if sparse else X.toarray()
    return sp.csr_array(np.asarray(X, dtype=np.float64)) if sparse else X


def constant_of(settings: Mapping[str, Any]) -> float:
    """The constant beside the features of each row, by the estimator's settings; 0 for none.

    Raises:
        InvalidValue: One of them is not allowed.
    """
    names = ("fit_intercept", "intercept_scaling")
    return checked(settings[names[0]], settings[names[1]], names)


def rows_of(
    settings: Mapping[str, Any],
    X: Any,
    what: str = "row",
    used: NDArray[np.bool_] | None = None,
    trained: bool = True,
) -> RowOperations:
    """Return rows X (n, d) as the estimator's settings have them: see ``linear.intercept`` and ``taken``.

    Those that are not ``trained`` on, without ``normalize``, may be of any norm.

    Raises:
        DataError: A row that is ``used`` is not finite or, without ``normalize``, longer than 1.
    """
    constant = constant_of(settings)
    if settings["normalize"]:
        return normalised(beside(X, constant), what=what, used=used)
    X = beside_unit(X, constant)
    return as_given(X, what=what, used=used) if trained else unscaled(X)


def _names(estimator: Any) -> list[str] | None:
    names = getattr(estimator, "feature_names_in_", None)
    return None if names is None else names.tolist()


def _part(path: Path, name: str, given: Any, kept: NDArray[np.bool_]) -> Any:
    """What is to be read of X or y: the rows that stay alone, where the others may keep it from being read.

    Raises:
        DataError: It has neither as many rows as there were in ``fit`` nor as many as stay.
    """
    shape = getattr(given, "shape", None)
    if not (shape or hasattr(given, "__len__")):
        return given  # nothing with rows, as scikit-learn will say
    count, stay = shape[0] if shape else len(given), np.flatnonzero(kept)
    if count == len(stay):
        return given
    if count != len(kept):
        allowed = f"{len(kept)}, of which those removed may hold anything, or the {len(stay)} that stay"
        said = f"{path}: X and y are not the training data of this model"
        raise DataError(f"{said}: {name} has {count} rows, allowed: {allowed}")
    if name == "X" and isinstance(given, np.ndarray) and given.dtype.kind in "biuf":
        return given  # its numbers can be read whatever they are, and it need not be copied
    if hasattr(given, "iloc"):
        return given.iloc[stay]
    return given[stay] if shape else [given[row] for row in stay]


def _labels(y: Any) -> Any:
    """Labels in the type that they have without what took the place of others: None among numbers, say."""
    objects = getattr(y, "dtype", None) == np.dtype(object)
    if objects and not all(isinstance(label, str) for label in np.ravel(y)):
        return np.asarray(y.tolist())
    return y
