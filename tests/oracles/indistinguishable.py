"""delta(epsilon) of what is released, in 60 digits, straight from the equations, and by enumeration."""

import numpy as np
from mpmath import mp, mpf

DIGITS = 60


def normal_delta(epsilon, shift):
    """Phi(mu/2 - eps/mu) - e^eps Phi(-mu/2 - eps/mu) of N(0, 1) and N(mu, 1)."""
    with mp.workdps(DIGITS):
        mu, eps = mpf(shift), mpf(epsilon)
        return mp.ncdf(mu / 2 - eps / mu) - mp.exp(eps) * mp.ncdf(-mu / 2 - eps / mu)


def concentrated_delta(epsilon, rho):
    """inf over alpha > 1 of exp((alpha - 1)(alpha rho - eps)) / (alpha - 1) (1 - 1 / alpha)^alpha.

    Its logarithm is convex in alpha: halving finds where the derivative changes its sign.
    """
    with mp.workdps(DIGITS):
        rho, eps = mpf(rho), mpf(epsilon)
        low, high = mpf(-200), mpf(200)  # of log(alpha - 1)
        for _ in range(100):
            x = (low + high) / 2
            alpha = 1 + mp.exp(x)
            rises = rho * (2 * alpha - 1) - eps + mp.log((alpha - 1) / alpha) > 0
            low, high = (low, x) if rises else (x, high)
        return mp.exp((alpha - 1) * (alpha * rho - eps)) / (alpha - 1) * (1 - 1 / alpha) ** alpha


def delta_together(noise, ratio, releases, epsilon):
    """delta(epsilon) of that many releases of ``ratio`` each."""
    with mp.workdps(DIGITS):
        if noise == "float":
            return normal_delta(epsilon, mpf(ratio) * mp.sqrt(releases))
        return concentrated_delta(epsilon, releases * mpf(ratio) ** 2 / 2)


def discrete_gaussian(scale, centre=0, reach=None):
    """Probabilities of the discrete Gaussian about a whole number, on -reach to reach."""
    k = np.arange(-(reach or int(40 * scale) + 10), (reach or int(40 * scale) + 10) + 1)
    weights = np.exp(-((k - centre) ** 2) / (2 * scale**2))
    return weights / np.exp(-(k**2) / (2 * scale**2)).sum()


def hockey_stick(p, q, epsilon):
    """``sum max(0, p - e^eps q)``: the exact delta of two distributions that are listed."""
    return float(np.maximum(p - np.exp(epsilon) * q, 0).sum())
