"""VGG-style networks for faces: an embedding layer between the convolutions and the identity head."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from expunge.core.checks import (
    require_count,
    require_from_zero,
    require_name,
    require_switch,
)
from expunge.core.errors import InvalidValue
from expunge.models.base import fitting, require_inputs, require_room, require_widths
from expunge.models.convolutional import kaiming, vgg_features
from expunge.models.weights import require_weights

_DEEPEST = 100  # convolutions of a block
_BLOCKS = 8  # each halves the image


@dataclass(frozen=True)
class VggFace:
    """Blocks of 3 x 3 convolutions with ReLU and a 2 x 2 max-pool, an embedding, one output an identity.

    The network of Parkhi et al. (2015) has ``widths`` 64, 128, 256, 512, 512, ``convolutions`` 2, 2, 3, 3, 3,
    ``embedding`` 4096, 4096, ``pool`` 7 and ``dropout`` 0.5, on colour images of 224 x 224 pixels.

    Attributes:
        widths: Channels of each block.
        convolutions: In each block, or in all of them alike.
        embedding: Width of the linear layer, with ReLU, before the head; of several, the last.
        batch_norm: Normalise after every convolution.
        pool: The last maps are averaged to this many positions per side.
        dropout: Share of outputs of each embedding layer that training leaves out.
        weights, name: As in ``Architecture``.
    """

    widths: Sequence[int] = (16, 32, 64, 64)
    convolutions: int | Sequence[int] = 1
    embedding: int | Sequence[int] = 64
    batch_norm: bool = False
    pool: int = 4
    dropout: float = 0.0
    weights: str | None = None
    name: str = "vggface"

    def __post_init__(self) -> None:
        widths = require_widths("widths", self.widths)
        if len(widths) > _BLOCKS:
            raise InvalidValue("widths", self.widths, f"at most {_BLOCKS} blocks: each halves the image")
        convolutions = _one_or_more("convolutions", self.convolutions, len(widths), _DEEPEST)
        if len(convolutions) != len(widths):
            allowed = f"a whole number, or one for each of the {len(widths)} blocks of widths"
            raise InvalidValue("convolutions", self.convolutions, allowed)
        require_switch("batch_norm", self.batch_norm)
        require_count("pool", self.pool)
        require_from_zero("dropout", self.dropout, below=1)
        require_weights(self.weights)
        require_name("name", self.name)
        object.__setattr__(self, "widths", widths)
        object.__setattr__(self, "convolutions", convolutions)
        object.__setattr__(self, "embedding", _one_or_more("embedding", self.embedding))

    def build(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return the network, as in ``Architecture``."""
        require_inputs(self.name, shape, classes, images=True)
        self._require_room(shape[0], classes)
        layout: list[int | str] = []
        for width, count in zip(self.widths, self.convolutions, strict=True):  # type: ignore[arg-type]
            layout += [width] * count + ["M"]
        widths = (self.widths[-1] * self.pool**2, *self.embedding)  # type: ignore[misc]
        layers: list[nn.Module] = []
        for wide, narrow in pairwise(widths):
            layers += [nn.Linear(wide, narrow), nn.ReLU(), nn.Dropout(self.dropout)]
        features, embedding = vgg_features(layout, shape[0], self.batch_norm), nn.Sequential(*layers)
        kaiming(features)
        kaiming(embedding)
        parts = OrderedDict[str, nn.Module](features=features, avgpool=nn.AdaptiveAvgPool2d(self.pool))
        parts |= {"flatten": nn.Flatten(), "embedding": embedding, "head": nn.Linear(widths[-1], classes)}
        return fitting(nn.Sequential(parts), self.name, shape)

    def _require_room(self, channels: int, classes: int) -> None:
        """Refuse widths that do not fit into memory; the largest part is named."""
        maps = [channels, *self.widths]
        flat = [self.widths[-1] * self.pool**2, *self.embedding, classes]  # type: ignore[misc]
        counts: Sequence[int] = self.convolutions  # type: ignore[assignment]
        inside = sum(
            9 * out * (before + (k - 1) * out)
            for (before, out), k in zip(pairwise(maps), counts, strict=True)
        )
        after = sum(wide * narrow for wide, narrow in pairwise(flat))
        name = "widths" if inside > after else "embedding" if max(flat[1:]) >= flat[0] else "pool"
        require_room(name, getattr(self, name), inside + after)


def _one_or_more(
    name: str, value: int | Sequence[int], times: int = 1, most: int | None = None
) -> tuple[int, ...]:
    """``value`` as a tuple; a single number is taken ``times`` times."""
    given = (value,) * times if isinstance(value, int) else require_widths(name, value)
    return tuple(require_count(name, number, most=most) for number in given)
