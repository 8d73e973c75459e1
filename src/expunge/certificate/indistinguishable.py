"""(epsilon, delta) of k Gaussians a known distance apart, and the distance that (epsilon, delta) allows.

One release of ``ratio = Delta / s`` hides a distance Delta by noise of standard deviation s in each
coordinate; k of them, chosen adaptively, are together as one of ``ratio sqrt(k)``:

    float     mu-Gaussian DP, mu = ratio sqrt(k) (Dong, Roth and Su, JRSS-B 2022, Corollary 3.3):
              delta(eps) = Phi(mu/2 - eps/mu) - e^eps Phi(-mu/2 - eps/mu)
    lattice   rho-zCDP, rho = k ratio^2 / 2 (Canonne, Kamath and Steinke, NeurIPS 2020, Theorem 4), and
              delta(eps) = inf_{t > 0} exp(t ((1 + t) rho - eps)) / t (1 + 1/t)^-(1 + t)
              (their Corollary 13, with t = alpha - 1)

The first is of real numbers: added in float64, noise leaves the low bits of w~ readable. The second is exact
for what ``lattice.on_lattice`` publishes.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log, log1p, sqrt

from scipy.optimize import brentq

from expunge.certificate.guarantee import log_gaussian_profile
from expunge.core.checks import (
    require_choice,
    require_count,
    require_from_zero,
    require_positive,
    require_probability,
)
from expunge.core.errors import InvalidValue

NOISES = ("lattice", "float")
LEAST_EPSILON = 1e-6  # below it float64 tells the two terms of delta(eps) no longer apart to nine digits
LARGEST_EPSILON = 1e9  # far above it the terms' logarithms overflow

_LARGEST_DELTA = 1 - 2.0**-20  # as much as is used of one: float64 has few numbers between it and 1


def ratio(epsilon: float, delta: float, releases: int, noise: str) -> float:
    """Largest Delta / s of one release with which that many are (epsilon, delta)-indistinguishable.

    Rounded down by 1e-9 of itself, which is more than float64 errs by (``2^-46 / epsilon`` more).

    Raises:
        InvalidValue: An argument is outside its range; ``epsilon`` is at least 1e-6 and at most 1e9.
    """
    if not LEAST_EPSILON <= require_positive("epsilon", epsilon) <= LARGEST_EPSILON:
        raise InvalidValue("epsilon", epsilon, f"at least {LEAST_EPSILON:g} and at most {LARGEST_EPSILON:g}")
    log_delta = log(min(require_probability("delta", delta), _LARGEST_DELTA))
    together = _of_noise(noise, _normal_shift, _discrete_root)(float(epsilon), log_delta)
    return together / sqrt(require_count("releases", releases)) * (1 - 2.0**-30 - 2.0**-46 / epsilon)


def epsilon_after(ratio: float, delta: float, releases: int, noise: str) -> float:
    """Epsilon at ``delta`` of that many releases of ``ratio`` each together; 0 for none.

    Rounded up by ``2^-34`` of itself and ``2^-44``, which is more than float64 errs by.

    Raises:
        InvalidValue: An argument is outside its range.
    """
    together = require_from_zero("ratio", ratio) * sqrt(require_count("releases", releases, least=0))
    log_delta = log(min(require_probability("delta", delta), _LARGEST_DELTA))
    solve = _of_noise(noise, _normal_epsilon, _discrete_epsilon)
    return solve(together, log_delta) * (1 + 2.0**-34) + 2.0**-44 if together else 0.0


_Solve = Callable[[float, float], float]  # of (epsilon or shift, log delta)


def _of_noise(noise: str, normal: _Solve, discrete: _Solve) -> _Solve:
    return normal if require_choice("noise", noise, NOISES) == "float" else discrete


def _normal_shift(epsilon: float, log_delta: float) -> float:
    """The mu with which delta(epsilon) is delta.

    delta(eps) <= Phi(a) <= exp(-a^2 / 2) / 2 with a = mu/2 - eps/mu <= 0, and delta(eps) <= delta(0), which
    is at most 0.4 mu: each gives a mu that is too small.
    """
    a = sqrt(-2 * log_delta)
    low = max(2 * epsilon / (a + sqrt(a * a + 2 * epsilon)), 2 * exp(log_delta))
    high = 2 * low
    while log_gaussian_profile(epsilon, high) < log_delta:
        high *= 2
    return _root(lambda mu: log_gaussian_profile(epsilon, mu) - log_delta, low, high)


def _normal_epsilon(mu: float, log_delta: float) -> float:
    """The epsilon with which delta(epsilon) is delta; 0 where delta(0) is less.

    delta(eps) <= exp(-a^2 / 2) / 2 with a = mu/2 - eps/mu <= 0 gives one that is too large.
    """
    if log_gaussian_profile(0.0, mu) <= log_delta:
        return 0.0
    high = mu * (mu / 2 + sqrt(-2 * log_delta))
    return _root(lambda epsilon: max(log_gaussian_profile(epsilon, mu) - log_delta, -1.0), 0.0, high)


# The infimum over t is where rho t^2 + log(1 + t) = L, L = log(1 / delta). Every other t is a bound too: an
# inexact t costs tightness (to second order) and nothing else.


def _discrete_root(epsilon: float, log_delta: float) -> float:
    """``sqrt(2 rho)`` of the largest rho, ``(eps - (L - log(1 + t)) / t + log(1 + 1/t)) / (1 + t)``."""

    def excess(t: float) -> float:  # falls with t: the epsilon of the rho for which t is best, less epsilon
        return (-log_delta - log1p(t)) * (1 / t + 2) / t - log1p(1 / t) - epsilon

    low = 1.0
    while excess(low) < 0:
        low /= 2
    high = 2 * low
    while excess(high) > 0:
        high *= 2
    t = _root(excess, low, high)
    return sqrt(2 * (epsilon + (log_delta + log1p(t)) / t + log1p(1 / t)) / (1 + t))


def _discrete_epsilon(root: float, log_delta: float) -> float:
    """``(1 + t) rho + (L - log(1 + t)) / t - log(1 + 1/t)``, or 0 where that is less; rho = root^2 / 2."""
    t = _root(lambda t: (root * t) ** 2 / 2 + log1p(t) + log_delta, 0.0, 2 * sqrt(-log_delta) / root)
    return max(0.0, (1 + t) * root**2 / 2 - (log_delta + log1p(t)) / t - log1p(1 / t))


def _root(f: Callable[[float], float], low: float, high: float) -> float:
    return float(brentq(f, low, high, xtol=1e-300, rtol=1e-14, maxiter=2000))
