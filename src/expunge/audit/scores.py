"""What attacks compute of the models that an observer sees: one number for each draw, large or small."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from expunge.audit.judging import LEAST_PILOT, PILOT

Array = NDArray[np.float64]

_FULL = 12  # numbers of a draw up to which their covariance is fitted, beyond it their variances alone


def residual_size(released: Array, exact: Array, std: float) -> Array:
    """``||W - w*||^2 / s^2`` of all releases of a draw together, (draws,); chi-squared with exact retraining.

    ``released`` is (draws, k, p), ``exact`` (k, p).
    """
    return np.asarray(np.sum(((released - exact) / std) ** 2, axis=(1, 2)))


def change_size(released: Array, exact: Array, std: float) -> Array:
    """``||(W_t+1 - W_t) - (w*_t+1 - w*_t)||^2 / (2 s^2)``, over all t: near 0 where noise is used again."""
    changes = np.diff(released, axis=1) - np.diff(exact, axis=0)
    return np.asarray(np.sum((changes / std) ** 2, axis=(1, 2)) / 2)


def low_bits(released: Array, near: Array, exact: Array, grid: float) -> Array:
    """In how many weights no float noise at all can have made W of w*, less in how many none can of w~.

    ``W = fl(v + z)`` is to have a solution z in float64, v being w* or w~ (Mironov 2012). On a lattice of
    spacing ``grid`` > 0 every weight that is not on it counts as more than all others together.
    """
    score = _impossible(released, exact) - _impossible(released, near)
    if grid:
        off = np.count_nonzero(np.rint(released / grid) * grid != released, axis=(1, 2))
        score = score + off * (1 + released[0].size)
    return score.astype(np.float64)


def _impossible(released: Array, centre: Array) -> NDArray[np.int64]:
    noise = released - centre
    possible = np.zeros(released.shape, dtype=bool)
    for candidate in (noise, np.nextafter(noise, np.inf), np.nextafter(noise, -np.inf)):
        possible |= centre + candidate == released
    return np.count_nonzero(~possible, axis=(1, 2)).astype(np.int64)


def fitted(removed: Array, retrained: Array) -> tuple[Array, Array]:
    """A test that is learned: log-likelihood ratio of two normal distributions, one fitted to each world.

    ``removed`` (n, q) and ``retrained`` (m, q) are what is seen. The laws are fitted to the quarter of the
    draws that chooses the event as well: means, and covariances, or variances where q is large.

    Returns:
        The score of every draw of either world.
    """
    pilots = [side[: len(side) // PILOT] for side in (removed, retrained)]
    if min(map(len, pilots)) < LEAST_PILOT:
        return np.zeros(len(removed)), np.zeros(len(retrained))
    centre, scale = pilots[1].mean(axis=0), pilots[1].std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    laws = [_normal((pilot - centre) / scale) for pilot in pilots]
    scores = []
    for side in (removed, retrained):
        seen = (side - centre) / scale
        one, other = (_log_density(seen, *law) for law in laws)
        scores.append(one - other)
    return scores[0], scores[1]


def _normal(seen: Array) -> tuple[Array, Array]:
    """Mean and covariance, with a little added that keeps it regular."""
    full = seen.shape[1] <= min(_FULL, len(seen) // 4)
    covariance = np.atleast_2d(np.cov(seen.T)) if full else np.diag(seen.var(axis=0))
    return seen.mean(axis=0), covariance + 1e-9 * np.eye(seen.shape[1])


def _log_density(seen: Array, mean: Array, covariance: Array) -> Array:
    whitened = np.linalg.solve(np.linalg.cholesky(covariance), (seen - mean).T)
    return np.asarray(-0.5 * (whitened**2).sum(axis=0) - 0.5 * np.linalg.slogdet(covariance)[1])
