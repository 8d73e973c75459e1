"""scikit-learn's 8 x 8 digits: 1,797 real images of ten classes, for tests and first steps in seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.datasets.base import Dataset, require_offset
from expunge.datasets.coarse import of_digits
from expunge.datasets.corrupting import corrupted


def load(
    data_dir: Any = None,
    offset: float = 0.5,
    classes: Sequence[Any] | None = None,
    train_rows: int | None = None,
    labels: str | None = None,
    poison: Mapping[str, Any] | None = None,
    mislabel: Mapping[str, Any] | None = None,
) -> Dataset:
    """Return images (8, 8) uint8 with pixels 0 to 16, labelled 0 to 9.

    Every fifth image, counted in scikit-learn's order, is a test row; the others are the training rows,
    numbered in that order. The images come with scikit-learn: ``data_dir`` is not used.
    ``labels`` is that of ``of_digits``, ``poison`` and ``mislabel`` are those of ``corrupted``.
    """
    names = {digit: str(digit) for digit in range(10)}
    dataset = of_digits(split("digits", *read(), names, offset), labels).only(classes).first(train_rows)
    return corrupted(dataset, poison, mislabel)


def read() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return all images (1797, 8, 8) and labels, in scikit-learn's order.

    They are read from scikit-learn's own file, as its ``load_digits`` does: to import that takes a second.
    """
    found = find_spec("sklearn")
    places = [] if found is None else found.submodule_search_locations or []
    for place in places:
        file = Path(place, "datasets", "data", "digits.csv.gz")
        if file.is_file():
            table = np.loadtxt(file, delimiter=",")
            return table[:, :-1].reshape(-1, 8, 8).astype(np.uint8), table[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits  # of a version that keeps them elsewhere

    digits = load_digits()
    return digits.images.astype(np.uint8), digits.target.astype(np.int64)


def split(
    name: str, x: NDArray[np.uint8], y: NDArray[np.int64], class_names: dict[int, str], offset: float
) -> Dataset:
    """Return every fifth image as a test row and the others as training rows."""
    offset, test = require_offset(offset), np.arange(len(y)) % 5 == 4
    return Dataset(name, x[~test], y[~test], x[test], y[test], class_names, unit=16.0, offset=offset)
