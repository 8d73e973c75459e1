"""Weights that matter far more to the rows that leave than to all are dampened; no step is taken."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from expunge.core.checks import (
    LARGEST_SINGLE,
    require_choice,
    require_count,
    require_positive,
)
from expunge.core.columns import Column
from expunge.curvature.fisher import mean_squared_gradient
from expunge.curvature.losses import Losses, cross_entropy
from expunge.predictors.network import NetworkModel
from expunge.unlearners.descent import InPlace
from expunge.unlearners.guard import VALIDATION
from expunge.unlearners.search import Range
from expunge.unlearners.tuning import Rows, Tuning

Importance = Mapping[str, Tensor]

DAMPENED = {
    "dampened_share": Column(
        "dampened", "", "share of the weights that the update has made smaller", "share", shown=False
    )
}


def squared_size(outputs: Tensor, targets: Tensor) -> Tensor:
    """``||f(x)||^2`` of each row, (m,): labels are not looked at."""
    return outputs.square().sum(dim=1)


_LOSSES: dict[str, Losses] = {"fisher": cross_entropy, "output": squared_size}


class Ssd(InPlace):
    """Where ``F_f / F_D >= alpha``: ``theta <- min(dampening F_D / F_f, 1) theta``.

    Selective Synaptic Dampening (Foster et al., AAAI 2024). F_D and F_f are the means over all rows and over
    those that leave of the squared gradient of one row: of its cross-entropy (``fisher``), or of
    ``||outputs||^2``, which needs no labels (``output``: LFSSD, Foster et al., 2024). ``alpha`` None is
    chosen by the data (ASSD, Schoepf et al., 2024): the percentile ``100 - ln(1 + 100 |forget| / |all|)``
    of ``F_f / F_D``. The papers have > for >=: where many weights matter to the rows that leave alone, their
    ratios are all the same, the largest there is, and none would be above it.

    Args:
        model: The network.
        alpha: How many times more a weight must matter.
        dampening: lambda.
        importance: ``fisher`` or ``output``.
        importance_rows: The most rows that leave, and the most that stay, that the means are taken over,
            drawn; None: all. F_D is put together from the two.
        val_gap: See ``Guarded``.
        name: What the run files call the method.
    """

    COLUMNS = VALIDATION | DAMPENED
    search_space = {
        "alpha": (None, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0, 50.0),
        "dampening": Range(0.1, 1.0),
        "importance": ("fisher", "output"),
    }

    def __init__(
        self,
        model: NetworkModel,
        alpha: float | None = 4.0,
        dampening: float = 1.0,
        importance: str = "fisher",
        importance_rows: int | None = 5000,
        val_gap: float | None = 0.05,
        name: str = "ssd",
    ) -> None:
        super().__init__(model, name, val_gap)
        self.alpha = None if alpha is None else require_positive("alpha", alpha, most=LARGEST_SINGLE)
        self.dampening = require_positive("dampening", dampening, most=LARGEST_SINGLE)
        self.importance = require_choice("importance", importance, _LOSSES)
        self.importance_rows = (
            None if importance_rows is None else require_count("importance_rows", importance_rows)
        )

    def change(self, tuning: Tuning) -> dict[str, float]:
        """Dampen."""
        share = len(tuning.forget) / self.predictor.there.count
        of_forget, of_rest = (self.measured(tuning, rows) for rows in (tuning.forget, tuning.retain))
        of_all = {name: share * of_forget[name] + (1 - share) * rest for name, rest in of_rest.items()}
        alpha = adaptive_alpha(of_forget, of_all, share) if self.alpha is None else self.alpha
        dampened, count = 0, 0
        with torch.no_grad():
            for name, weights in tuning.module.named_parameters():
                if name in of_all:
                    factor = dampened_by(of_forget[name], of_all[name], alpha, self.dampening)
                    weights.mul_(factor)
                    dampened += int((factor < 1).sum())
                    count += factor.numel()
        return {"dampened_share": dampened / count}

    def measured(self, tuning: Tuning, rows: Rows) -> Importance:
        """F over some rows."""
        if self.importance_rows is not None and len(rows) > self.importance_rows:
            rows = tuning.rng.choice(rows, size=self.importance_rows, replace=False)
        examples = tuning.examples.only(rows)
        return mean_squared_gradient(tuning.module, _LOSSES[self.importance], examples)


def dampened_by(of_forget: Tensor, of_all: Tensor, alpha: float, dampening: float) -> Tensor:
    """The factor of each weight: ``min(dampening F_D / F_f, 1)`` where ``F_f / F_D >= alpha``, else 1.

    Weights that matter to no row stay, and so do those with F_D = 0: nothing is known of them.
    """
    chosen = (of_all > 0) & (of_forget / of_all >= alpha)
    ratio = dampening * of_all / torch.where(chosen, of_forget, 1.0)
    return torch.where(chosen, ratio.clamp(max=1.0), 1.0)


def adaptive_alpha(of_forget: Importance, of_all: Importance, share: float) -> float:
    """The percentile ``100 - ln(1 + 100 share)`` of ``F_f / F_D`` over the weights with F_D > 0."""
    ratios = torch.cat([(of_forget[name] / of_all[name])[of_all[name] > 0] for name in of_all])
    rank = 1 - math.log1p(100 * share) / 100
    ordered = ratios.sort().values  # torch.quantile takes 16 million entries at most
    return float(ordered[min(len(ordered) - 1, int(rank * len(ordered)))]) if len(ordered) else 1.0
