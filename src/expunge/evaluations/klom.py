"""KLOM: how far the margins of unlearned models are from those of retrained ones, example by example."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import require_count
from expunge.evaluations.margins import FARTHEST, require_models

log = logging.getLogger(__name__)

Array = NDArray[np.float64]
BINS = 20
FLOOR = 1e-5


def klom(unlearned: Array, retrained: Array, bins: int = BINS) -> Array:
    """``KL(p || q) = sum_{k: p_k > 0} p_k log(p_k / max(q_k, 1e-5))`` of each example, (E,) nats.

    p and q are the shares of the unlearned and of the retrained models' margins, clipped to +-100, in bins of
    equal width from the least to the greatest margin of both together, ends included. Smaller is nearer; at
    most log 1e5 = 11.5; as q is raised and not scaled again it can be a little below 0. Two groups of models
    of the very same kind do not have 0 but what so many draws in so many bins come to: show that floor
    beside it. Where all margins are equal there is one bin, and KLOM is 0.

    NaN for an example with a margin that is no number, or without models.

    Source: Georgiev et al., *Attribute-to-Delete: Machine Unlearning via Datamodel Matching*, 2024.

    Args:
        unlearned: (N, E) margins (``margins``).
        retrained: (N', E) of the same examples.
        bins: Of the histograms.
    """
    u, r = require_models(unlearned, retrained)
    count = require_count("bins", bins)
    both = np.concatenate([u, r])
    known = ~np.isnan(both).any(axis=0) & (len(u) > 0) & (len(r) > 0)
    if not known.all():
        log.warning(
            "klom is not defined for %d examples: no models, or a margin is no number", (~known).sum()
        )
    found = np.full(u.shape[1], np.nan)
    if known.any():
        both = np.clip(both[:, known], -FARTHEST, FARTHEST)
        least, width = both.min(axis=0), np.ptp(both, axis=0)
        share = np.divide(both - least, width, out=np.zeros_like(both), where=width > 0)
        place = np.minimum((share * count).astype(np.int64), count - 1)  # the largest is in the last bin
        p, q = (_shares(part, count) for part in (place[: len(u)], place[len(u) :]))
        ratio = np.where(p > 0, p, 1.0) / np.maximum(q, FLOOR)
        found[known] = np.where(p > 0, p * np.log(ratio), 0.0).sum(axis=0)
    return found


def _shares(place: NDArray[np.int64], bins: int) -> Array:
    """How much of each column is in each bin, (bins, E)."""
    return np.stack([(place == k).mean(axis=0) for k in range(bins)])
