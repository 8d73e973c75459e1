"""Descent on the rows that stay and ascent on those that leave, in one loss."""

from __future__ import annotations

from typing import Any

from expunge.core.checks import require_share
from expunge.curvature.gradients import cross_entropy
from expunge.predictors.network import NetworkModel
from expunge.unlearners.descent import Descent
from expunge.unlearners.search import Range
from expunge.unlearners.tuning import Tuning


class Neggrad(Descent):
    """``alpha mean CE(retain) - (1 - alpha) mean CE(forget)``, a batch of each a step (NegGrad+).

    Kurmanji et al., *Towards Unbounded Machine Unlearning*, NeurIPS 2023. An epoch is a pass over the rows
    that stay; those that leave begin again as often as that takes.

    Args:
        model: The network.
        alpha: Weight of the rows that stay, above 0; 1 is fine-tuning.
        name: What the run files call the method.
        settings: Those of ``Descent``.
    """

    search_space = {
        "alpha": (0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995),  # what matters is 1 - alpha
        "lr": Range(1e-3, 0.1, log=True),
        "epochs": Range(1, 10),
    }

    def __init__(
        self,
        model: NetworkModel,
        alpha: float = 0.995,
        *,
        lr: float = 0.01,
        schedule: str = "constant",
        name: str = "neggrad",
        **settings: Any,
    ) -> None:
        super().__init__(model, name, lr=lr, schedule=schedule, **settings)
        self.alpha = require_share("alpha", alpha)

    def change(self, tuning: Tuning) -> dict[str, float]:
        """Take the steps."""
        beside = tuning.beside(tuning.forget)
        for retain in tuning.batches(tuning.retain):
            forget = next(beside)
            stays, leaves = (
                cross_entropy(tuning.logits(batch), batch.y).mean() for batch in (retain, forget)
            )
            tuning.step(self.alpha * stays - (1 - self.alpha) * leaves)
        return {}
