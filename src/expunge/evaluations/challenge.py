"""The evaluation of the NeurIPS 2023 unlearning challenge: epsilon of each example, and the score."""

from __future__ import annotations

import logging
from math import ceil, log

import numpy as np
from numpy.typing import NDArray

from expunge.evaluations.margins import require_models

_log = logging.getLogger(__name__)

Array = NDArray[np.float64]
DELTA = 1e-5
MOST = 50.0
_LEAST_RATIO = 0.01  # of the smaller range to the larger one
_STEP = 0.5  # of epsilon, from one score to the next


def epsilons(unlearned: Array, retrained: Array, delta: float = DELTA) -> Array:
    """The epsilon by which the two groups of models can be told apart on each example, (E,), in [0, 50].

    An attack says of a model that it is unlearned where phi is beyond a threshold, or between two thresholds
    (or not between them). With the share FPR of retrained models that it takes for unlearned ones, and FNR
    the other way round, epsilon is the largest over all attacks of

        max(log(1 - delta - FPR) - log FNR, log(1 - delta - FNR) - log FPR).

    Attacks with exactly one rate 0 are left out: so few models do not show that it is 0. With both 0 epsilon
    is infinite, shown as 50; so it is where the range of phi in one group is less than a hundredth of that
    in the other. An estimate from N models can be log(N - 1) at most, or 50; and two groups of the very same
    kind have clearly more than 0, for it is the largest of many: show that floor beside it.

    NaN for an example of which no attack is left (all numbers equal, or fewer than two models in a group), or
    with a phi that is no number.

    Source: Triantafillou et al., *Are we making progress in unlearning? Findings from the first NeurIPS
    unlearning competition*, 2024.

    Args:
        unlearned: (N, E) phi of each model and example (``margins``).
        retrained: (N', E) of the same examples.
        delta: Of (epsilon, delta)-unlearning.
    """
    u, r = require_models(unlearned, retrained)
    found = np.full(u.shape[1], np.nan)
    if min(len(u), len(r)) >= 2:
        values = _of_counts(len(u), len(r), delta)
        for k in np.flatnonzero(~np.isnan(u).any(axis=0) & ~np.isnan(r).any(axis=0)):
            found[k] = _epsilon(u[:, k], r[:, k], values)
    if np.isnan(found).any():
        reason = "fewer than two models, a phi that is no number, or none that differs"
        _log.warning("challenge epsilon is not defined for %d examples: %s", np.isnan(found).sum(), reason)
    return found


def score(epsilon: Array, models: int) -> float:
    """The mean over examples of ``2^-floor(epsilon / 0.5)``, 0 where epsilon is ``ceil(log(N - 1))`` or more.

    Between 0 and 1; more is better. NaN where an epsilon is, or there is none.

    Args:
        epsilon: (E,) of ``epsilons``.
        models: N, models in a group; two at least.
    """
    e = np.asarray(epsilon, dtype=np.float64)
    if models < 2 or not e.size or np.isnan(e).any():
        _log.warning("challenge score is not defined: an epsilon is not, or there are fewer than two models")
        return float("nan")
    return float(np.where(e < ceil(log(models - 1)), 2.0 ** -np.floor(e / _STEP), 0.0).mean())


def final_score(of_examples: float, retain: tuple[float, float], test: tuple[float, float]) -> float:
    """``score x RA_U / RA_R x TA_U / TA_R``: accuracies (unlearned, retrained) on retain set and test rows.

    NaN where a retrained accuracy is 0.
    """
    if not (retain[1] and test[1]):
        _log.warning("challenge score is not defined: a retrained model gets nothing right")
        return float("nan")
    return of_examples * retain[0] / retain[1] * test[0] / test[1]


def _of_counts(n: int, m: int, delta: float) -> Array:
    """Epsilon of an attack, and of its opposite, by how many of n and m models it calls unlearned."""
    called = np.arange(n + 1)[:, None] / n, np.arange(m + 1)[None, :] / m
    return np.maximum(_of_rates(called[1], 1 - called[0], delta), _of_rates(1 - called[1], called[0], delta))


def _of_rates(fpr: Array, fnr: Array, delta: float) -> Array:
    """Epsilon of these rates, -infinity where the attack is left out."""
    fpr, fnr = np.broadcast_arrays(fpr, fnr)
    with np.errstate(divide="ignore", invalid="ignore"):
        sides = [np.log(np.maximum(1 - delta - a, 0)) - np.log(b) for a, b in ((fpr, fnr), (fnr, fpr))]
    none, both = (fpr == 0) != (fnr == 0), (fpr == 0) & (fnr == 0)
    return np.where(none, -np.inf, np.where(both, np.inf, np.maximum(*sides)))


def _epsilon(u: Array, r: Array, values: Array) -> float:
    """Of one example: all intervals whose ends are cuts between neighbouring values, or open."""
    ranges = sorted((float(np.ptp(u)), float(np.ptp(r))))
    if ranges[1] and ranges[0] < _LEAST_RATIO * ranges[1]:
        return MOST
    cuts = np.unique(np.concatenate([u, r]))
    below = [np.concatenate([[0], np.searchsorted(np.sort(one), cuts, side="right")]) for one in (u, r)]
    first, last = np.triu_indices(len(cuts) + 1, k=1)
    best = values[below[0][last] - below[0][first], below[1][last] - below[1][first]].max()
    return float(np.clip(best, 0.0, MOST)) if best > -np.inf else float("nan")
