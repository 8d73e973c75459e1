"""The small tables that come with scikit-learn, by their names there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from expunge.core.errors import InvalidValue
from expunge.datasets.base import Dataset
from expunge.datasets.splits import checked_split, split

NAMES = ("breast_cancer", "digits", "iris", "wine")
_FETCHED = (
    "fetch_",
    "20newsgroups",
    "california_housing",
    "covtype",
    "kddcup99",
    "lfw",
    "olivetti",
    "openml",
    "rcv1",
)


def load(
    data_dir: Any = None,
    name: Any = "breast_cancer",
    test_share: float = 0.2,
    test_seed: int | None = 0,
    classes: Sequence[Any] | None = None,
) -> Dataset:
    """Return a table of scikit-learn's own: features as float32, classes by the names that it has for them.

    They are in the package: ``data_dir`` is not used. What scikit-learn fetches is no such table: it keeps
    that as pickles, and a pickle runs whatever is in it.

    Args:
        data_dir: Not used.
        name: One of ``NAMES``.
        test_share: Share of the rows that are test rows, between 0 and 1.
        test_seed: Of their drawing (iris and wine are sorted by class); None: the last rows. The place of a
            training row in the table, from 0, is its id.
        classes: Names of the classes to keep; None: all.

    Raises:
        InvalidValue: A setting is not allowed.
    """
    share, seed = checked_split(test_share, test_seed)
    if name not in NAMES:
        if str(name).startswith(_FETCHED):
            allowed = (
                f"{', '.join(NAMES)}; save what is fetched with numpy.savez(FILE, x=X, y=y): dataset=arrays"
            )
        else:
            allowed = f"one of {', '.join(NAMES)}"
        raise InvalidValue("name", name, allowed)
    from sklearn import datasets  # which takes its time

    found = getattr(datasets, f"load_{name}")()
    x, y = found.data.astype(np.float32), found.target.astype(np.int64)
    train, test = split(f"dataset {name}", len(x), share, seed)
    known = dict(enumerate(map(str, found.target_names)))
    names = {label: known[label] for label in np.unique(y[train]).tolist()}
    kept = np.isin(y[test], y[train])
    dataset = Dataset(
        *(str(name), x[train], y[train], x[test][kept], y[test][kept], names),
        ids=np.arange(len(x))[train].astype(np.str_),
        features=dict.fromkeys(map(str, found.feature_names), False),
    )
    return dataset.only(classes)
