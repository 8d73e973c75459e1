"""How features become rows of norm at most 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from expunge.certificate.composition import Upstream
from expunge.core.errors import DataError, InvalidValue
from expunge.extractors.ranges import Ranges
from expunge.linear.intercept import beside
from expunge.linear.operations import RowOperations
from expunge.linear.sparse_rows import canonical
from expunge.linear.taken import normalised

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
    train: Any,
    test: Any,
    scaling: str,
    what: str,
    offset: float = 0.0,
    constant: float = 0.0,
) -> tuple[RowOperations, RowOperations]:
    """Return training and test features as rows.

    Args:
        train: (n, d) numbers; may be a memory map, or sparse, and with ``row`` is not copied.
        test: (m, d).
        scaling: One of ``SCALINGS``; ``dataset`` makes float32 arrays of the same shapes, in memory.
        what: How error messages call the two together.
        offset: Subtracted from every entry (which ``dataset`` has no need of).
        constant: c of ``linear.intercept``, beside the features before they are divided by their norm, which
            takes a copy of them; 0 for none.

    Raises:
        DataError: A row holds NaN or infinity.
        InvalidValue: The rows are sparse, and ``dataset`` or an offset would make them dense.
    """
    if scaling == "dataset" and (sp.issparse(train) or sp.issparse(test)):
        raise InvalidValue("scaling", scaling, "row with sparse rows, which a mean would make dense")
    if scaling == "dataset":
        train, test = standardised(train, test, what)
        offset = 0.0
    return (
        normalised(beside(train, constant, offset), offset, f"{what}: training row"),
        normalised(beside(test, constant, offset), offset, f"{what}: test row"),
    )


def flat(x: Any) -> Any:
    """Rows of features, (n, d), of rows of any shape; sparse ones are that."""
    return x if sp.issparse(x) else x.reshape(len(x), -1)


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
    first, second = (_computed(x, power, lambda block: (block - mean) / std) for x in (train, test))
    return first, second


def declared(train: Any, test: Any, ranges: Ranges, what: str) -> tuple[Any, Any]:
    """``(x - centre) / half`` of each feature, in float32; see ``standardised``. Sparse rows stay sparse.

    Raises:
        DataError: A row holds NaN or infinity.
        InvalidValue: The rows are sparse, and a centre is not 0.
    """
    if sp.issparse(train):
        if ranges.centre.any():
            allowed = "centres of 0 with sparse rows, such as [-1, 1]: any other makes them dense"
            raise InvalidValue("ranges", f"a centre of {ranges.centre[ranges.centre != 0][0]:g}", allowed)
        first, second = (
            _divided(x, ranges.half, f"{what}: {part} row")
            for x, part in ((train, "training"), (test, "test"))
        )
        return first, second
    for x, part in ((train, "training"), (test, "test")):
        _powers(x, f"{what}: {part} row")
    first, second = (_computed(x, None, ranges.of) for x in (train, test))
    return first, second


def _divided(x: Any, half: NDArray[np.float64], what: str) -> Any:
    """``x / half`` of sparse rows, in float32.

    Raises:
        DataError: A row holds NaN or infinity.
    """
    x = canonical(x)
    rows = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))
    bad = ~np.isfinite(x.data)
    if bad.any():
        raise DataError(f"{what} {rows[np.argmax(bad)]} holds NaN or infinity")
    wide = x.data / half[x.indices]
    peaks = np.zeros(x.shape[0])
    np.maximum.at(peaks, rows, np.abs(wide))
    found = sp.csr_array((wide, x.indices, x.indptr), shape=x.shape)
    found.data = np.ldexp(wide, _shortening(peaks)[rows]).astype(np.float32)
    return found


def _computed(
    x: NDArray[Any], power: _Powers, of: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> NDArray[np.float32]:
    found = np.empty(x.shape, dtype=np.float32)
    for start, block in _blocks(x, power):
        found[start : start + len(block)] = _within_float32(of(block))
    return found


def _within_float32(block: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows with entries beyond float32 by a power of two shorter: their direction is all that is used."""
    powers = _shortening(np.abs(block).max(axis=1))
    return np.ldexp(block, powers[:, None]) if powers.any() else block


def _shortening(peaks: NDArray[np.float64]) -> NDArray[np.int32]:
    """The power of two, at most 0, by which a row with such a largest entry is within float32."""
    exponents = np.frexp(peaks)[1]
    return np.where(exponents > _LARGEST_FLOAT32, -exponents, 0).astype(np.int32)


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
