"""From the scores of attacks in two worlds to a lower bound on epsilon that holds for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expunge.certificate.empirical import (
    CONFIDENCE,
    Needed,
    Seen,
    clopper_pearson,
    delta_needed,
    epsilon_needed,
)

Array = NDArray[np.float64]
Scored = NDArray[np.float64] | NDArray[np.bool_]
Scores = Mapping[str, tuple[Scored, Scored]]

PILOT = 4  # one in so many draws chooses the event, and is not counted
LEAST_PILOT = 10
_CANDIDATES = 200
_SURE = 0.999  # confidence of what the pilot draws choose by; nothing rests on it


@dataclass(frozen=True)
class Found:
    """What one attack found.

    Attributes:
        attack: Its name.
        event: In words: ``yes``, or the score that it has to reach.
        seen: How often the event was seen after a removal, and in exact retraining, and out of how many.
        removed: P(event) after a removal: as estimated, and exact limits.
        retrained: The same in exact retraining.
        epsilon: Needed at the claimed delta: as estimated, and limits.
        delta: Needed at the claimed epsilon, likewise.
    """

    attack: str
    event: str
    seen: Seen
    removed: tuple[float, float, float]
    retrained: tuple[float, float, float]
    epsilon: Needed
    delta: Needed


def judged(scores: Scores, epsilon: float, delta: float, confidence: float = CONFIDENCE) -> tuple[Found, ...]:
    """Ask every attack for its best event, and count that event in draws that had no part in choosing it.

    With m attacks each has limits at ``1 - (1 - confidence) / m``, so that all hold together, and so does the
    largest of the lower limits, with at least ``confidence``, whatever the attacks and however they depend on
    each other (Bonferroni). An attack without draws in a world is left out, and still counted in m.

    Args:
        scores: Attack -> its scores after a removal, (n,), and in exact retraining, (m,). Of bool the event
            is 'yes', fixed beforehand. Of numbers it is 'at least t', where t (and whether the event or its
            complement counts for more, and in which world) is chosen by the first quarter of the draws.
        epsilon: Claimed.
        delta: Claimed, 0 or more.
        confidence: Of all of them together.
    """
    each = 1 - (1 - confidence) / max(1, len(scores))
    found = []
    for attack, (one, other) in scores.items():
        fixed = one.dtype == np.bool_
        pilots = (0, 0) if fixed else (len(one) // PILOT, len(other) // PILOT)
        if not (len(one) and len(other)) or (not fixed and min(pilots) < LEAST_PILOT):
            continue
        least = 1.0 if fixed else _threshold(one[: pilots[0]], other[: pilots[1]], epsilon, delta)
        counted = one[pilots[0] :], other[pilots[1] :]
        yes = [int(np.count_nonzero(side >= least)) for side in counted]
        seen = Seen(yes[0], len(counted[0]), yes[1], len(counted[1]))
        # Both probabilities of an event at once, as in ``epsilon_needed``.
        limits = [
            (k / n, *map(float, clopper_pearson(k, n, 1 - (1 - each) / 2)))
            for k, n in zip(yes, (seen.first_draws, seen.second_draws), strict=True)
        ]
        found.append(
            Found(
                attack,
                "yes" if fixed else f"score at least {least:.4g}",
                seen,
                (limits[0][0], limits[0][1], limits[0][2]),
                (limits[1][0], limits[1][1], limits[1][2]),
                epsilon_needed(delta, [seen], each),
                delta_needed(epsilon, [seen], each),
            )
        )
    return tuple(found)


def strongest(found: Sequence[Found]) -> Found | None:
    """The attack with the largest lower bound; of equals, the one with the largest estimate."""
    return max(found, key=lambda one: (float(one.epsilon.low), float(one.epsilon.estimate)), default=None)


def _threshold(one: Scored, other: Scored, epsilon: float, delta: float) -> float:
    """The t whose event is likely to show most: the largest lower bounds by these draws alone."""
    sides = [np.sort(side.astype(np.float64)) for side in (one, other)]
    pooled = np.concatenate(sides)
    shares = np.concatenate([np.geomspace(1 / len(pooled), 0.5, _CANDIDATES // 2)] * 2)
    shares[: _CANDIDATES // 2] = 1 - shares[: _CANDIDATES // 2]
    candidates = np.unique(np.quantile(pooled, shares, method="nearest"))
    above = [len(side) - np.searchsorted(side, candidates) for side in sides]
    seen = [Seen(above[0], len(sides[0]), above[1], len(sides[1]))]
    lows = epsilon_needed(delta, seen, _SURE).low
    if not lows.max() > 0:
        lows = delta_needed(np.full(len(candidates), epsilon), seen, _SURE).low
    if not lows.max() > 0:
        lows = np.abs(above[0] / len(sides[0]) - above[1] / len(sides[1]))
    return float(candidates[int(np.argmax(lows))])
