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
_FAR = 400  # powers of two from 1 up to which a square of float64, and a sum of many, keeps all its bits
_LARGEST_FLOAT32 = 127
_ROUNDING = 10  # roundings of the stored type: a feature that varies by no more does not vary

_Powers = NDArray[np.int32] | None


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
    them a test row is. A row too far from the others for float32 comes out shorter, in its direction.
    Arithmetic in float64; the arguments are as in ``scaled``.

    Raises:
        DataError: A row holds NaN or infinity.
    """
    power = _powers(train, f"{what}: training row")
    _powers(test, f"{what}: test row")
    mean, std = _moments(train, power)
    first, second = (np.empty(x.shape, dtype=np.float32) for x in (train, test))
    for x, out in ((train, first), (test, second)):
        for start, block in _blocks(x, power):
            out[start : start + len(block)] = _within_float32((block - mean) / std)
    return first, second


def _within_float32(block: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows with entries beyond float32 by a power of two shorter: their direction is all that is used."""
    exponents = np.frexp(np.abs(block).max(axis=1))[1]
    far = exponents > _LARGEST_FLOAT32
    return np.ldexp(block, np.where(far, -exponents, 0)[:, None]) if far.any() else block


def _moments(x: NDArray[Any], power: _Powers) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each feature, in two passes.

    The first row is subtracted beforehand, so that a constant feature has deviation zero, not a rounding.
    """
    first = next(_blocks(x[:1], power))[1][0]
    shift = sum(((b - first).sum(axis=0) for _, b in _blocks(x, power)), np.zeros(x.shape[1])) / len(x)
    mean = first + shift
    squares = sum((((b - first) - shift) ** 2).sum(axis=0) for _, b in _blocks(x, power))
    std: NDArray[np.float64] = np.sqrt(squares / len(x))
    rounding = np.finfo(x.dtype).eps if np.issubdtype(x.dtype, np.floating) else 0.0
    return mean, np.where(std <= _ROUNDING * rounding * abs(mean), np.inf, std)


def _powers(x: NDArray[Any], what: str) -> _Powers:
    """Powers of two by which features are multiplied so that their squares are numbers; None: by none.

    Raises:
        DataError: A row holds NaN or infinity.
    """
    peaks = np.zeros(x.shape[1])
    for start, block in _blocks(x):
        bad = ~np.isfinite(block).all(axis=1)
        if bad.any():
            raise DataError(f"{what} {start + int(np.argmax(bad))} holds NaN or infinity")
        np.maximum(peaks, np.abs(block).max(axis=0), out=peaks)
    exponents = np.frexp(peaks)[1]
    far = (abs(exponents) > _FAR) & (peaks > 0)
    return np.where(far, -exponents, 0) if far.any() else None


def _blocks(x: NDArray[Any], power: _Powers = None) -> Iterator[tuple[int, NDArray[np.float64]]]:
    for start in range(0, len(x), _BLOCK):
        block = np.asarray(x[start : start + _BLOCK], dtype=np.float64)
        yield start, block if power is None else np.ldexp(block, power)
