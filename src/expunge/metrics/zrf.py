"""Zero retrain forgetting: how near a model's predictions on the removed rows are to a random network's."""

from __future__ import annotations

import logging
from math import log

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import require_count
from expunge.core.columns import AIM, Column, with_references
from expunge.metrics.base import Evaluated, Values, View, probabilities_of
from expunge.metrics.divergence import js_divergence
from expunge.predictors import Probabilistic, Randomised

_log = logging.getLogger(__name__)

Array = NDArray[np.float64]


def zrf(predicted: Array, random: Array) -> float | None:
    """``1 - mean_i JS(p_i, r_i)`` with the divergence in bits, so that it is in [0, 1]; None of no rows.

    1 is a model that predicts what the random one does. That is not the aim: a retrained model still knows
    what other rows taught it, and the number to come to is its own. Chundawat, Tarun, Mandal, Kankanhalli,
    *Can Bad Teaching Induce Forgetting?*, AAAI 2023, who leave the base of the logarithm open.

    Args:
        predicted: (n, K) probabilities of a model on the removed rows.
        random: (n, K) those of a network that was never trained.
    """
    if not len(predicted):
        return None
    return float(1 - np.mean(js_divergence(predicted, random)) / log(2))


class Zrf(Evaluated):
    """``zrf`` of the model, and of the model that ``View.reference`` is, against the same random networks.

    These are of the model's kind, in evaluation mode (BatchNorm has the statistics it begins with: means 0
    and variances 1), and others than the one that training began with. The mean over ``networks`` of them.

    Args:
        every: See ``Evaluated``.
        networks: How many random networks; the publication has one.
    """

    needs = Randomised
    COLUMNS = with_references(
        {
            "zrf": Column(
                "ZRF",
                "",
                "zero retrain forgetting: 1 - Jensen-Shannon divergence (bits) between the predictions and "
                "those of networks with random weights, mean over the removed rows and these networks; "
                "between 0 and 1; " + AIM,
            )
        }
    )

    def __init__(self, every: int | None = None, networks: int = 5) -> None:
        super().__init__(every)
        self.networks = require_count("networks", networks, most=1000)

    def __call__(self, view: View) -> Values:
        """One training, shared with other metrics, and a pass over the removed rows for each network."""
        found: dict[str, float | None] = dict.fromkeys(self.COLUMNS)
        forget, classes = np.flatnonzero(view.requested), np.unique(view.y_train)
        if not isinstance(view.model, Randomised) or not len(forget):
            _log.warning("zrf is not defined: removed rows and a network are needed")
            return found
        drawn = [
            probabilities_of(view.model.ignorant(k, view.again), classes, view.x_train, forget)
            for k in range(self.networks)
        ]
        for name, model in (("zrf", view.model), ("retrain_zrf", view.reference)):
            if not isinstance(model, Probabilistic):
                _log.warning("%s is not defined: there is no model for the rows that stay", name)
                continue
            own = probabilities_of(model, classes, view.x_train, forget)
            if not np.isfinite(own).all():
                _log.warning("%s is not defined: the model's outputs are no numbers", name)
                continue
            found[name] = float(np.mean([zrf(own, random) for random in drawn]))
        return found
