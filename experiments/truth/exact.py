"""The minimiser of the logistic loss to 60 digits, and how far from it a model is."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import frexp
from typing import Any

import numpy as np
from mpmath.libmp.libelefun import exp_fixed
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

from expunge.linear.rows import Rows

BITS = 256
"""Numbers are whole multiples of 2^-256 (77 digits after the point); a sum of n products is off by n + 1."""

_ENOUGH = Fraction(1, 2**200)  # 6e-61
_MOST_STEPS = 60
_DIGITS_OF_HESSIAN = 40  # binary ones: a gradient below 2^-40 moves it by less than float64 tells

Fixed = NDArray[Any]  # of Python's whole numbers


def fixed(values: Any) -> Fixed:
    """Float64 numbers as multiples of 2^-BITS, rounded down."""
    flat = [_floor(Fraction(value)) for value in np.ravel(values).tolist()]
    return np.array(flat, dtype=object).reshape(np.shape(values))


def fixed_rows(rows: Rows) -> Fixed:
    """``scale_i (raw_i - offset)`` of the very numbers that are stored, rounded down once, (n, d)."""
    raw, offset = rows.raw.astype(np.float64), Fraction(rows.offset)
    scales = map(Fraction, rows.scale.tolist())
    table = [
        [_floor(s * (Fraction(v) - offset)) for v in row] for s, row in zip(scales, raw.tolist(), strict=True)
    ]
    return np.array(table, dtype=object).reshape(raw.shape)


@dataclass(frozen=True)
class Exact:
    """``L(w) = sum_i log(1 + exp(-y_i x_i.w)) + (lam n / 2) ||w||^2`` over n rows: no noise, no rounding.

    x (n, d) are multiples of 2^-BITS, y (n,) -1 or +1, lam the very number that float64 has.
    """

    x: Fixed
    y: NDArray[np.float64]
    lam: float

    def gradient(self, w: Fixed) -> Fixed:
        """Gradient at ``w``, (d,), right to n + 2 multiples of 2^-BITS a feature."""
        one = 1 << BITS
        scores = (self.x @ w) >> BITS
        signs = self.y.astype(int).tolist()
        pairs = zip(signs, scores.tolist(), strict=True)
        weights = [-s * ((one << BITS) // (one + exp_fixed(s * t, BITS))) for s, t in pairs]
        ridge = Fraction(self.lam) * len(self.x)
        return ((np.array(weights, dtype=object) @ self.x) >> BITS) + w * ridge.numerator // ridge.denominator

    def minimiser(self, start: NDArray[np.float64]) -> Fixed:
        """w*, (d,), off by at most 1e-60 in 2-norm: the gradient is at most that times lam n there.

        Newton's method from ``start``, which should be near, with a float64 Hessian that is made anew as long
        as that helps: each step after that adds as many digits as it has right.

        Raises:
            ArithmeticError: It does not get there.
        """
        w, least = fixed(start), _ENOUGH * Fraction(self.lam) * len(self.x)
        for taken in range(_MOST_STEPS):
            gradient = self.gradient(w)
            if square_norm(gradient) <= least**2:
                return w
            shift = max(map(abs, gradient.tolist())).bit_length()
            if taken < 2 or shift > BITS - _DIGITS_OF_HESSIAN:
                factor = cho_factor(self._hessian((w / (1 << BITS)).astype(np.float64)))
            step = cho_solve(factor, np.array([g / (1 << shift) for g in gradient.tolist()]))
            w = w - np.array([_times_power(s, shift) for s in step.tolist()], dtype=object)
        raise ArithmeticError(f"||grad||^2 is {float(square_norm(gradient)):.3g} after {_MOST_STEPS} steps")

    def _hessian(self, w: NDArray[np.float64]) -> NDArray[np.float64]:
        x = (self.x / (1 << BITS)).astype(np.float64)
        slopes = expit(x @ w) * expit(-(x @ w))
        return (x.T * slopes) @ x + self.lam * len(x) * np.eye(x.shape[1])


def square_norm(vector: Fixed) -> Fraction:
    """``||vector||^2`` of multiples of 2^-BITS, as a number."""
    return Fraction(sum(v * v for v in np.ravel(vector).tolist()), 1 << 2 * BITS)


def _floor(value: Fraction) -> int:
    return (value.numerator << BITS) // value.denominator


def _times_power(value: float, shift: int) -> int:
    """``value 2^shift``, rounded down."""
    mantissa, exponent = frexp(value)
    whole, left = int(mantissa * 2**53), exponent - 53 + shift
    return whole << left if left >= 0 else whole >> -left
