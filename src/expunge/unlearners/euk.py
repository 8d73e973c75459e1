"""Exact unlearning of the last layers: these begin again from their first weights, all others are frozen."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from expunge.predictors.network import NetworkModel
from expunge.unlearners.cfk import Cfk, parted
from expunge.unlearners.search import Range
from expunge.unlearners.tuning import Tuning


class Euk(Cfk):
    """As ``Cfk``, but the last k layers are trained anew (EU-k; Goel et al., 2022).

    They begin as the network itself began: with the weights that the run's seed drew, or with those of its
    file. Of the layers before them what they know of the rows stays.

    Args:
        model: The network.
        k: See ``Cfk``.
        name: What the run files call the method.
        settings: Those of ``Descent``.
    """

    search_space = {**Cfk.search_space, "epochs": Range(2, 20)}

    def __init__(
        self,
        model: NetworkModel,
        k: int | None = 1,
        *,
        lr: float = 0.1,
        name: str = "euk",
        **settings: Any,
    ) -> None:
        super().__init__(model, k, lr=lr, name=name, **settings)

    def begin(self, tuning: Tuning, last: list[nn.Module]) -> None:
        """Put the last layers back to where training began."""
        model = self.predictor
        first = model.built()
        with torch.no_grad():
            for part, fresh in zip(last, parted(first, self.k)[1], strict=True):
                own = [*part.parameters(recurse=False), *part.buffers(recurse=False)]
                theirs = [*fresh.parameters(recurse=False), *fresh.buffers(recurse=False)]
                for tensor, value in zip(own, theirs, strict=True):
                    tensor.copy_(value)
