"""Rows as they are handed in: what can be stored, and the norms that they have."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import DataError, InvalidValue
from expunge.linear import kernels
from expunge.linear.parallel import for_each

Array = NDArray[np.float64]

BLOCK_ROWS = 1024  # also the unit of summation: results do not depend on the number of threads
NORM_SLACK = 1e-9  # how far over 1 the norm of a row that calls itself normalised may be
_STORED_TYPES = (np.uint8, np.float16, np.float32, np.float64)
# Between them no square of a norm has overflowed, and what has underflowed on the way is below 2^-170 of it.
LEAST_SQUARE, MOST_SQUARE = 2.0**-900, 2.0**1000


def spans(n: int) -> list[tuple[int, int]]:
    """Bounds lo, hi of the blocks of n rows."""
    blocks = max(1, -(-n // BLOCK_ROWS))
    return [(n * k // blocks, n * (k + 1) // blocks) for k in range(blocks)]


def square_norms(raw: NDArray[Any], used: NDArray[np.bool_], offset: float) -> Array:
    """``||raw_i - offset||_2^2`` of every row as float64 has it, (n,); 1 of those that are not ``used``."""
    out, blocks, bits = np.empty(len(raw)), spans(len(raw)), kernels.bits_of(raw)
    for_each(lambda k: kernels.square_norm_block(bits, used, offset, *blocks[k], out), len(blocks), raw.size)
    return out


def in_range(
    raw: NDArray[Any], offset: float, squares: Array, what: str
) -> tuple[NDArray[Any], float, Array]:
    """The same rows, offset and squared norms, with every norm where squares keep all their bits.

    Rows outside are multiplied by a power of two, which their normalisation takes away again: exact, but for
    entries that vanish beside the largest. That takes a copy of all rows, from which the offset is then
    subtracted. Rows of zeros stay.

    Raises:
        DataError: A row holds NaN or infinity.
    """
    outside = np.flatnonzero(~((squares >= LEAST_SQUARE) & (squares <= MOST_SQUARE)))
    require_finite(raw, outside, what)
    far = raw[outside].astype(np.float64) - offset
    exponents = np.frexp(np.abs(far).max(axis=1))[1]
    if not far.any():
        return raw, offset, squares
    far = np.ldexp(far, -exponents[:, None])
    raw = np.asarray(raw, dtype=np.float64) - offset
    raw[outside], squares[outside] = far, np.einsum("ij,ij->i", far, far)
    return raw, 0.0, squares


def require_finite(raw: NDArray[Any], rows: NDArray[np.int64], what: str) -> None:
    """Raise ``DataError`` if one of these rows, called ``what``, holds NaN or infinity."""
    bad = np.zeros(len(raw), dtype=bool)
    bad[rows] = ~np.isfinite(raw[rows]).all(axis=1)
    refuse(bad, f"{what} {{}} holds NaN or infinity")


def stored(raw: Any) -> NDArray[Any]:
    """Return a table of numbers (n, d) as rows are kept: C-contiguous, in a stored type.

    Raises:
        InvalidValue: It is none.
    """
    raw = raw if isinstance(raw, np.ndarray) else np.asarray(raw)
    if raw.ndim != 2 or raw.shape[1] == 0:
        raise InvalidValue("features", raw.shape, "a table of shape (rows, features)")
    if raw.dtype.type not in _STORED_TYPES or not raw.dtype.isnative:
        if not np.issubdtype(raw.dtype, np.number) or np.issubdtype(raw.dtype, np.complexfloating):
            raise InvalidValue("features", str(raw.dtype), "real numbers")
        raw = raw.astype(np.float64)
    return raw if raw.flags.c_contiguous else np.ascontiguousarray(raw)


def refuse(bad: NDArray[np.bool_], message: str) -> None:
    """Raise ``DataError`` with the ``message`` about the first row that is ``bad``, if any is."""
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        more = int(bad.sum()) - 1
        raise DataError(message.format(first) + (f" (and {more} more)" if more else ""))
