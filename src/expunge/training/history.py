"""What training leaves behind besides the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from expunge.curvature.gradients import Losses, mean_gradient
from expunge.datasets.images import Examples
from expunge.datasets.resident import Resident

Moment = tuple[dict[str, Tensor], dict[str, Tensor]]
"""Mean gradient and weights at some moment of the training, by parameter name."""

_TOGETHER = 1 << 21  # numbers of inputs on a GPU whose gradient is taken at once
_PARTS = ("gradient", "gradient_change", "weight_change")


@dataclass(frozen=True)
class History:
    """Gradient and weights at the end of training, and how they changed over its last epoch.

    Every entry is keyed by the name of a **parameter**, so that identical layers have their own.

    Attributes:
        gradient: Gradient of the mean loss, without the penalty, in evaluation mode at the end of training;
            over the training rows, with ``max_batches`` over the first of them, as many as an epoch saw.
        gradient_change: ``gradient`` less the same at the end of the second-last epoch (at the start of
            training where there is only one).
        weight_change: Weights less those of the same moment.
    """

    gradient: dict[str, Tensor]
    gradient_change: dict[str, Tensor]
    weight_change: dict[str, Tensor]

    def tensors(self) -> dict[str, Tensor]:
        """Return all entries under ``<attribute>.<parameter name>``, as files keep them."""
        return {f"{part}.{name}": t for part in _PARTS for name, t in getattr(self, part).items()}

    @classmethod
    def between(cls, before: Moment, after: Moment) -> History:
        """Return the history of a training whose last epoch led from one moment to the other."""
        pairs = zip(before, after, strict=True)
        return cls(after[0], *({name: t - was[name] for name, t in now.items()} for was, now in pairs))

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], device: torch.device | str = "cpu") -> History:
        """Return the history that ``tensors()`` was made from.

        Raises:
            KeyError: An entry is of something else.
        """
        parts: dict[str, dict[str, Tensor]] = {part: {} for part in _PARTS}
        for key, tensor in tensors.items():
            part, _, name = key.partition(".")
            parts[part][name] = tensor.to(device)
        return cls(**parts)


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes:
        module: The network, in evaluation mode, on the device it was trained on.
        history: None where there was no epoch, or none was wanted.
        losses: Mean loss, without the penalty, over the rows of each epoch, as training met them.
        seconds: Wall time of the training, also where the network comes from the cache.
        cached: Whether it does.
        facts: What else is kept of it (JSON values).
    """

    module: nn.Module
    history: History | None
    losses: tuple[float, ...]
    seconds: float
    cached: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


def _in_larger_batches(examples: Examples) -> Examples:
    """The same rows; of inputs on a GPU, where a call costs as much as its work, more of them at a time."""
    if not isinstance(examples.x, Resident):
        return examples
    return replace(examples, size=max(examples.size, _TOGETHER // max(1, examples.x.raw[0].numel())))


def moment(module: nn.Module, losses: Losses, examples: Examples) -> Moment:
    """Measure ``module`` as it is now."""
    try:
        gradient = mean_gradient(module, losses, _in_larger_batches(examples))
    except torch.cuda.OutOfMemoryError:
        gradient = mean_gradient(module, losses, examples)
    named = dict(module.named_parameters())
    return gradient, {name: named[name].detach().clone() for name in gradient}
