"""Removal by an addition: each row has a vector, made in training, that leads to the network without it."""

from __future__ import annotations

import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from expunge.core.checks import require_positive
from expunge.core.columns import Column
from expunge.predictors.network import NetworkModel
from expunge.predictors.recollecting import RecollectingNetwork
from expunge.unlearners.descent import InPlace
from expunge.unlearners.guard import VALIDATION
from expunge.unlearners.search import Range
from expunge.unlearners.tuning import Tuning


class HessianFree(InPlace):
    """``w + scale sum a_u`` over the rows u that leave (Qiao et al., ICLR 2025), which is O(d) a row.

    a_u, made while the network is trained (``expunge.training.recollection``), is the derivative of the
    trained weights when u loses its weight, along the same batches: what is left of u is of second order in
    the rows that leave. Nothing is certified: the published certificate bounds that order by constants that
    nobody knows of a network. The vectors of the rows that stay are of the training with those that left,
    whose part in them is of second order, too.

    Args:
        model: The network; SGD, no BatchNorm, no dropout. It is trained here, not taken from the cache.
        scale: Of the addition; 1 is the derivative.
        limit: The most numbers, rows times parameters, that may be kept; twice as many are while training.
        val_gap: See ``Guarded``.
        name: What the run files call the method.
    """

    predictor: RecollectingNetwork
    COLUMNS = {
        **VALIDATION,
        "stored_bytes_row": Column(
            "stored bytes a row",
            "↓",
            "size of what is kept besides the model to serve requests, over the number of rows that stay",
            "count",
        ),
    }
    search_space = {"scale": Range(0.25, 2.0)}

    def __init__(
        self,
        model: NetworkModel,
        scale: float = 1.0,
        limit: float = 2e8,
        val_gap: float | None = 0.05,
        name: str = "hessian_free",
    ) -> None:
        own = RecollectingNetwork(model.learner, require_positive("limit", limit))
        super().__init__(own, name, val_gap)
        self.scale, self.limit = require_positive("scale", scale), own.limit

    def change(self, tuning: Tuning) -> dict[str, float]:
        """Add."""
        model, own = self.predictor, tuning.trained()
        with torch.no_grad():
            vector_to_parameters(
                parameters_to_vector(own) + self.scale * model.recollection.take(tuning.forget), own
            )
        return {"stored_bytes_row": model.stored_bytes / model.there.count}
