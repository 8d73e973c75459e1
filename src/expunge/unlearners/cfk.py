"""Catastrophic forgetting of the last layers: these are fine-tuned, all others frozen."""

from __future__ import annotations

from typing import Any

from torch import nn

from expunge.core.checks import require_count
from expunge.predictors.network import NetworkModel
from expunge.unlearners.finetune import Finetune
from expunge.unlearners.tuning import Tuning


class Cfk(Finetune):
    """``mean CE(retain)`` over the last k layers alone (CF-k; Goel et al., 2022).

    Args:
        model: The network.
        k: How many layers with weights of two or more axes (linear, convolutional, embedding) are trained,
            counted from the last, and with them what comes after them; None: all.
        name: What the run files call the method.
        settings: Those of ``Descent``.
    """

    search_space = {**Finetune.search_space, "k": (1, 2, 3, None)}

    def __init__(
        self,
        model: NetworkModel,
        k: int | None = 1,
        *,
        lr: float = 0.5,
        name: str = "cfk",
        **settings: Any,
    ) -> None:
        super().__init__(model, lr=lr, name=name, **settings)
        self.k = None if k is None else require_count("k", k)

    def change(self, tuning: Tuning) -> dict[str, float]:
        """Freeze, and train on."""
        frozen, last = parted(tuning.module, self.k)
        self.begin(tuning, last)
        tuning.freeze(frozen)
        return super().change(tuning)

    def begin(self, tuning: Tuning, last: list[nn.Module]) -> None:
        """Nothing: the last layers go on from where they are."""


def parted(module: nn.Module, k: int | None) -> tuple[list[nn.Module], list[nn.Module]]:
    """Return the layers before the last ``k``, and these with all that comes after the first of them.

    Layers are the parts that have parameters or statistics of their own, in the order in which the network
    names them; counted are those with a parameter of two or more axes. ``k`` None, or more than there are,
    is all.
    """
    layers = [part for part in module.modules() if _own(part)]
    counted = [place for place, part in enumerate(layers) if any(p.dim() > 1 for p in _parameters(part))]
    first = 0 if k is None or k >= len(counted) else counted[-k]
    return layers[:first], layers[first:]


def _parameters(part: nn.Module) -> list[nn.Parameter]:
    return list(part.parameters(recurse=False))


def _own(part: nn.Module) -> bool:
    return bool(_parameters(part)) or any(True for _ in part.buffers(recurse=False))
