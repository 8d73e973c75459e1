"""How features become rows of norm at most 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.certificate.composition import Upstream
from expunge.core.errors import DataError
from expunge.linear.rows import Rows

SCALINGS = ("row", "dataset")
"""``row``: each row divided by its own L2 norm, which depends on no other row.

``dataset``: the training set's mean is subtracted and the result divided by its standard deviation, feature
by feature, before that. Both depend on every training row, removed ones too: no guarantee covers it.
"""

_BLOCK = 1024
_ROUNDING = 10  # roundings of the stored type: a feature that varies by no more does not vary


def cost(scaling: str) -> Upstream:
    """What a scaling costs the training rows: nothing, or the reason why that is not known."""
    if scaling == "dataset":
        return Upstream(not_covered="features were scaled by statistics of the training set")
    return Upstream()


def scaled(
    train: NDArray[Any],
    test: NDArray[Any],
    scaling: str,
    what: str,
    offset: float = 0.0,
) -> tuple[Rows, Rows]:
    """Return training and test features as rows.

    Args:
        train: (n, d) numbers; may be a memory map, and with ``row`` is not copied.
        test: (m, d).
        scaling: One of ``SCALINGS``; ``dataset`` makes float32 arrays of the same shapes, in memory.
        what: How error messages call the two together.
        offset: Subtracted from every entry (which ``dataset`` has no need of).

    Raises:
        DataError: A row holds NaN or infinity.
    """
    if scaling == "dataset":
        train, test = standardised(train, test, what)
        offset = 0.0
    return (
        Rows.normalised(train, offset, f"{what}: training row"),
        Rows.normalised(test, offset, f"{what}: test row"),
    )


def standardised(
    train: NDArray[Any], test: NDArray[Any], what: str = "dataset"
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """``(x_ij - mean_j) / std_j`` with mean and standard deviation (divisor n) of the training features.

    A feature that does not vary over the training rows becomes 0 in all rows: no deviation tells how far from
    them a test row is. Arithmetic in float64; the arguments are as in ``scaled``.

    Raises:
        DataError: A row holds NaN or infinity.
    """
    _require_finite(train, f"{what}: training row")
    _require_finite(test, f"{what}: test row")
    mean, std = _moments(train)
    first, second = (np.empty(x.shape, dtype=np.float32) for x in (train, test))
    for x, out in ((train, first), (test, second)):
        for start, block in _blocks(x):
            out[start : start + len(block)] = (block - mean) / std
    return first, second


def _moments(x: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each feature, in two passes.

    The first row is subtracted beforehand, so that a constant feature has deviation zero, not a rounding.
    """
    first = np.asarray(x[0], dtype=np.float64)
    shift = sum(((block - first).sum(axis=0) for _, block in _blocks(x)), np.zeros(x.shape[1])) / len(x)
    mean = first + shift
    squares = sum((((block - first) - shift) ** 2).sum(axis=0) for _, block in _blocks(x))
    std: NDArray[np.float64] = np.sqrt(squares / len(x))
    rounding = np.finfo(x.dtype).eps if np.issubdtype(x.dtype, np.floating) else 0.0
    return mean, np.where(std <= _ROUNDING * rounding * abs(mean), np.inf, std)


def _require_finite(x: NDArray[Any], what: str) -> None:
    for start, block in _blocks(x):
        bad = ~np.isfinite(np.einsum("ij,ij->i", block, block))  # numbers too large to be squared count too
        if bad.any():
            raise DataError(f"{what} {start + int(np.argmax(bad))} holds NaN or infinity")


def _blocks(x: NDArray[Any]) -> Iterator[tuple[int, NDArray[np.float64]]]:
    for start in range(0, len(x), _BLOCK):
        yield start, np.asarray(x[start : start + _BLOCK], dtype=np.float64)
