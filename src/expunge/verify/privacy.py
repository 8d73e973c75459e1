"""(epsilon, delta) of k releases, by mpmath with 60 digits, of which the last 20 are given away.

``float``:   delta(eps) = Phi(mu/2 - eps/mu) - e^eps Phi(-mu/2 - eps/mu), mu = ratio sqrt(k).
``lattice``: delta(eps) = min over t > 0 of exp(t ((1 + t) rho - eps)) / t (1 + 1/t)^-(1 + t), with
             rho = k ratio^2 / 2.
Every t is a bound: one that shows that delta is small enough proves it. Derivations: docs/certificate.md.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from math import inf, log1p
from typing import Any

import mpmath as mp

_DIGITS, _GIVEN_AWAY = 60, 40
_OF_CHANCES = 30
_LARGEST = 1e6
LARGEST_DELTA = Fraction(2**20 - 1, 2**20)
"""Above it one is as good as none: releases are held to it."""

Real = Any  # of mpmath, which says nothing of its types


def as_real(x: Fraction) -> Real:
    """X with as many digits as there are."""
    return mp.mpf(x.numerator) / x.denominator


def apart(sensitivity: float, grid: float, dim: int) -> Real:
    """``sensitivity + grid sqrt(dim)``: how far two models may be from each other on the lattice."""
    with mp.workdps(_DIGITS):
        return mp.mpf(sensitivity) + mp.mpf(grid) * mp.sqrt(dim)


def is_within(ratio: Real, count: int, noise: str, epsilon: float, delta: float) -> bool:
    """Whether ``count`` releases of that ratio together are (epsilon, delta)-indistinguishable."""
    if count == 0 or not ratio:
        return True
    with mp.workdps(_DIGITS):
        mu, most = mp.mpf(ratio) * mp.sqrt(count), min(mp.mpf(delta), as_real(LARGEST_DELTA))
        if mu < 0 or epsilon < 0 or delta <= 0 or mu > _LARGEST:  # of which no epsilon up to 1e9 is one
            return False
        far = epsilon / mu - mu / 2  # each delta is at most exp(-far^2 / 2): nothing else is asked far out
        if far > 0 and far**2 / 2 > 1 - mp.log(most):
            return True
        found = delta_at(mu, mp.mpf(epsilon), noise)
        return bool(found <= most * (1 - mp.mpf(10) ** -_GIVEN_AWAY))


def delta_at(together: Real, epsilon: Real, noise: str) -> Real:
    """delta(epsilon) of releases whose ratios' squares add up to ``together`` squared."""
    return _of_floats(together, epsilon) if noise == "float" else _of_lattice(together**2 / 2, epsilon)


def _of_floats(mu: Real, epsilon: Real) -> Real:
    lost = max(0, int(-mp.log10(mu)) + 1)  # digits that the difference of the two terms loses
    with mp.workdps(_DIGITS + 2 * lost):
        return mp.ncdf(mu / 2 - epsilon / mu) - mp.exp(epsilon) * mp.ncdf(-mu / 2 - epsilon / mu)


def _of_lattice(rho: Real, epsilon: Real) -> Real:
    t = mp.mpf(_best(float(rho), float(epsilon)))
    for _ in range(2):  # Newton's steps towards the zero of the derivative
        slope = 2 * rho + 1 / (t * (1 + t))
        stepped = t - (rho * (1 + 2 * t) - mp.log1p(1 / t) - epsilon) / slope
        t = stepped if stepped > 0 else t
    return mp.exp(t * ((1 + t) * rho - epsilon) - mp.log(t) - (1 + t) * mp.log1p(1 / t))


def _best(rho: float, epsilon: float) -> float:
    """Where the exponent's derivative, ``rho (1 + 2 t) - log(1 + 1/t) - eps``, is zero: it only rises."""
    low, high = 1e-300, 1.0
    while rho * (1 + 2 * high) - log1p(1 / high) < epsilon and high < 1e300:
        high *= 2
    for _ in range(2200):
        middle = (low * high) ** 0.5 if low * high > 0 else high / 2**50
        if not low < middle < high:
            break
        if rho * (1 + 2 * middle) - log1p(1 / middle) < epsilon:
            low = middle
        else:
            high = middle
    return high


def epsilon_of(ratio: Real, count: int, noise: str, delta: float) -> float:
    """The smallest epsilon, to seven digits, at which ``is_within`` holds: to be shown."""
    low, high = 0.0, 1e-6
    if is_within(ratio, count, noise, 0.0, delta):
        return 0.0
    while not is_within(ratio, count, noise, high, delta):
        low, high = high, 2 * high
        if high > _LARGEST**2:
            return inf
    while high - low > 1e-7 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if is_within(ratio, count, noise, middle, delta) else (middle, high)
    return high


@lru_cache(maxsize=16)
def constant(perturbation: str, delta: float, dim: int) -> Fraction:
    """The constant c of the published budget ``std eps / c``, less than 1e-40 of itself above it.

    ``sqrt(2 ln(1.5 / delta))`` for ``gaussian``, ``sqrt(dim + 1)`` for ``pure_eps``.
    """
    with mp.workdps(_DIGITS):
        c = mp.sqrt(dim + 1) if perturbation == "pure_eps" else mp.sqrt(2 * mp.log(mp.mpf(1.5) / delta))
        c *= 1 + mp.mpf(10) ** -(_DIGITS - 5)
        mantissa, exponent = c.man_exp
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def chance_below(length: float, std: float, dim: int) -> float:
    """P(s ||z|| <= length) of a standard normal z of R^dim."""
    if length <= 0:
        return 0.0
    x = (mp.mpf(length) / std) ** 2 / 2
    if x > 1e9 * dim:
        return 1.0
    with mp.workdps(_OF_CHANCES):
        try:
            return float(mp.gammainc(mp.mpf(dim) / 2, 0, x, regularized=True))
        except mp.libmp.NoConvergence:  # of many numbers, and not far out: nothing is lost by the difference
            return float(1 - mp.gammainc(mp.mpf(dim) / 2, x, mp.inf, regularized=True))


def chance_above(length: float, std: float, dim: int) -> float:
    """P(s ||z|| >= length)."""
    if length <= 0:
        return 1.0
    x = (mp.mpf(length) / std) ** 2 / 2
    with mp.workdps(_OF_CHANCES):
        return 0.0 if x > 1e9 * dim else float(mp.gammainc(mp.mpf(dim) / 2, x, mp.inf, regularized=True))


def length_at(holds: Callable[[float], bool], std: float, dim: int) -> float:
    """Where it ends that a length ``holds``, as the shorter ones do, to twelve digits."""
    low, high = 0.0, std * (dim + 1000.0)  # which none is above at any chance that is asked for
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return high
