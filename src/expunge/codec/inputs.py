"""What comes in: NumPy arrays and torch tensors, checked and brought to float64 columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FEWEST_ROWS = 3


def columns_of(values: Any, name: str, rows: int | None = None) -> NDArray[np.float64]:
    """The columns of ``values`` as float64, shape (p, n), each contiguous.

    ``values`` are numbers of shape (n,) or (n, p): NumPy, torch, or anything ``np.asarray`` takes. float32
    and float16 are widened without loss, so that they give the same neighbours as their float64 copy.
    ``name`` is what messages call them, ``rows`` how many rows they must have.

    Raises:
        ValueError: Not one- or two-dimensional, no columns, fewer than 3 rows, another number of rows than
            ``rows``, not numeric, NaN or infinite, or so wide that squared distances overflow.
    """
    array = _numeric(values, name)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise ValueError(f"{name}: got {array.ndim} dimensions, allowed: shape (n,) or (n, p)")
    if array.shape[1] == 0:
        raise ValueError(f"{name}: got no columns, allowed: at least 1")
    columns = np.ascontiguousarray(array.T, dtype=np.float64)
    _check(columns.T, name, rows)
    with np.errstate(over="ignore"):
        widest = np.square(columns.max(axis=1) - columns.min(axis=1)).sum()
    if not np.isfinite(widest):
        raise ValueError(f"{name}: squared distances between its rows overflow float64; rescale the columns")
    return columns


def ranks_of(y: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``R_i = #{j: Y_j <= Y_i}`` and ``L_i = #{j: Y_j >= Y_i}``, both (n,).

    Raises:
        ValueError: ``y`` is not one column of finite numbers with at least 3 rows.
    """
    array = _numeric(y, "y")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"y: got shape {array.shape}, allowed: (n,) or (n, 1)")
    _check(array, "y")
    ordered, n = np.sort(array), len(array)
    at_most = np.searchsorted(ordered, array, side="right").astype(np.int64)
    at_least = n - np.searchsorted(ordered, array, side="left").astype(np.int64)
    return at_most, at_least


def _numeric(values: Any, name: str) -> NDArray[Any]:
    if hasattr(values, "detach"):  # a torch tensor, wherever it lives
        values = values.detach().cpu()
        values = (values.double() if values.dtype.is_floating_point else values).numpy()
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{name}: not an array of numbers ({error})") from None
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name}: got dtype {array.dtype}, allowed: booleans, integers and real numbers")
    return array


def _check(array: NDArray[Any], name: str, rows: int | None = None) -> None:
    n = len(array)
    if n < FEWEST_ROWS:
        raise ValueError(f"{name}: got {n} rows, allowed: at least {FEWEST_ROWS}")
    if rows is not None and n != rows:
        raise ValueError(f"{name}: got {n} rows where y has {rows}, allowed: the same number")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = int(np.size(array) - np.isfinite(array).sum())
        raise ValueError(f"{name}: got {bad} entries that are NaN or infinite, allowed: finite numbers")
