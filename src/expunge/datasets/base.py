"""What a data set is: stored arrays, labels, and how raw values become features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import LARGEST_SINGLE, require_count, require_finite
from expunge.core.errors import DataError, InvalidValue
from expunge.core.hashing import sha256_of, sha256_of_array
from expunge.datasets.corruption import Corruption
from expunge.datasets.names import listed, plain, require_several


@dataclass(frozen=True)
class Retrieval:
    """What test rows are for in re-identification: each query is to find its person in the gallery.

    The labels of such a data set are the persons' numbers: above 0, or, among the test rows, 0 for a
    distractor (nobody who is asked for) and -1 for junk (an image that counts neither for nor against).

    Attributes:
        query: (q,) int64 ids of test rows.
        gallery: (g,) int64 ids of test rows.
        cameras: (n_test,) int64 camera of each test row; -1: not known.
    """

    query: NDArray[np.int64]
    gallery: NDArray[np.int64]
    cameras: NDArray[np.int64]


@dataclass(frozen=True)
class Dataset:
    """Training and test arrays as stored; row ids count from 0 in the files' order.

    Attributes:
        name: As in the configuration.
        x_train: (n_train, ...) images or feature rows, uint8 or floating; may be a memory map. Rows may be
            sparse: a CSR array of scipy.sparse, (n_train, d).
        y_train: (n_train,) int64 class labels.
        x_test: (n_test, ...).
        y_test: (n_test,) int64.
        class_names: Label -> the name a user would call the class by.
        unit: The raw value that means 1.0 (255 for 8-bit pixels).
        offset: Subtracted after division by ``unit`` (0.5 as published for pixels).
        retrieval: Queries, gallery and cameras of a re-identification data set.
        ids: (n_train,) text, what the owner of the data calls each training row, each once.
        groups: (n_train,) text, whose each training row is, such as a person's.
        weights: (n_train,) float64 in (0, 1], what each training row counts in the loss; None: 1 each.
        features: Of a table, the name of each column of x, and whether it holds but 0 and 1.
        corruption: Which rows were changed before training; rows and classes are chosen before that.
        texts: Reads the texts of rows again, by their ids, where x holds what was made of a text.
        holds: What the numbers of x are: ``numbers``; ``tokens``, numbers of words in the order of a text, 0
            behind the last one; or ``letters``, its bytes, likewise. See ``datasets.words``.
    """

    name: str
    x_train: Any
    y_train: NDArray[np.int64]
    x_test: Any
    y_test: NDArray[np.int64]
    class_names: dict[int, str]
    unit: float = 1.0
    offset: float = 0.0
    retrieval: Retrieval | None = None
    ids: NDArray[np.str_] | None = None
    groups: NDArray[np.str_] | None = None
    features: Mapping[str, bool] | None = None
    weights: NDArray[np.float64] | None = None
    corruption: Corruption | None = None
    texts: Callable[[Sequence[str]], list[str]] | None = None
    holds: str = "numbers"

    def __post_init__(self) -> None:
        for part, x, y in (("training", self.x_train, self.y_train), ("test", self.x_test, self.y_test)):
            if x.shape[0] != len(y):
                raise DataError(f"dataset {self.name}: {x.shape[0]} {part} rows but {len(y)} {part} labels")
            if x.shape[0] == 0:
                raise DataError(f"dataset {self.name}: no {part} rows")

    @property
    def raw_offset(self) -> float:
        """The offset in raw units."""
        return self.offset * self.unit

    def digests(self) -> dict[str, str]:
        """SHA-256 of all that it holds, by what each part is; ``unit`` and ``offset`` go with the inputs."""
        found = {
            "training inputs": sha256_of_array(self.x_train, self.unit, self.offset),
            "training labels": sha256_of_array(self.y_train),
            "test inputs": sha256_of_array(self.x_test, self.unit, self.offset),
            "test labels": sha256_of_array(self.y_test),
            "class names": sha256_of([repr(sorted(self.class_names.items())).encode()]),
        }
        if self.retrieval is not None:
            parts = (self.retrieval.query, self.retrieval.gallery, self.retrieval.cameras)
            found["queries, gallery and cameras"] = sha256_of(sha256_of_array(p).encode() for p in parts)
        of_each = (("ids", self.ids), ("groups", self.groups), ("weights", self.weights))
        for name, of_rows in of_each:
            if of_rows is not None:
                found[f"training {name}"] = sha256_of_array(of_rows)
        if self.features is not None:
            found["names of features"] = sha256_of([repr(list(self.features.items())).encode()])
        if self.corruption is not None:
            found["corruption"] = self.corruption.digest()
        return found

    def label_of(self, name: Any) -> int:
        """Return the label of the class a user calls ``name``.

        A class that is called by a word may be named by its label as well; where names are numbers, as of
        digits, they alone count, with or without zeros before them (2 for 0002) where they are the labels.
        """
        for label, known in self.class_names.items():
            if str(name) == known:
                return label
        for label, known in self.class_names.items():
            if str(name) == str(label) and not (known.isdecimal() and int(known) != label):
                return label
        raise InvalidValue("class", name, "one of " + listed(self.class_names.values()))

    def numbered_groups(self, key: str) -> tuple[dict[int, str], NDArray[np.int64]]:
        """Return the name of each group by its number, and the number of each training row's, (n_train,).

        Raises:
            InvalidValue: ``key``: the rows have no groups.
        """
        if self.groups is None:
            allowed = (
                "none: these rows have no groups (dataset=table dataset.group=COLUMN, groups in a file, or "
                "coarse labels: dataset=cifar100 dataset.labels=coarse, dataset=mnist dataset.labels=parity)"
            )
            raise InvalidValue(key, f"dataset={self.name}", allowed)
        names, numbers = np.unique(self.groups, return_inverse=True)
        return dict(enumerate(map(plain, names.tolist()))), numbers.ravel()

    def rows_by_id(self, key: str) -> dict[str, int]:
        """Return the training row of each id.

        Raises:
            InvalidValue: ``key``: the rows have no ids.
        """
        if self.ids is None:
            allowed = "none: these rows have no ids (dataset=table dataset.id=COLUMN, or ids in a file)"
            raise InvalidValue(key, f"dataset={self.name}", allowed)
        return {name: row for row, name in enumerate(self.ids.tolist())}

    def ids_of(self, rows: Sequence[int]) -> list[str]:
        """Return the ids of training rows, or nothing where they have none."""
        return [] if self.ids is None else self.ids[list(rows)].tolist()

    def only(self, classes: Sequence[Any] | None) -> Dataset:
        """Return the rows of the named classes alone, renumbered in the same order (None: all).

        Raises:
            InvalidValue: ``classes`` is no list, or its entries are not two or more different classes.
        """
        if classes is None:
            return self
        if self.retrieval is not None:
            raise InvalidValue("classes", classes, "null for a re-identification data set")
        several = "two or more different class names"
        names = require_several("classes", classes, several)
        try:
            labels = [self.label_of(name) for name in names]
        except InvalidValue:
            known = listed(self.class_names.values())
            raise InvalidValue("classes", names, f"names out of {known}") from None
        if len(set(labels)) < len(labels):  # a class by its name and again by its label
            raise InvalidValue("classes", names, several)
        train, test = np.isin(self.y_train, labels), np.isin(self.y_test, labels)
        return replace(
            self,
            x_test=self.x_test[test],
            y_test=self.y_test[test],
            class_names={label: self.class_names[label] for label in sorted(labels)},
            **self._training(train),
        )

    def first(self, train_rows: int | None) -> Dataset:
        """Return the first ``train_rows`` training rows and all test rows (None: all of both).

        Raises:
            InvalidValue: ``train_rows`` is no whole number >= 1, or more than there are.
        """
        if train_rows is None:
            return self
        rows, there = require_count("train_rows", train_rows), len(self.y_train)
        if rows > there:
            raise InvalidValue("train_rows", train_rows, f"at most {there}, the training rows there are")
        return replace(self, **self._training(slice(rows)))

    def _training(self, rows: Any) -> dict[str, Any]:
        """All that there is of each training row, of some of them."""
        assert self.corruption is None  # whose rows have the numbers that they have now
        found = {name: getattr(self, name) for name in ("x_train", "y_train", "ids", "groups", "weights")}
        return {name: None if of is None else of[rows] for name, of in found.items()}


def require_offset(offset: Any) -> float:
    """Return an offset as a float, or raise ``InvalidValue`` where it leaves nothing of the values."""
    return require_finite("offset", offset, most=LARGEST_SINGLE)


def of_known_classes(y_test: NDArray[np.int64], y_train: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which test rows are of a class that some training row has, removed or not, (n_test,).

    All but the queries and the gallery of re-identification, whose people are no classes of the model.
    """
    return np.isin(y_test, y_train)
