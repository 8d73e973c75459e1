"""Which rows of a table are the test rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core import seeds
from expunge.core.checks import require_probability, require_seed
from expunge.core.errors import DataError


def checked_split(test_share: Any, test_seed: Any) -> tuple[float, int | None]:
    """Return share and seed of a split.

    Raises:
        InvalidValue: One of them is none.
    """
    seed = None if test_seed is None else require_seed("test_seed", test_seed)
    return require_probability("test_share", test_share), seed


def split(what: Any, n: int, share: float, seed: int | None) -> tuple[Any, Any]:
    """Return which of n rows are training rows and which are test rows, either in the order of the file.

    Args:
        what: The file or the data set, for messages.
        n: Rows.
        share: Of the test rows, between 0 and 1; there is at least one.
        seed: Of their drawing; None: the last rows, and slices are returned in place of ids.

    Raises:
        DataError: There are fewer than two rows.
    """
    first = n - max(1, round(share * n))
    if first < 1:
        raise DataError(f"{what}: {n} rows cannot be split into training and test rows, allowed: 2 or more")
    if seed is None:
        return slice(0, first), slice(first, n)
    order: NDArray[np.int64] = seeds.stream(seed, "split").permutation(n)
    return np.sort(order[:first]), np.sort(order[first:])
