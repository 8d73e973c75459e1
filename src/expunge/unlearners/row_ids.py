"""The check that every unlearner makes of a request's row ids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import InvalidValue


def checked(rows: Sequence[int], kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the ids of a request as an array.

    Args:
        rows: Ids of training rows.
        kept: (n,) which training rows have not been removed yet.

    Raises:
        InvalidValue: An id is out of range, named twice or gone already, or no row would stay.
    """
    index = np.asarray(rows)
    if index.ndim != 1 or not len(index) or not np.issubdtype(index.dtype, np.integer):
        raise InvalidValue("rows", rows, "a list of one or more whole numbers")
    index = index.astype(np.int64)
    last = len(kept) - 1
    for bad in index[(index < 0) | (index > last)][:1]:
        raise InvalidValue("rows", int(bad), f"training rows from 0 to {last}")
    values, counts = np.unique(index, return_counts=True)
    for bad in values[counts > 1][:1]:
        raise InvalidValue("rows", int(bad), "each row once in a request")
    for bad in index[~kept[index]][:1]:
        raise InvalidValue("rows", int(bad), "rows that have not been removed before")
    most = int(kept.sum()) - 1
    if len(index) > most:
        raise InvalidValue("rows", f"{len(index)} rows", f"at most {most}: one row at least must stay")
    return index
