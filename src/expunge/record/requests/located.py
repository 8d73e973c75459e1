"""Rows chosen by where they lie among the others, in the space of the inputs as they are stored.

Before anything is trained: a request must not depend on the model, or no certificate would cover it. Of whole
numbers, as pixels are, every sum here is exact, so that the choice is the same on any machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core import seeds
from expunge.core.checks import require_count, require_seed
from expunge.datasets import Dataset
from expunge.record.requests.request import Request, batches_of, numbered, require_left

_BLOCK = 1024  # rows that are looked at together: they may be mapped, and larger than the memory
Array = NDArray[np.float64]


def nearest(x: Any, row: int, count: int) -> NDArray[np.int64]:
    """The ids of ``count`` rows: ``row``, and those with the least ``||x_i - x_row||_2``, the nearest first.

    Args:
        x: (n, ...) numbers, or a CSR matrix (n, d).
        row: Its id.
        count: 1 to n.

    Returns:
        (count,) ids; of rows equally far the one with the smaller id comes first.
    """
    here = _flat(x, slice(row, row + 1))
    squares = np.concatenate([((block - here) ** 2).sum(axis=1) for block in _blocks(x)])
    squares[row] = -1  # before its doubles
    return np.argsort(squares, kind="stable")[:count]


def class_distances(x: Any, y: NDArray[np.int64]) -> Array:
    """``||x_i - mean_c||_2`` of each row i to the mean of its class c, (n,).

    Computed as ``||n_c x_i - sum_c||_2 / n_c``, which rounds nothing but the root and the quotient where x
    are whole numbers and the squares' sum is below 2^53.

    Args:
        x: (n, ...) numbers, or a CSR matrix (n, d).
        y: (n,) labels.
    """
    labels, places, counts = np.unique(y, return_inverse=True, return_counts=True)
    sums = np.zeros((len(labels), _flat(x, slice(1)).shape[1]))
    for start, block in enumerate(_blocks(x)):
        np.add.at(sums, places[start * _BLOCK :][: len(block)], block)
    found = np.empty(len(y))
    for start, block in enumerate(_blocks(x)):
        own = places[start * _BLOCK :][: len(block)]
        off = counts[own, None] * block - sums[own]
        found[start * _BLOCK :][: len(block)] = np.sqrt((off**2).sum(axis=1)) / counts[own]
    return found


class Outliers:
    """The rows that are farthest from the mean of their class (``class_distances``), the farthest first.

    Args:
        count: Number of rows.
        batch_size: Rows in each request; None: all in one.

    Raises:
        InvalidValue: A setting is not allowed.
    """

    def __init__(self, count: int = 100, batch_size: int | None = None) -> None:
        self.count = require_count("count", count)
        self.batch_size = None if batch_size is None else require_count("batch_size", batch_size)

    def stream(self, dataset: Dataset, seed: int) -> list[Request]:
        """Return the requests; ``seed`` is not used.

        Raises:
            InvalidValue: They would leave no training row.
        """
        require_left(self.count, len(dataset.y_train))
        order = np.argsort(-class_distances(dataset.x_train, dataset.y_train), kind="stable")
        rows = order[: self.count].tolist()
        return numbered(batches_of(rows, self.batch_size or self.count))


class Neighbours:
    """A row and those nearest to it (``nearest``), of whatever class, the nearest first.

    Args:
        row: Its id; None: drawn.
        count: Number of rows, itself among them.
        batch_size: Rows in each request; None: all in one.
        seed: Of the draw; None for the run's own.

    Raises:
        InvalidValue: A setting is not allowed.
    """

    def __init__(
        self,
        row: int | None = None,
        count: int = 100,
        batch_size: int | None = None,
        seed: int | None = None,
    ) -> None:
        self.row = None if row is None else require_count("row", row, least=0)
        self.count = require_count("count", count)
        self.batch_size = None if batch_size is None else require_count("batch_size", batch_size)
        self.seed = None if seed is None else require_seed("seed", seed)

    def stream(self, dataset: Dataset, seed: int) -> list[Request]:
        """Return the requests.

        Raises:
            InvalidValue: There is no such row, or they would leave no training row.
        """
        n = len(dataset.y_train)
        require_left(self.count, n)
        if self.row is None:
            drawn = seeds.stream(seed if self.seed is None else self.seed, "requests")
            row = int(drawn.permutation(n)[0])
        else:
            row = require_count("row", self.row, least=0, most=n - 1)
        rows = nearest(dataset.x_train, row, self.count).tolist()
        return numbered(batches_of(rows, self.batch_size or self.count))


def _blocks(x: Any) -> Iterator[Array]:
    """All rows, some at a time, (m, d)."""
    return (_flat(x, slice(start, start + _BLOCK)) for start in range(0, x.shape[0], _BLOCK))


def _flat(x: Any, rows: slice) -> Array:
    part = x[rows]
    part = part.toarray() if hasattr(part, "indptr") else np.asarray(part)
    return part.reshape(len(part), -1).astype(np.float64)
