"""Fine-tuning with a penalty that makes weights small: what is remembered needs many of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from expunge.core.checks import LARGEST_SINGLE, require_from_zero
from expunge.predictors.network import NetworkModel
from expunge.unlearners.finetune import Finetune
from expunge.unlearners.search import Range
from expunge.unlearners.tuning import Batch, Tuning


class L1Sparse(Finetune):
    """``mean CE(retain) + gamma (1 - t / T) ||theta||_1`` at step t of T, over all trained parameters.

    Jia et al., *Model Sparsity Can Simplify Machine Unlearning*, NeurIPS 2023, with the falling gamma that
    they found best.

    Args:
        model: The network.
        gamma: Of the penalty, at the first step.
        name: What the run files call the method.
        settings: Those of ``Descent``.
    """

    search_space = {**Finetune.search_space, "gamma": Range(1e-5, 1e-2, log=True)}

    def __init__(
        self, model: NetworkModel, gamma: float = 1e-4, *, name: str = "l1_sparse", **settings: Any
    ) -> None:
        super().__init__(model, name=name, **settings)
        self.gamma = require_from_zero("gamma", gamma, most=LARGEST_SINGLE)

    def loss(self, tuning: Tuning, batch: Batch) -> Tensor:
        """That of fine-tuning, and the penalty."""
        size = torch.stack([parameter.abs().sum() for parameter in tuning.trained()]).sum()
        return super().loss(tuning, batch) + self.gamma * (1 - batch.progress) * size
