"""RULI: two games of inference with shadow models, one of privacy and one of efficacy, example by example.

Privacy: is an example that was unlearned told from one that was never there, by what unlearned models say?
The log-likelihood ratio of phi under "trained on and unlearned" and "held out", both of them of unlearned
models: the game of ``ulira``, with half of the forget set drawn anew for each model.

Efficacy: is a model that has unlearned the example told from one that was retrained without it? The ratio of
phi under "unlearned" and "retrained". What a method does to all rows alike counts here, and does not there.

In both the densities are kernel estimates with Gaussian kernels of Scott's bandwidth ``h = s n^(-1/5)``, s
the standard deviation (n - 1) of the n other models of that world; the model attacked is left out of both.
``ulira`` fits a Gaussian instead: of phi in two heaps it sees one wide one.

Source: Naderloui et al., *Rectifying Privacy and Efficacy Measurements in Machine Unlearning: A New Inference
Attack Perspective*, USENIX Security 2025, who attack rows chosen to be **vulnerable** beside random ones, as
random ones understate what can be told: ``vulnerable`` chooses. Our choices: Scott's bandwidth (theirs is not
prescribed by the definition), each model attacked with all others instead of one target model with separate
shadow models, and vulnerable rows by the same attack on the models before unlearning (theirs: standard LiRA).
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import InvalidValue

log = logging.getLogger(__name__)

Array = NDArray[np.float64]
Marks = NDArray[np.bool_]
_LOG_ROOT = 0.5 * np.log(2 * np.pi)


def likelihood_ratios(phi: Array, world: Marks) -> Array:
    """``log p(phi; world 1) - log p(phi; world 0)`` of each model and example by kernel densities, (N, E).

    NaN where fewer than two other models are of one of the worlds, or these say all the same.

    Args:
        phi: (N, E) of ``margins``.
        world: (N, E): which of the two worlds the model is of, for the example.

    Raises:
        InvalidValue: The shapes differ.
    """
    x, one = np.asarray(phi, dtype=np.float64), np.asarray(world, dtype=bool)
    if x.ndim != 2 or x.shape != one.shape:
        raise InvalidValue("world", f"shape {one.shape} beside {x.shape}", "two arrays (models, E)")
    ratio = np.array([_of_one(x[:, k], one[:, k]) for k in range(x.shape[1])]).reshape(x.shape[::-1]).T
    bad = ~np.isfinite(ratio)
    if bad.any():
        log.warning("ruli is not defined for %d pairs: fewer than two other models, or no spread", bad.sum())
    return np.where(bad, np.nan, ratio)


def beside(unlearned: Array, retrained: Array) -> tuple[Array, Marks]:
    """What the game of efficacy is played on: phi of both groups, (N + N', E), and which are unlearned.

    Args:
        unlearned: (N, E) phi.
        retrained: (N', E) of the same examples.
    """
    both = np.concatenate([unlearned, retrained])
    return both, np.tile(np.arange(len(both)) < len(unlearned), (both.shape[1], 1)).T


def vulnerable(phi: Array, trained: Marks, share: float = 0.2) -> Marks:
    """The examples that an attack on the models before unlearning tells best, for each model, (N, E).

    For models of even number by what the odd ones alone give away, and the other way round, so that no model
    is attacked on examples that its own chance has chosen. Of each example ``mean ratio of models trained on
    it - mean ratio of the others``; the ``share`` with the largest, one at least.

    Args:
        phi: (N, E) of the original models.
        trained: (N, E): the model was trained on the example.
        share: Of the examples.
    """
    chosen = np.zeros(phi.shape, dtype=bool)
    count = max(1, round(share * phi.shape[1]))
    for half in (0, 1):
        inside = trained[half::2]
        ratio = likelihood_ratios(phi[half::2], inside)
        with np.errstate(invalid="ignore"):  # of an example in one world alone nothing is told
            means = [np.where(of, ratio, 0.0).sum(axis=0) / of.sum(axis=0) for of in (inside, ~inside)]
        apart = np.nan_to_num(means[0] - means[1], nan=-np.inf)
        chosen[np.ix_(np.arange(1 - half, len(phi), 2), np.argsort(-apart, kind="stable")[:count])] = True
    return chosen


def _of_one(x: Array, one: Marks) -> Array:
    """The ratios of one example, (N,)."""
    sides = np.full((2, len(x)), np.nan)
    for found, world in zip(sides, (one, ~one), strict=True):
        own = x[world]
        found[~world] = _log_density(x[~world], own[None])
        others = np.nonzero(~np.eye(len(own), dtype=bool))[1].reshape(len(own), max(len(own) - 1, 0))
        found[world] = _log_density(own, own[others])
    return np.asarray(sides[0] - sides[1])


def _log_density(x: Array, others: Array) -> Array:
    """Of each of p numbers in the kernel estimate of its others, (p or 1, n); NaN where there is none."""
    n = others.shape[1]
    if n < 2:
        return np.full(len(x), np.nan)
    spread = np.ptp(others, axis=1) > 0
    h = np.where(spread, others.std(axis=1, ddof=1), 1.0)[:, None] * n**-0.2
    squares = ((x[:, None] - others) / h) ** 2 / 2
    nearest = squares.min(axis=1)
    density = np.log(np.exp(nearest[:, None] - squares).sum(axis=1) / (n * h[:, 0])) - nearest - _LOG_ROOT
    return np.where(spread, density, np.nan)
