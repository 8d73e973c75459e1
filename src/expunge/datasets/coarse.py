"""Coarse labels over fine ones: models are trained on the first, requests name the second as groups.

To forget a fine class of a coarse one is sub-class forgetting; ``removal.group`` asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from expunge.core.checks import require_choice
from expunge.datasets.base import Dataset

PARITY = {0: "even", 1: "odd"}


def with_coarse(dataset: Dataset, coarse_of: Mapping[int, int], names: Mapping[int, str]) -> Dataset:
    """Return the data set with coarse labels, and the names of its fine classes as groups.

    Args:
        dataset: With fine labels.
        coarse_of: Fine label -> coarse label, of every class.
        names: Coarse label -> name.
    """
    labels = sorted(coarse_of)
    fine = np.array([dataset.class_names[label] for label in labels])
    coarse = np.array([coarse_of[label] for label in labels], dtype=np.int64)
    train, test = (np.searchsorted(labels, y) for y in (dataset.y_train, dataset.y_test))
    return replace(
        dataset,
        y_train=coarse[train],
        y_test=coarse[test],
        class_names=dict(names),
        groups=fine[train],
    )


def of_digits(dataset: Dataset, labels: str | None) -> Dataset:
    """Return digits as they are (None), or ``even`` and ``odd`` with digits as groups (``parity``)."""
    if labels is None:
        return dataset
    require_choice("labels", labels, ("parity",))
    return with_coarse(dataset, {label: label % 2 for label in dataset.class_names}, PARITY)
