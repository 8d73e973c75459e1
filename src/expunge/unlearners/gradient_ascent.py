"""Gradient ascent on the loss of the rows to be removed, over all weights."""

from __future__ import annotations

import torch

from expunge.core.checks import LARGEST_SINGLE, require_count, require_positive
from expunge.curvature.gradients import cross_entropy, mean_gradient
from expunge.predictors.network import NetworkModel
from expunge.unlearners.descent import InPlace
from expunge.unlearners.search import Range
from expunge.unlearners.tuning import Tuning


class GradientAscent(InPlace):
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

    search_space = {"lr": Range(1e-4, 1.0, log=True), "steps": Range(1, 50)}

    def __init__(
        self,
        model: NetworkModel,
        lr: float = 0.04,
        steps: int = 5,
        val_gap: float | None = 0.05,
        name: str = "gradient_ascent",
    ) -> None:
        super().__init__(model, name, val_gap)
        self.lr, self.steps = require_positive("lr", lr, most=LARGEST_SINGLE), require_count("steps", steps)

    def change(self, tuning: Tuning) -> dict[str, float]:
        """Climb."""
        sample = tuning.examples.only(tuning.forget)
        parameters = dict(tuning.module.named_parameters())
        for _ in range(self.steps):
            gradient = mean_gradient(tuning.module, cross_entropy, sample)
            with torch.no_grad():
                for name, part in gradient.items():
                    parameters[name].add_(self.lr * part)
        return {}
