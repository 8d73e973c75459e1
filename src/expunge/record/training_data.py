"""What a saved classifier remembers of its training data: enough to know them again, and not the data.

That is a digest of each row that stays, its label included. Of a row that has left there is none: who has a
guess at it could have it confirmed. Where the data are out of reach these digests are all there is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets

from expunge.core.errors import DataError, InvalidValue, UserError
from expunge.core.hashing import sha256_of
from expunge.datasets.names import listed
from expunge.linear.given import Array
from expunge.linear.operations import RowOperations
from expunge.linear.rows import Rows
from expunge.linear.rows_away import RowsAway, RowsOutOfReach
from expunge.predictors.linear import LinearModel

_NUMBERS, _TIMES = "biuf", "mM"
_BLOCK = 4096
_DIGEST = 16  # bytes


class Named:
    """What labels and features are called.

    Attributes:
        classes: (K,) different labels, in rising order.
        names: Of the features, where they have names.
    """

    classes: NDArray[Any]
    names: list[str] | None

    def __post_init__(self) -> None:
        """Refuse labels that could not be saved.

        Raises:
            InvalidValue: They are of a type that is not for names: bytes, structures, times that are none.
        """
        kind, allowed = self.classes.dtype.kind, "whole numbers, text, true and false, or dates"
        if kind in _TIMES and np.isnat(self.classes).any():
            raise InvalidValue("labels", "NaT", allowed)
        text = kind == "U" or (kind == "O" and all(isinstance(label, str) for label in self.classes))
        if not text and kind not in _NUMBERS + _TIMES:
            raise InvalidValue("labels", str(self.classes.dtype), allowed)

    def names_of(self, numbers: NDArray[np.int64]) -> NDArray[Any]:
        """The labels with these numbers among ``classes``, (K,); nothing of them tells of the others."""
        if len(numbers) == len(self.classes):
            return self.classes
        found = self.classes[numbers]
        return np.array(found.tolist()) if found.dtype.kind == "U" else found  # no longer than its longest

    def as_plain(self, numbers: NDArray[np.int64]) -> dict[str, Any]:
        """Labels and feature names as JSON values; ``numbers`` are those of the classes that are there."""
        classes = self.names_of(numbers)
        kind, values = classes.dtype.kind, classes.tolist()
        if kind in _TIMES:
            values = classes.astype(np.int64).tolist()
        elif kind == "f":  # whole numbers all; the longest floats have no type in Python
            values = [int(label) for label in classes]
        labels = {"dtype": "O" if kind == "O" else classes.dtype.str, "values": values}
        return {"labels": labels, "feature_names": self.names}


@dataclass(frozen=True)
class TrainingData(Named):
    """Rows and labels as a model takes them.

    Attributes:
        rows: n rows.
        labels: (n,) numbers from 0 of the labels among ``classes``; -1 of rows that have left, where theirs
            are not known any more.
        weights: (n,) what each row counts in the loss besides its class; None where they have none.
    """

    rows: RowOperations
    labels: NDArray[np.int64]
    classes: NDArray[Any]
    names: list[str] | None = None
    weights: Array | None = None

    @property
    def weighted(self) -> bool:
        """Whether rows have weights of their own."""
        return self.weights is not None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers in which the rows are known to the model."""
        return self.rows.dtype

    def digests(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """A digest of each of these rows, (m, 16): of its numbers and its label's, whatever their types.

        Its weight, where it has one, is in it too.
        """
        contents = self.rows.contents(rows, self.labels[rows])
        if self.weights is None:
            found = [sha256(row).digest()[:_DIGEST] for row in contents]
        else:
            both = zip(contents, self.weights[rows], strict=True)
            found = [sha256(bytes(row) + bytes(weight)).digest()[:_DIGEST] for row, weight in both]
        return np.frombuffer(b"".join(found), dtype=np.uint8).reshape(-1, _DIGEST)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the numbers and the label numbers of all rows: what earlier versions saved.

        They had no weights: with weights it is that of no file of theirs.
        """
        if self.weights is not None:
            return sha256_of([*self.rows.contents(np.arange(len(self.rows)), self.labels), self.weights])
        if not isinstance(self.rows, Rows):
            return sha256_of(self.rows.contents(np.arange(len(self.rows)), self.labels))
        blocks = (self.rows.raw[start : start + _BLOCK] for start in range(0, len(self.rows), _BLOCK))
        numbers = (np.ascontiguousarray(block, dtype=np.float64) + 0.0 for block in blocks)  # no -0.0
        return sha256_of([f"numbers{self.rows.raw.shape}".encode(), *numbers, self.labels.tobytes()])

    def erased(self, model: LinearModel, classes: NDArray[Any]) -> TrainingData:
        """What goes on with ``model``, which has nothing of rows that left, nor ``classes`` their names."""
        return replace(self, rows=model.x, labels=model.y, classes=classes, weights=model.own_sizes)

    def known_from(self, path: Path, saved: dict[str, Any]) -> TrainingData:
        """Return these data with labels and feature names as ``path``, of an earlier version, has them.

        Raises:
            DataError: The file is of a model of other data, of other labels or of other feature names.
        """
        known, now = saved_labels(saved, self.classes), self.classes
        if saved["fingerprint"] != (self.fingerprint if "labels" in saved else self._old_fingerprint()):
            got = f"{self.rows.dtype} of shape {(len(self.rows), self.rows.dim)}"
            raise DataError(f"{path}: X ({got}) and y are not the training data of this model")
        if not np.array_equal(known, now):
            raise other_labels(path, known, now)
        return self.named_as(path, saved, known)

    def named_as(self, path: Path, saved: dict[str, Any], classes: NDArray[Any]) -> TrainingData:
        """Return these data with ``classes``, and with the feature names of a file's header.

        Raises:
            DataError: They have other feature names.
        """
        names = saved.get("feature_names")
        both = zip(names, self.names, strict=True) if names and self.names else ()
        for k, (name, given) in enumerate(both):
            if name != given:
                got = f"column {k} of X is called {given!r}, that of the model {name!r}"
                raise DataError(f"{path}: {got}; allowed: the same columns")
        return replace(self, classes=classes, names=names)

    def _old_fingerprint(self) -> str:
        """That of files of earlier versions, for which a number of another type is another number."""
        if not isinstance(self.rows, Rows):  # which they had not
            return self.fingerprint
        raw = self.rows.raw
        return sha256_of(
            [f"{raw.dtype}{raw.shape}".encode(), np.ascontiguousarray(raw), self.labels.tobytes()]
        )


@dataclass(frozen=True)
class DataAway(Named):
    """What is left of training data that are out of reach: 16 bytes of each row, to know it again by.

    Attributes:
        table: (s, 16) uint8, digests of the rows that were there when the model was saved.
        removed: Ids of those that were not, in rising order.
        rows: How many there are.
        dtype: Type of the numbers in which they are known to the model.
        weighted: Whether each has a weight of its own.
    """

    table: NDArray[np.uint8]
    removed: NDArray[np.int64]
    rows: RowsAway
    dtype: np.dtype[Any]
    classes: NDArray[Any]
    names: list[str] | None = None
    labels: None = None
    weighted: bool = False

    def digests(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Those of these rows, (m, 16), which were there."""
        return self.table[rows - np.searchsorted(self.removed, rows)]

    @property
    def fingerprint(self) -> str:
        """What only the rows themselves can tell.

        Raises:
            RowsOutOfReach: They are not there.
        """
        raise RowsOutOfReach

    def erased(self, model: LinearModel, classes: NDArray[Any]) -> DataAway:
        """Digests of the rows of ``model`` that have not left; ``classes`` have the names of theirs alone."""
        here, gone = model.there.here, model.there.gone
        return replace(self, table=self.digests(here), removed=gone, classes=classes)


Known: TypeAlias = TrainingData | DataAway
"""Training data within reach, or out of it."""


def readable(y: Any) -> Any:
    """Return labels that scikit-learn can read: NumPy's own text it cannot."""
    return y.astype(object) if getattr(getattr(y, "dtype", None), "kind", "") == "T" else y


def numbered(y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the different labels among ``y`` (n,) in rising order, and the number of each row's, (n,).

    Raises:
        ValueError: They are no labels for scikit-learn.
        InvalidValue: They are of several kinds, or of one that has no order.
    """
    try:
        check_classification_targets(y)
        classes, labels = np.unique(y, return_inverse=True)
    except TypeError as error:  # of bytes, or of words among numbers
        allowed = f"labels of one kind, text or whole numbers ({error})"
        raise InvalidValue("y", f"labels of type {y.dtype}", allowed) from None
    return classes, labels.astype(np.int64)


def two_or_more(classes: NDArray[Any]) -> NDArray[Any]:
    """Return the labels of a training.

    Raises:
        UserError: There is only one.
    """
    if len(classes) < 2:
        raise UserError(f"y holds one class ({classes[0]}); two are needed")
    return classes


def other_labels(path: Path, known: NDArray[Any], now: NDArray[Any]) -> DataError:
    """The error of labels ``now`` where the file ``path`` has those in ``known``."""
    own, others = (listed(map(str, labels.tolist()), 6) for labels in (known, now))
    return DataError(f"{path}: y has the labels {others}, the model's are {own}; allowed: those")


def saved_labels(saved: dict[str, Any], now: NDArray[Any]) -> NDArray[Any]:
    """The labels that a file has; those of earlier versions lack their type."""
    if "labels" not in saved:
        return now if now.tolist() == saved["classes"] else np.asarray(saved["classes"])
    dtype, values = np.dtype(saved["labels"]["dtype"]), saved["labels"]["values"]
    if dtype.kind in _TIMES:
        return np.array(values, dtype=np.int64).astype(dtype)
    return np.array(values, dtype=dtype)
