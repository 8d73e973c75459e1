"""Is noise spread over the weights as normal noise is? By how far its distribution is from that at most.

``D = sup_x |F(x) - Phi(x)|``, F the share of p numbers that are at most x. Of p independent draws with any
distribution function G, ``P(sup |F - G| > t) <= 2 exp(-2 p t^2)`` (Dvoretzky, Kiefer and Wolfowitz 1956; the
constant is of Massart, Annals of Probability 1990). What else may move the numbers by a vector of norm r
moves at most ``(r / t)^2`` of them by more than t, and Phi by at most ``t / sqrt(2 pi)`` in t.
"""

from __future__ import annotations

from math import erfc, log, pi, sqrt

import numpy as np
from numpy.typing import NDArray

_STEEPEST = 1 / sqrt(2 * pi)  # slope of Phi at 0


def distance(drawn: NDArray[np.float64]) -> float:
    """D of these numbers against the standard normal distribution; of any shape."""
    places = np.sort(drawn, axis=None)
    right = np.array([erfc(-x / sqrt(2)) / 2 for x in places.tolist()])
    steps = np.arange(len(right) + 1) / len(right)
    return float(max((steps[1:] - right).max(), (right - steps[:-1]).max()))


def allowed(count: int, moved: float, step: float, chance: float) -> float:
    """What D is above with at most this ``chance``, of standard normal draws.

    Args:
        count: p.
        moved: Norm of what the numbers may have been moved by besides, all together.
        step: Of the lattice that they are on.
        chance: Of more than what is returned.
    """
    by_chance = sqrt(log(2 / chance) / (2 * count))
    far = (2 * moved**2 / (_STEEPEST * count)) ** (1 / 3)
    by_moving = _STEEPEST * far + (moved / far) ** 2 / count if far else 0.0
    return by_chance + by_moving + _STEEPEST * step


def lengths(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Norms of the columns z_k, (d, K), and of ``(z_j + z_k) / sqrt(2)`` and ``(z_j - z_k) / sqrt(2)``.

    K^2 in all; of independent normal columns each is that of a normal vector of R^d with the same std.
    """
    gram = drawn.T @ drawn
    first, second = np.triu_indices(len(gram), 1)
    own, both = np.diag(gram), gram[first, second]
    mean = (own[first] + own[second]) / 2
    return np.asarray(np.sqrt(np.maximum(np.concatenate([own, mean + both, mean - both]), 0)))
