"""A data set as the training of an extractor takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from expunge.core.errors import DataError, InvalidValue
from expunge.core.hashing import sha256_of
from expunge.datasets import Dataset
from expunge.datasets.base import of_known_classes
from expunge.datasets.images import Examples, Images

_SIZE = 256  # rows of a batch where nothing is learned


@dataclass(frozen=True)
class Labelled:
    """Training and test images, or features of them, with class numbers from 0.

    Attributes:
        x_train, x_test: Of the training and the test rows.
        y_train, y_test: (rows,) class numbers; 0 where a test image has none.
        tested: Ids of the test images that have a class: all but the queries and gallery of
            re-identification.
        classes: Number of classes.
    """

    x_train: Images
    y_train: NDArray[np.int64]
    x_test: Images
    y_test: NDArray[np.int64]
    tested: NDArray[np.int64]
    classes: int

    @classmethod
    def of(cls, dataset: Dataset, features: tuple[Images, Images] | None = None) -> Labelled:
        """Return the images of ``dataset``, classes numbered in the order of their labels.

        The people who are trained on are the classes of a re-identification data set. Where there are
        ``features`` of the training and the test rows, they stand for the images.

        Raises:
            InvalidValue: ``dataset``: it holds rows of features, or fewer than two classes.
            DataError: A label is not that of a class, or an image holds NaN or infinity.
        """
        of = f"dataset {dataset.name}"
        x_train, x_test = features or _images(dataset, of)
        y_test, tested = dataset.y_test, np.arange(len(dataset.y_test))
        labels = np.array(sorted(dataset.class_names), dtype=np.int64)
        if dataset.retrieval is not None:
            labels = np.unique(dataset.y_train)
            tested = np.flatnonzero(of_known_classes(y_test, dataset.y_train))
        if len(labels) < 2:
            raise InvalidValue("dataset", f"{dataset.name} with {len(labels)} class", "two classes or more")
        y_train = _codes(dataset.y_train, labels, f"{of}: training")
        codes = np.zeros(len(y_test), dtype=np.int64)
        codes[tested] = _codes(y_test[tested], labels, f"{of}: test")
        return cls(x_train, y_train, x_test, codes, tested, len(labels))

    def train(self, device: torch.device) -> Examples:
        """The training rows in batches on ``device``."""
        return _examples(self.x_train, self.y_train, np.arange(len(self.y_train)), device)

    def test(self, device: torch.device) -> Examples:
        """The test rows that have a class, in batches on ``device``."""
        return _examples(self.x_test, self.y_test, self.tested, device)

    def digests(self) -> dict[str, Any]:
        """What tells these images and targets from others, as JSON values."""
        return {
            "x_train": self.x_train.digest(),
            "x_test": self.x_test.digest(),
            "y_train": sha256_of([self.y_train.tobytes()]),
            "y_test": sha256_of([self.y_test.tobytes()]),
            "classes": self.classes,
        }


def _images(dataset: Dataset, of: str) -> tuple[Images, Images]:
    train, test = (
        Images.of(x, dataset.unit, dataset.offset, f"{of}: {part} images")
        for x, part in ((dataset.x_train, "training"), (dataset.x_test, "test"))
    )
    if len(train.shape) != 3:
        got = f"{dataset.name} with rows of {train.shape[0]} numbers"
        raise InvalidValue("dataset", got, "one of images for this extractor: (rows, height, width, ...)")
    return train, test


def _codes(y: NDArray[np.int64], labels: NDArray[np.int64], what: str) -> NDArray[np.int64]:
    strange = ~np.isin(y, labels)
    if strange.any():
        row = int(np.argmax(strange))
        raise DataError(f"{what} row {row} has label {y[row]}, which is none of its classes")
    return np.searchsorted(labels, y).astype(np.int64)


def _examples(x: Images, y: NDArray[np.int64], rows: NDArray[np.int64], device: torch.device) -> Examples:
    return Examples(x, torch.from_numpy(y), rows, size=_SIZE, device=device)
