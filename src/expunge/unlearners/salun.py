"""Random labels, but only the weights that matter for the rows that leave are changed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from expunge.core.checks import require_share
from expunge.curvature.gradients import cross_entropy, mean_gradient
from expunge.predictors.network import NetworkModel
from expunge.unlearners.random_labels import RandomLabels
from expunge.unlearners.tuning import Tuning


class Salun(RandomLabels):
    """As ``RandomLabels``, on the weights with the largest ``|grad mean CE(forget)|``; all others stay.

    Fan et al., *SalUn*, ICLR 2024. The gradient is that at the beginning, in evaluation mode; the share is
    taken over all trained parameters together. Neither penalty nor momentum moves a weight that is held.

    Args:
        model: The network.
        mask_share: Share of the weights that may move, above 0 and at most 1.
        retain_share: See ``RandomLabels``.
        name: What the run files call the method.
        settings: Those of ``Descent``.
    """

    search_space = {**RandomLabels.search_space, "mask_share": (0.1, 0.3, 0.5, 0.7, 0.9)}

    def __init__(
        self,
        model: NetworkModel,
        mask_share: float = 0.5,
        retain_share: float = 1.0,
        *,
        lr: float = 0.02,
        name: str = "salun",
        **settings: Any,
    ) -> None:
        super().__init__(model, retain_share, lr=lr, name=name, **settings)
        self.mask_share = require_share("mask_share", mask_share)

    def change(self, tuning: Tuning) -> dict[str, float]:
        """Hold the others, and take the steps."""
        gradient = mean_gradient(tuning.module, cross_entropy, tuning.examples.only(tuning.forget))
        tuning.hold(largest(list(gradient.values()), self.mask_share))
        return super().change(tuning)


def largest(values: list[Tensor], share: float) -> list[Tensor]:
    """Return masks of the ``round(share p)`` of p entries that are largest in absolute value, one at least.

    Of equal ones the first; each mask has the shape of its tensor.
    """
    sizes = torch.cat([value.detach().abs().ravel() for value in values])
    chosen = torch.argsort(sizes, descending=True, stable=True)[: max(1, round(share * len(sizes)))]
    mask = torch.zeros(len(sizes), dtype=torch.bool, device=sizes.device)
    mask[chosen] = True
    parts = mask.split([value.numel() for value in values])
    return [part.view(value.shape) for part, value in zip(parts, values, strict=True)]
