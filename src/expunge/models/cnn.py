"""A small convolutional network, for experiments that train many on two cores."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from torch import Tensor, nn

from expunge.core.checks import require_choice, require_count, require_name
from expunge.core.errors import InvalidValue
from expunge.models.base import fitting, require_inputs, require_room
from expunge.models.convolutional import kaiming
from expunge.models.weights import require_weights

NORMS = ("group", "batch", "none")
_GROUPS = 8


class ChannelsLast(nn.Module):
    """Images with their channels last in memory, as convolutions then keep them: quicker on a CPU.

    An epoch of this network takes .59 to .85 times as long, by width and norm.
    """

    def forward(self, x: Tensor) -> Tensor:
        """The same numbers, (m, channels, height, width)."""
        return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)  # in words that vmap knows


@dataclass(frozen=True)
class Cnn:
    """Three convolutions of 3 x 3, each normalised, with ReLU and a max-pool of 2 x 2; mean, linear head.

    Attributes:
        width: Channels of the first convolution; the others have twice and four times as many.
        norm: ``group`` (of 8 groups: within an image, so that its scale and shift are units of a scrub),
            ``batch`` or ``none``.
        weights, name: As in ``Architecture``.
    """

    width: int = 32
    norm: str = "group"
    weights: str | None = None
    name: str = "cnn"

    def __post_init__(self) -> None:
        require_count("width", self.width)
        require_choice("norm", self.norm, NORMS)
        if self.norm == "group" and self.width % _GROUPS:
            raise InvalidValue("width", self.width, f"a multiple of {_GROUPS} with norm=group")
        require_weights(self.weights)
        require_name("name", self.name)

    def build(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return the network, as in ``Architecture``."""
        require_inputs(self.name, shape, classes, images=True)
        require_room(
            "width", self.width, 9 * self.width * (shape[0] + 10 * self.width) + self.width * classes
        )
        parts, channels = OrderedDict[str, nn.Module](layout=ChannelsLast()), shape[0]
        for number in (1, 2, 3):
            width = self.width * 2 ** (number - 1)
            parts[f"conv{number}"] = nn.Conv2d(channels, width, 3, padding=1)
            if self.norm != "none":
                group = self.norm == "group"
                parts[f"norm{number}"] = nn.GroupNorm(_GROUPS, width) if group else nn.BatchNorm2d(width)
            parts |= {f"relu{number}": nn.ReLU(), f"pool{number}": nn.MaxPool2d(2)}
            channels = width
        parts |= {"mean": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
        network = nn.Sequential(parts)
        kaiming(network)
        network.add_module("head", nn.Linear(channels, classes))
        return fitting(network, self.name, shape)
