"""Tables of numbers as rows of the linear model, whatever they are: arrays, or matrices of scipy.sparse."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from expunge.core.errors import DataError, InvalidValue
from expunge.linear.operations import RowOperations
from expunge.linear.rows import Rows
from expunge.linear.sparse_rows import SparseRows


def normalised(
    raw: Any, offset: float = 0.0, what: str = "row", used: NDArray[np.bool_] | None = None
) -> RowOperations:
    """Rows divided by their L2 norm; see ``Rows.normalised`` and ``SparseRows.normalised``.

    Raises:
        DataError: A row holds NaN or infinity.
        InvalidValue: There is an offset, which would make sparse rows dense.
    """
    if not sp.issparse(raw):
        return Rows.normalised(raw, offset, what, used)
    if offset:
        raise InvalidValue("offset", offset, "0 with sparse rows")
    return SparseRows.normalised(raw, what, used)


def as_given(raw: Any, what: str = "row", used: NDArray[np.bool_] | None = None) -> RowOperations:
    """Rows used as they are; see ``Rows.as_given``.

    Raises:
        DataError: A row holds NaN or infinity, or its norm is above 1.
    """
    return (SparseRows if sp.issparse(raw) else Rows).as_given(raw, what=what, used=used)


def unscaled(raw: Any) -> RowOperations:
    """Rows of any norm, to be looked at by a model that is there."""
    return SparseRows.unscaled(raw) if sp.issparse(raw) else Rows(raw, np.ones(len(raw)))


def require_sound(name: str, raw: Any) -> None:
    """Refuse a sparse matrix whose numbers would be read, or written, beyond its arrays.

    Raises:
        DataError: A row, or a column, of an entry is out of range, or starts of rows fall.
    """
    if not sp.issparse(raw):
        return
    try:
        if raw.format in ("csr", "csc", "bsr"):
            raw.check_format(full_check=True)
        elif raw.format == "coo":
            for side, places in zip(raw.shape, raw.coords, strict=True):
                if len(places) and not (places.min() >= 0 and places.max() < side):
                    raise ValueError(f"an entry is outside of {raw.shape}")
    except (ValueError, IndexError, TypeError) as error:
        raise DataError(f"{name}: a damaged sparse matrix of shape {raw.shape}: {error}") from None


def laid_out(X: Any, places: NDArray[np.int64], count: int) -> Any:
    """Return a table of ``count`` rows that has those of X at these places, and zeros elsewhere."""
    if not sp.issparse(X):
        found = np.zeros((count, X.shape[1]), dtype=X.dtype)
        found[places] = X
        return found
    lengths = np.zeros(count, dtype=np.int64)
    lengths[places] = np.diff(X.indptr)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return sp.csr_array((X.data, X.indices, starts), shape=(count, X.shape[1]))
