"""Gradient ascent on the loss of the rows to be removed, over all weights."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from expunge.core.checks import LARGEST_SINGLE, require_count, require_positive
from expunge.curvature.gradients import cross_entropy, mean_gradient
from expunge.predictors.network import NetworkModel
from expunge.unlearners.guard import Guarded, Update


class GradientAscent(Guarded):
    """``w <- w + lr grad f(w)``, a few times, with f the mean loss of the rows to be removed.

    The plainest heuristic: it makes the rows badly classified, which a retrained model need not do. In
    evaluation mode; the statistics of normalisation layers stay.

    Args:
        model: The network.
        lr: Length of a step, as a multiple of the gradient.
        steps: Steps in each request.
        val_gap: See ``Guarded``.
        name: What the run files call the method.
    """

    predictor: NetworkModel

    def __init__(
        self,
        model: NetworkModel,
        lr: float = 1e-3,
        steps: int = 1,
        val_gap: float | None = 0.05,
        name: str = "gradient_ascent",
    ) -> None:
        super().__init__(model, name, val_gap)
        self.lr, self.steps = require_positive("lr", lr, most=LARGEST_SINGLE), require_count("steps", steps)

    def update(self, index: NDArray[np.int64]) -> Update:
        """Climb."""
        put_back = self.predictor.snapshot()
        sample = [self.predictor.training(index).take(index)]
        parameters = dict(self.predictor.module.named_parameters())
        for _ in range(self.steps):
            gradient = mean_gradient(self.predictor.module, cross_entropy, sample)
            with torch.no_grad():
                for name, part in gradient.items():
                    parameters[name].add_(self.lr * part)
        return {}, put_back
