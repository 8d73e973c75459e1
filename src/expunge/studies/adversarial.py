"""A small network of images whose features are kept from telling chosen attributes."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from expunge.core.seeds import torch_draws_from
from expunge.training import Training

WIDTH = 128  # of the features
_CHANNELS = (16, 32, 64, 64)
_HIDDEN = 32  # of what reads an attribute off the features
_BATCH = 512  # rows that are predicted at a time


class _Reversed(torch.autograd.Function):
    """The identity, whose gradient is turned round and ``strength`` times as long."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradient, None


class Adversarial(nn.Module):
    """Features of an image, two outputs of the label from them, and a reader for each attribute.

    Four convolutions (3 x 3, every second pixel, ReLU) and a linear layer with ReLU make the features; a
    reader is a layer of 32 with ReLU and one output.

    Args:
        side: Height and width of the images in pixels, a multiple of 16.
        attributes: How many are read; 0 for none.
    """

    def __init__(self, side: int, attributes: int) -> None:
        super().__init__()
        sizes = zip((3, *_CHANNELS[:-1]), _CHANNELS, strict=True)
        layers = [part for a, b in sizes for part in (nn.Conv2d(a, b, 3, 2, 1), nn.ReLU())]
        last = _CHANNELS[-1] * (side // 2 ** len(_CHANNELS)) ** 2
        self.features = nn.Sequential(*layers, nn.Flatten(), nn.Linear(last, WIDTH), nn.ReLU())
        self.label = nn.Linear(WIDTH, 2)
        self.readers = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, 1))
            for _ in range(attributes)
        )

    def loss(self, x: Tensor, label: Tensor, attributes: Tensor, strength: float) -> Tensor:
        """Cross-entropy of the label plus, for each attribute, that of its reader; means over the rows, nats.

        A reader learns its attribute. What it says of the features comes to them turned round: they move to
        make its loss greater, by ``strength`` times its gradient (Ganin et al., *Domain-Adversarial Training
        of Neural Networks*, JMLR 2016).

        Args:
            x: (m, 3, side, side) float32.
            label: (m,) int64, 0 or 1.
            attributes: (m, k) float32, 0 or 1, in the order of the readers.
            strength: Factor >= 0; with 0 the features are those of a network without readers.
        """
        features = self.features(x)
        loss = functional.cross_entropy(self.label(features), label)
        if not len(self.readers):
            return loss
        seen = cast(Tensor, _Reversed.apply(features, strength))
        said = torch.cat([reader(seen) for reader in self.readers], dim=1)
        each = functional.binary_cross_entropy_with_logits(said, attributes, reduction="none")
        return loss + each.mean(dim=0).sum()

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """The label of each image, (n,) int64; equal outputs give 0."""
        return torch.cat([self.label(self.features(part)).argmax(dim=1) for part in x.split(_BATCH)])


def train(
    x: Tensor, label: Tensor, attributes: Tensor, strength: float, training: Training, chance: torch.Generator
) -> Adversarial:
    """Return a network that is trained on these rows; see ``Adversarial.loss``.

    First weights and the order of rows come from ``chance`` alone.
    """
    with torch_draws_from(chance):
        module = Adversarial(x.shape[-1], attributes.shape[1])
        optimizer, cuts = training.new_optimizer(module), training.batches(len(x))
        for epoch in range(training.epochs):
            order = torch.randperm(len(x))
            for step, (start, stop) in enumerate(cuts, start=epoch * len(cuts)):
                for group in optimizer.param_groups:
                    group["lr"] = training.rate(step, training.epochs * len(cuts))
                rows = order[start:stop]
                optimizer.zero_grad()
                module.loss(x[rows], label[rows], attributes[rows], strength).backward()
                optimizer.step()
    return module.eval()
