"""U-LiRA: can an attacker of each example tell whether an unlearned model had been trained on it?

The game. A pool of examples and a core of rows are fixed. For each of N models a coin is thrown for every
example of the pool (here: half of the pool is drawn): the model is trained on the core and on the examples
drawn, and then unlearns just those. Of every example some models have therefore been trained on it and have
unlearned it, and the others have never been trained on it; all have unlearned as many rows. The attacker sees
phi of a model on an example, knows phi of the other models in either world, and says which world it is.
A model trained on the core alone knows nothing of the coins: accuracy and AUC are 1/2 for exact unlearning.
The rest is the likelihood ratio attack of each example by itself (online LiRA): one attack on all examples
together misses what single ones give away.

Sources: Hayes et al., *Inexact Unlearning Needs More Careful Evaluations to Avoid a False Sense of Privacy*,
2024; Carlini et al., *Membership Inference Attacks From First Principles*, S&P 2022. There as here the two
worlds are two Gaussians for each example. That the models of both come from one group, as in LiRA, is a
choice: what unlearning does to all rows alike does not count here (KLOM and the challenge's epsilon see it).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import InvalidValue

log = logging.getLogger(__name__)

Array = NDArray[np.float64]
Marks = NDArray[np.bool_]
FPR = 0.01


@dataclass(frozen=True)
class Told:
    """How well an attack tells the two worlds: each in [0, 1], 1/2 (``tpr``: ``FPR``) for nothing told.

    Attributes:
        accuracy: Share of (model, example) that it is right of, the worlds weighed equally; likelihood ratio
            above 1: trained on.
        auc: Chance that one which was trained on has the larger ratio, ties count a half.
        tpr: Share of those trained on that it finds where 1% of the others are taken for them, at most.
    """

    accuracy: float
    auc: float
    tpr: float


def likelihood_ratios(phi: Array, trained: Marks) -> Array:
    """``log N(phi; mu_in, s_in) - log N(phi; mu_out, s_out)`` of each model and example, (N, E).

    Means and standard deviations (n - 1) over the models that have been trained on the example and unlearned
    it, and over those that never were; the model attacked is left out. NaN where one of these is of fewer
    than two models, or is 0.

    Args:
        phi: (N, E) of ``margins``.
        trained: (N, E): the model was trained on the example, and has unlearned it.

    Raises:
        InvalidValue: The shapes differ.
    """
    x, inside = np.asarray(phi, dtype=np.float64), np.asarray(trained, dtype=bool)
    if x.ndim != 2 or x.shape != inside.shape:
        raise InvalidValue("trained", f"shape {inside.shape} beside {x.shape}", "two arrays (models, E)")
    ratio = _log_density(x, inside) - _log_density(x, ~inside)
    if not np.isfinite(ratio).all():
        bad = int((~np.isfinite(ratio)).sum())
        log.warning("u-lira is not defined for %d pairs: fewer than two other models, or no spread", bad)
    return np.where(np.isfinite(ratio), ratio, np.nan)


def told(ratio: Array, trained: Marks) -> Told:
    """What ratios, of any shape, come to over all pairs of models and examples where they are defined.

    All NaN where no pair of either world is.
    """
    known = ~np.isnan(ratio)
    inside, outside = np.sort(ratio[known & trained]), np.sort(ratio[known & ~trained])
    if not (len(inside) and len(outside)):
        log.warning("u-lira is not defined: no example was in both worlds")
        return Told(*[float("nan")] * 3)
    wins = [np.searchsorted(outside, inside, side=side).mean() / len(outside) for side in ("left", "right")]
    threshold = outside[len(outside) - 1 - int(FPR * len(outside))]  # at most so many are above it
    accuracy = ((inside > 0).mean() + (outside <= 0).mean()) / 2
    return Told(float(accuracy), float(sum(wins) / 2), float((inside > threshold).mean()))


def _log_density(x: Array, of: Marks) -> Array:
    """Log-density, less a constant, of each model in the Gaussian of the others that ``of`` marks, (N, E)."""
    found = np.full_like(x, np.nan)
    for k in range(len(x)):
        others = of.copy()
        others[k] = False
        n = others.sum(axis=0)
        mean = np.where(others, x, 0.0).sum(axis=0) / np.maximum(n, 1)
        variance = (np.where(others, x - mean, 0.0) ** 2).sum(axis=0) / np.maximum(n - 1, 1)
        variance = np.where((n >= 2) & (variance > 0), variance, np.nan)
        found[k] = -0.5 * np.log(variance) - (x[k] - mean) ** 2 / (2 * variance)
    return found
