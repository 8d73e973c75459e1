"""The data of an audit: small problems, where one row matters, and real digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.audit.worlds import Data
from expunge.linear.operations import RowOperations
from expunge.linear.rows import Rows
from expunge.studies.leak_replay import minimiser
from expunge.studies.leak_worlds import Small

_CHOSEN_BY = 1e-3  # lam of the model that rows are chosen by
_LOOKED_AT = 20_000


def two_classes() -> Data:
    """40 rows of 2 features, the problem of the study ``leak``; the first three rows leave one by one."""
    small = Small.drawn(40, 2, 14)
    return Data("40 drawn rows, 2 features", small.rows, small.y, ((0,), (1,), (2,)))


def three_classes() -> Data:
    """60 rows of 3 features in three classes; one row of each leaves."""
    rng = np.random.default_rng(14)
    rows = Rows.normalised(rng.normal(size=(60, 3)))
    y = np.argmax(rows.dense() @ rng.normal(size=(3, 3)), axis=1)
    gone = tuple((int(np.flatnonzero(y == k)[0]),) for k in range(3))
    return Data("60 drawn rows, 3 features, 3 classes", rows, y, gone)


def digits() -> Data:
    """3s and 8s of scikit-learn's digits, 286 x 64, as ``dataset=digits_3v8``; the heaviest rows leave."""
    from expunge.datasets.digits_3v8 import load

    loaded = load()
    x = Rows.normalised(loaded.x_train.reshape(len(loaded.y_train), -1), loaded.raw_offset)
    return of_rows("digits 3 against 8", x, loaded.y_train)


def of_rows(name: str, x: Any, y: NDArray[np.int64], requests: int = 2) -> Data:
    """``x`` and ``y``, and the rows that weigh most: those of the largest gradient, one a request.

    A class keeps two rows at least.
    """
    return Data(name, x, y, tuple((row,) for row in heaviest(x, y, requests)))


def heaviest(x: Any, y: NDArray[np.int64], count: int) -> list[int]:
    """Row ids, of the first 20,000 those that the model fits worst; of what is no ``Rows`` the first ones."""
    order = np.arange(min(len(y), _LOOKED_AT))
    if isinstance(x, RowOperations):
        weights = minimiser(x, y, _CHOSEN_BY).reshape(x.dim, -1)
        scores = x.part(order) @ weights
        own = np.searchsorted(np.unique(y), y[order])
        two = weights.shape[1] == 1
        margin = np.where(own == 1, 1, -1) * scores[:, 0] if two else scores[order, own]
        order = np.argsort(margin, kind="stable")
    taken: list[int] = []
    left = dict(zip(*np.unique(y, return_counts=True), strict=True))
    for row in order.tolist():
        if len(taken) < count and left[y[row]] > 2:
            left[y[row]] -= 1
            taken.append(row)
    return taken


def images() -> Data:
    """The same digits as a network takes them; one leaves, and then another."""
    from expunge.datasets.digits_3v8 import load
    from expunge.datasets.images import Images

    loaded = load()
    x = Images.of(loaded.x_train, loaded.unit, loaded.offset)
    return of_rows("digits 3 against 8, images", x, loaded.y_train)


PROBLEMS: dict[str, Callable[[], Data]] = {
    "two": two_classes,
    "three": three_classes,
    "digits": digits,
    "images": images,
}
