"""Float64 numbers that are never on the wrong side of what they bound.

A float64 is a rational number, so sums, products and squares are taken exactly (``fractions.Fraction``) and
only the result is rounded, in the direction that the promise needs. Every function gives the nearest float64
on its side: one unit in the last place less and it would be no bound. Of what is no finite number (NaN,
infinity) nothing is known, and its bound is infinity.
"""

from __future__ import annotations

import math
from fractions import Fraction
from sys import float_info

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import BrokenInvariant

_ROOT_BITS = 64  # of a whole square root: more than the 53 of float64
_MANTISSA_BITS = 53
_LIMB_BITS = 18
_MOST_ENTRIES = 1 << 25
_FEW_ENTRIES = 16  # are summed faster one by one
_LIMB = (1 << _LIMB_BITS) - 1


def up(x: Fraction) -> float:
    """Smallest float64 >= x; infinity where x is above the range."""
    try:
        nearest = float(x)
    except OverflowError:
        return math.inf if x > 0 else -float_info.max
    return nearest if nearest >= x else math.nextafter(nearest, math.inf)


def down(x: Fraction) -> float:
    """Largest float64 <= x; -infinity where x is below the range."""
    return -up(-x)


def root_up(x: Fraction) -> float:
    """Smallest float64 >= sqrt(x), x >= 0.

    With r = floor(sqrt(x) 2^e) of at least 64 bits no float64 lies strictly between r / 2^e and
    (r + 1) / 2^e: either the root is the first of them, or what is above the root is above the second.
    """
    e = max(0, _ROOT_BITS + (x.denominator.bit_length() - x.numerator.bit_length()) // 2 + 1)
    scaled = x * (1 << 2 * e)
    r = math.isqrt(scaled.numerator // scaled.denominator)
    return up(Fraction(r if r * r == scaled else r + 1, 1 << e))


def sum_up(*numbers: float) -> float:
    """Smallest float64 >= the exact sum of these."""
    if not all(map(math.isfinite, numbers)):
        return math.inf
    return up(sum(map(Fraction, numbers), Fraction(0)))


def norm_up(vector: NDArray[np.float64]) -> float:
    """Smallest float64 >= the exact 2-norm of a float64 array of any shape (Frobenius norm of a matrix).

    An entry is a whole number of 53 bits times a power of two. Its square, from three limbs of 18 bits, is
    summed as whole numbers, one sum for each power: below 2^38 an entry, so that 2^25 entries fit into int64.

    Raises:
        BrokenInvariant: There are more entries.
    """
    if np.size(vector) > _MOST_ENTRIES:
        raise BrokenInvariant("entries", np.size(vector), f"at most {_MOST_ENTRIES}")
    if not np.isfinite(vector).all():
        return math.inf
    if np.size(vector) <= _FEW_ENTRIES:
        return root_up(sum((Fraction(entry) ** 2 for entry in np.ravel(vector).tolist()), Fraction(0)))
    fractions, exponents = np.frexp(np.ravel(vector).astype(np.float64, copy=False))
    whole = np.abs(fractions * 2.0**_MANTISSA_BITS).astype(np.int64)
    low, middle, high = whole & _LIMB, whole >> _LIMB_BITS & _LIMB, whole >> 2 * _LIMB_BITS
    squares = (low * low, 2 * low * middle, 2 * low * high + middle * middle, 2 * middle * high, high * high)
    least = int(exponents.min(initial=0))
    sums = np.zeros((len(squares), int(exponents.max(initial=0)) - least + 1), dtype=np.int64)
    for row, square in zip(sums, squares, strict=True):
        np.add.at(row, exponents - least, square)
    total = 0
    for limbs in zip(*sums[:, ::-1].tolist(), strict=True):  # one power after the other, from the greatest
        total = (total << 2) + sum(limb << _LIMB_BITS * i for i, limb in enumerate(limbs))
    return root_up(total * Fraction(4) ** (least - _MANTISSA_BITS))
