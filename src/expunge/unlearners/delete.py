"""What the old network would say of the rows that leave, had it never heard of their class."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from expunge.predictors.network import NetworkModel
from expunge.unlearners.descent import Descent
from expunge.unlearners.search import Range
from expunge.unlearners.tuning import Tuning, kl_divergence


class Delete(Descent):
    """``mean KL(softmax(z0 masked) || p)`` over the rows that leave alone, z0 the old network's outputs.

    DELETE (Zhou et al., *Decoupled Distillation to Erase*, CVPR 2025): the output of a row's own class is
    masked with minus infinity, all others keep their proportions. No row that stays is looked at.

    Args:
        model: The network.
        name: What the run files call the method.
        settings: Those of ``Descent``; an epoch is a pass over the rows that leave.
    """

    search_space = {"lr": Range(1e-4, 0.1, log=True), "epochs": Range(1, 20)}

    def __init__(
        self,
        model: NetworkModel,
        *,
        epochs: int = 10,
        lr: float = 4e-4,
        schedule: str = "constant",
        name: str = "delete",
        **settings: Any,
    ) -> None:
        super().__init__(model, name, epochs=epochs, lr=lr, schedule=schedule, **settings)

    def change(self, tuning: Tuning) -> dict[str, float]:
        """Take the steps."""
        teacher = tuning.teacher()
        for batch in tuning.batches(tuning.forget):
            with torch.no_grad():
                target = masked_softmax(teacher(batch.x).double(), batch.y)
            tuning.step(kl_divergence(target, tuning.logits(batch)).mean())
        return {}


def masked_softmax(logits: Tensor, labels: Tensor) -> Tensor:
    """Softmax over all classes but a row's own, which gets 0, (m, K)."""
    return logits.scatter(1, labels[:, None], -torch.inf).softmax(dim=1)
