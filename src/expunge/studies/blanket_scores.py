"""How surely each variable of the bullseye network is found in the blanket, and how good such scores are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.codec.bullseye import BLANKET, VARIABLES

TRUTH = np.isin(np.arange(VARIABLES), BLANKET)
_RESAMPLES, _INTERVAL = 2000, (0.025, 0.975)


def scores_of(record: dict[str, Any], reading: str) -> NDArray[np.float64]:
    """How surely each variable is in the blanket, (6,); any threshold gives a point of the ROC curve.

    ``full``: minus the p-value. ``grow_shrink``: at how many of the levels the variable is in the blanket
    (where sets are nested, thresholds give just those sets).
    """
    if reading == "full":
        return -np.array([1.0 if p is None else p for p in record["full"]])
    return np.array([sum(j in found for found in record["grow_shrink"]) for j in range(VARIABLES)], float)


def tests_of(record: dict[str, Any], reading: str) -> list[dict[str, Any]]:
    """Tests given all the other variables (``full``), or fewer (``grow_shrink``)."""
    everything = VARIABLES - 1
    return [test for test in record["tests"] if (len(test["given"]) == everything) == (reading == "full")]


def auc(scores: NDArray[np.float64]) -> float:
    """The chance that a right variable scores above a wrong one (equal: half), over all replicates (r, 6)."""
    return float(_wins(scores).mean())


def auc_interval(scores: NDArray[np.float64]) -> list[float]:
    """The 95% bootstrap interval of ``auc``: replicates are drawn with replacement."""
    wins = _wins(scores)
    rng = np.random.default_rng(0)
    count = len(wins)
    weights = rng.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES) / count
    drawn = np.einsum("ba,ac,bc->b", weights, wins, weights, optimize=True)
    return [float(v) for v in np.quantile(drawn, _INTERVAL)]


def _wins(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of pairs won by the right variables of replicate a over the wrong ones of b, (r, r)."""
    difference = scores[:, TRUTH][:, None, :, None] - scores[:, ~TRUTH][None, :, None, :]
    return ((np.sign(difference) + 1) / 2).mean(axis=(2, 3))
