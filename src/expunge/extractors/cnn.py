"""The published feature extractor: a small convolutional network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import gcd

from torch import nn

from expunge.core.checks import require_choice, require_count
from expunge.core.errors import InvalidValue
from expunge.core.seeds import torch_draws_from, torch_generator
from expunge.models.base import require_room, require_widths

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}

_GROUP = 4  # channels that GroupNorm normalises together, where their number allows it
WEIGHTS = 5  # which stream of the training's random numbers the first weights come from


@dataclass(frozen=True)
class ConvNet:
    """Blocks of convolution, normalisation, activation and 2 x 2 max-pool, then a linear head.

    As published (Guo et al., ICML 2020, section 4.3): two 5 x 5 convolutions of 64 filters with ReLU.

    Attributes:
        filters: Output channels of each block, the first one first.
        kernel: Side of every convolution, in pixels; there is no padding.
        norm: ``none``, ``group`` (GroupNorm over four channels; over fewer or all of them where their number
            is no multiple of four) or ``batch``.
        activation: ``relu`` or ``tanh``.

    Raises:
        InvalidValue: A value is not allowed; the message names the key.
    """

    filters: Sequence[int] = (64, 64)
    kernel: int = 5
    norm: str = "none"
    activation: str = "relu"

    def __post_init__(self) -> None:
        object.__setattr__(self, "filters", require_widths("filters", self.filters, "[64, 64]"))
        require_count("kernel", self.kernel)
        require_choice("norm", self.norm, ("none", "group", "batch"))
        require_choice("activation", self.activation, ACTIVATIONS)

    def build(self, shape: tuple[int, ...], classes: int, seed: int) -> tuple[nn.Sequential, nn.Linear, int]:
        """Return extractor (m, *shape) -> (m, dim), head (m, dim) -> (m, classes), and dim.

        The shape is (channels, height, width) of one image. The same seed of the weights gives the same
        bytes, and torch's own random numbers are left alone.

        Raises:
            InvalidValue: ``filters``: the images are too small for that many blocks.
        """
        height, width = self._output(shape)
        dim = self.filters[-1] * height * width
        maps = sum(self.kernel**2 * wide * narrow for wide, narrow in pairwise((shape[0], *self.filters)))
        require_room("filters", list(self.filters), maps + dim * classes)
        with torch_draws_from(torch_generator(seed, "training", WEIGHTS)):
            layers: list[nn.Module] = []
            channels = shape[0]
            for filters in self.filters:
                layers.append(nn.Conv2d(channels, filters, self.kernel))
                if self.norm == "batch":
                    layers.append(nn.BatchNorm2d(filters))
                elif self.norm == "group":
                    together = gcd(filters, _GROUP)
                    layers.append(nn.GroupNorm(1 if together == 1 else filters // together, filters))
                layers += [ACTIVATIONS[self.activation](), nn.MaxPool2d(2)]
                channels = filters
            return nn.Sequential(*layers, nn.Flatten()), nn.Linear(dim, classes), dim

    def _output(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Height and width of the last block's output."""
        sides = (shape[1], shape[2])
        for fit in range(len(self.filters)):
            smaller = tuple((side - self.kernel + 1) // 2 for side in sides)
            if min(smaller) < 1:
                got = f"{list(self.filters)} on images of {shape[1]} x {shape[2]} pixels"
                blocks = f"at most {fit} blocks" if fit else "smaller kernels: not even one block fits"
                raise InvalidValue("filters", got, f"{blocks} with kernel={self.kernel}")
            sides = (smaller[0], smaller[1])
        return sides
