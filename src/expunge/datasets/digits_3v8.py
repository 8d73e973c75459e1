"""The 3s and 8s of scikit-learn's 8 x 8 digits: 357 real images, for tests and first steps in a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from expunge.datasets import digits
from expunge.datasets.base import Dataset
from expunge.datasets.corrupting import corrupted


def load(
    data_dir: Any = None,
    offset: float = 0.5,
    classes: Sequence[Any] | None = None,
    train_rows: int | None = None,
    poison: Mapping[str, Any] | None = None,
    mislabel: Mapping[str, Any] | None = None,
) -> Dataset:
    """Return images (8, 8) uint8 with pixels 0 to 16, label +1 for a 3 and -1 for an 8.

    Every fifth of the 3s and 8s, counted in scikit-learn's order, is a test row; the others are the training
    rows, numbered in that order. ``classes`` are both class names, or None; ``data_dir`` is not used.
    ``poison`` and ``mislabel`` are those of ``corrupted``.
    """
    x, y = digits.read()
    chosen = np.isin(y, (3, 8))
    signs = np.where(y[chosen] == 3, 1, -1)
    dataset = digits.split("digits_3v8", x[chosen], signs, {1: "3", -1: "8"}, offset)
    return corrupted(dataset.only(classes).first(train_rows), poison, mislabel)
