"""Ids of rows as every door takes them: whole numbers that exist, each once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import InvalidValue

_IDS = "a list of whole numbers, the ids of rows"


def row_ids(rows: Any, n: int, name: str = "rows", distinct: bool = True) -> NDArray[np.int64]:
    """Return ids among n rows as an array, (m,), in the order given; there may be none.

    A boolean mask is refused, not read as ids 0 and 1, nor is a negative id counted from the end.

    Raises:
        InvalidValue: ``rows``, which messages call ``name``, is anything but a list of whole numbers; an id
            is out of range or, with ``distinct``, named twice.
    """
    given = rows.detach().cpu().numpy() if hasattr(rows, "detach") else rows
    try:
        index = np.asarray(list(given) if isinstance(given, range) else given)
    except ValueError:  # lists of different lengths
        raise InvalidValue(name, rows, _IDS) from None
    if index.dtype == bool or (isinstance(given, (list, tuple)) and any(isinstance(v, bool) for v in given)):
        raise InvalidValue(name, "a boolean mask", f"{_IDS} (numpy.flatnonzero(mask) gives those of a mask)")
    if index.ndim != 1 or (index.size and not np.issubdtype(index.dtype, np.integer)):
        got = rows if index.size < 10 else f"{index.dtype} of shape {index.shape}"
        raise InvalidValue(name, got, _IDS)
    for bad in index[(index < 0) | (index >= n)][:1]:
        raise InvalidValue(name, int(bad), f"rows from 0 to {n - 1}" if n else "no row: there is none")
    index = index.astype(np.int64)
    if distinct and index.size:
        rising = np.sort(index)
        for bad in rising[1:][rising[1:] == rising[:-1]][:1]:
            raise InvalidValue(name, int(bad), "each row once")
    return index
