"""How large delta must be at least, by what a test was seen to do in two worlds: exact confidence limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv

Array = NDArray[np.float64]
CONFIDENCE = 0.99


def clopper_pearson(count: ArrayLike, draws: int, confidence: float = CONFIDENCE) -> tuple[Array, Array]:
    """Two-sided exact limits for the probability of what was seen ``count`` times in ``draws``, elementwise.

    Source: Clopper and Pearson, Biometrika 1934; the quantiles of Beta(k, n - k + 1) and Beta(k + 1, n - k).
    """
    k, tail = np.asarray(count, dtype=np.float64), (1 - confidence) / 2
    low = betaincinv(np.maximum(k, 1), draws - k + 1, tail)
    high = betaincinv(k + 1, np.maximum(draws - k, 1), 1 - tail)
    return np.where(k > 0, low, 0.0), np.where(k < draws, high, 1.0)


@dataclass(frozen=True)
class Seen:
    """An event that was fixed beforehand, one for each epsilon or one for all, in two independent samples.

    Attributes:
        first: How often it was seen in the first world, a number or (epsilons,).
        first_draws: Out of how many.
        second: Likewise in the second.
        second_draws: Likewise.
    """

    first: NDArray[np.int64] | int
    first_draws: int
    second: NDArray[np.int64] | int
    second_draws: int


@dataclass(frozen=True)
class Needed:
    """delta that two worlds need at each epsilon, (epsilons,): as estimated, and its confidence limits."""

    estimate: Array
    low: Array
    high: Array


def delta_needed(epsilons: ArrayLike, events: Sequence[Seen], confidence: float = CONFIDENCE) -> Needed:
    """The largest ``P(E) - e^epsilon Q(E)`` over events, their complements and both orders of the worlds.

    Two worlds are (epsilon, delta)-indistinguishable just if no event whatsoever has more than delta: the
    lower limit is one for the delta that they need. All 2 m probabilities of m events lie within
    Clopper-Pearson limits at ``1 - (1 - confidence) / (2 m)`` at once, so that both limits hold together at
    ``confidence``, at each epsilon by itself (at all of them where the events are the same for all).
    """
    factor = np.exp(np.asarray(epsilons, dtype=np.float64))
    found = [np.zeros_like(factor) for _ in range(3)]
    for ends in _limits(events, confidence):
        found = [np.maximum(old, _excess(factor, *own)) for old, own in zip(found, ends, strict=True)]
    return Needed(*found)


def epsilon_needed(delta: float, events: Sequence[Seen], confidence: float = CONFIDENCE) -> Needed:
    """The largest ``log((P(E) - delta) / Q(E))``, at least 0, over what ``delta_needed`` looks at.

    Two worlds that are (epsilon, delta)-indistinguishable have ``P(E) <= e^epsilon Q(E) + delta`` for every
    event: the lower limit is one for the epsilon that they need at ``delta``. It is above an epsilon just if
    ``delta_needed`` is above ``delta`` there. All numbers are of shape (); infinity where Q(E) can be 0.
    """
    found = [np.zeros(()) for _ in range(3)]
    for ends in _limits(events, confidence):
        found = [np.maximum(old, _logarithm(delta, *own)) for old, own in zip(found, ends, strict=True)]
    return Needed(*found)


_Side = tuple[Array, Array]  # the ends of a probability that make what is looked for small, and the other


def _limits(events: Sequence[Seen], confidence: float) -> Iterator[tuple[tuple[_Side, _Side], ...]]:
    """For each event P(E) and Q(E) as estimated, where they are least apart, and where they are most.

    All 2 m probabilities of m events lie within their limits at once, at ``confidence``.
    """
    each = 1 - (1 - confidence) / (2 * len(events))
    for event in events:
        counts = (event.first, event.first_draws), (event.second, event.second_draws)
        p, q = (np.asarray(count) / draws for count, draws in counts)
        (p_low, p_high), (q_low, q_high) = (clopper_pearson(*own, each) for own in counts)
        yield ((p, p), (q, q)), ((p_low, p_high), (q_low, q_high)), ((p_high, p_low), (q_high, q_low))


def _pairs(p: _Side, q: _Side) -> tuple[tuple[_Side, _Side], ...]:
    """An event and its complement, in both orders of the worlds."""
    complements = (1 - p[1], 1 - p[0]), (1 - q[1], 1 - q[0])
    return (p, q), (q, p), complements, complements[::-1]


def _excess(factor: Array, p: _Side, q: _Side) -> Array:
    """The largest of the four differences, each as small as these ends of P(E) and Q(E) allow."""
    return np.max([one[0] - factor * other[1] for one, other in _pairs(p, q)], axis=0)


def _logarithm(delta: float, p: _Side, q: _Side) -> Array:
    """The largest of the four logarithms, likewise; minus infinity where no P(E) is above ``delta``."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = [
            np.where(one[0] > delta, np.log(np.maximum(one[0] - delta, 0.0)) - np.log(other[1]), -np.inf)
            for one, other in _pairs(p, q)
        ]
    return np.max(found, axis=0)


@dataclass(frozen=True)
class Curve:
    """What an attack found: delta needed and claimed at each epsilon, and P(event) at the claimed epsilon."""

    needed: Needed
    claimed: NDArray[np.float64]
    removed: float
    retrained: float
