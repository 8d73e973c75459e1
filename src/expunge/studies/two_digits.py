"""The data of the studies of the certified binary model: real images of 3s and 8s that need no network."""

from __future__ import annotations

from importlib import import_module

from expunge.core.checks import require_choice
from expunge.datasets import Dataset
from expunge.extractors.pixels import Pixels
from expunge.linear.rows import Rows

NAMES = ("mnist_3v8", "digits_3v8")


def load(dataset: str) -> tuple[Dataset, Rows]:
    """Return the data set ``dataset`` and its training rows, each of norm 1, as runs use them.

    Raises:
        InvalidValue: It is not one of ``NAMES``.
    """
    require_choice("dataset", dataset, NAMES)
    images: Dataset = import_module(f"expunge.datasets.{dataset}").load()
    rows = Pixels().extract(images)[0]
    assert isinstance(rows, Rows)
    return images, rows
