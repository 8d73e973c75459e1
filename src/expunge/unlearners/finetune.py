"""Fine-tuning on the rows that stay, in the hope that the others fade."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from expunge.curvature.gradients import cross_entropy
from expunge.predictors.network import NetworkModel
from expunge.unlearners.descent import Descent
from expunge.unlearners.search import Range
from expunge.unlearners.tuning import Batch, Tuning


class Finetune(Descent):
    """A little more training on the rows that stay: ``mean CE(retain)`` is all there is to it.

    Args:
        model: The network.
        name: What the run files call the method.
        settings: Those of ``Descent``.
    """

    search_space = {"lr": Range(1e-3, 0.5, log=True), "epochs": Range(1, 10)}

    def __init__(
        self, model: NetworkModel, *, lr: float = 0.2, name: str = "finetune", **settings: Any
    ) -> None:
        super().__init__(model, name, lr=lr, **settings)

    def change(self, tuning: Tuning) -> dict[str, float]:
        """Train on."""
        for batch in tuning.batches(tuning.retain):
            tuning.step(self.loss(tuning, batch))
        return {}

    def loss(self, tuning: Tuning, batch: Batch) -> Tensor:
        """That of one batch of rows that stay."""
        return cross_entropy(tuning.logits(batch), batch.y).mean()
