"""Exact numbers and the floats beside them: every float64 is a rational, and nothing is rounded unseen."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import inf, isfinite, isqrt, nextafter
from typing import Any


def number(value: Any) -> float | None:
    """``value`` as float64 if it is a finite number (no bool, no text), else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if isfinite(found) else None


def least_above(x: Fraction) -> float:
    """The smallest float64 that is not below x; infinity beyond the range."""
    try:
        near = float(x)
    except OverflowError:
        return inf if x > 0 else -float.fromhex("0x1.fffffffffffffp+1023")
    while near < x:
        near = nextafter(near, inf)
    while (below := nextafter(near, -inf)) >= x:
        near = below
    return near


def most_below(x: Fraction) -> float:
    """The largest float64 that is not above x."""
    return -least_above(-x)


def root_above(x: Fraction) -> float:
    """The smallest float64 whose square is not below x >= 0; infinity beyond the range."""
    if x == 0:
        return 0.0
    shift = max(0, 128 - x.numerator.bit_length() + x.denominator.bit_length())
    shift += shift % 2
    try:
        near = float(Fraction(isqrt((x.numerator << shift) // x.denominator), 1 << shift // 2))
    except OverflowError:
        return inf
    while Fraction(near) ** 2 < x:
        near = nextafter(near, inf)
    while Fraction(below := nextafter(near, 0.0)) ** 2 >= x and below < near:
        near = below
    return near


def root_below(x: Fraction) -> float:
    """The largest float64 whose square is not above x >= 0."""
    above = root_above(x)
    return above if Fraction(above) ** 2 <= x else nextafter(above, 0.0)


def norm_above(values: Iterable[float]) -> float:
    """The smallest float64 that is not below the 2-norm of these."""
    return root_above(sum((Fraction(value) ** 2 for value in values), Fraction(0)))


def covered(sensitivity: float, grid: float, dim: int, ratio: float, std: float) -> bool:
    """Whether ``sensitivity + grid sqrt(dim) <= ratio std``, of exact numbers."""
    left = Fraction(ratio) * Fraction(std) - Fraction(sensitivity)
    return left >= 0 and left**2 >= Fraction(grid) ** 2 * dim


def shares(sensitivity: float, lam: float, counts: Iterable[int]) -> list[float]:
    """Gradient norms that K columns over n_k rows may have: ``lam n_k sensitivity / sqrt(K)``, each down.

    Then a model is at most ``sensitivity`` from the minimisers, whose losses are lam n_k-strongly convex.
    """
    rows = list(counts)
    root = Fraction(root_above(Fraction(len(rows))))
    return [most_below(Fraction(sensitivity) * Fraction(lam) * n / root) for n in rows]
