"""Networks of linear layers: softmax regression and the multi-layer perceptron."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from torch import nn

from expunge.core.checks import require_name
from expunge.models.base import require_inputs, require_room, require_widths
from expunge.models.weights import require_weights


@dataclass(frozen=True)
class Softmax:
    """Multinomial logistic regression: the flattened input, one linear map with a bias.

    Attributes:
        weights, name: As in ``Architecture``.
    """

    weights: str | None = None
    name: str = "softmax"

    def __post_init__(self) -> None:
        require_weights(self.weights)
        require_name("name", self.name)

    def build(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return the network, as in ``Architecture``."""
        require_inputs(self.name, shape, classes)
        return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), classes))


@dataclass(frozen=True)
class Mlp:
    """Linear layers on the flattened input with ReLU between them: 784-100-10 for MNIST as it stands.

    Attributes:
        hidden: Widths of the hidden layers, the first one first.
        weights, name: As in ``Architecture``.
    """

    hidden: Sequence[int] = (100,)
    weights: str | None = None
    name: str = "mlp"

    def __post_init__(self) -> None:
        require_weights(self.weights)
        require_name("name", self.name)
        object.__setattr__(self, "hidden", require_widths("hidden", self.hidden))

    def build(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return the network, as in ``Architecture``."""
        require_inputs(self.name, shape, classes)
        widths = (prod(shape), *self.hidden, classes)
        require_room("hidden", list(self.hidden), sum(wide * narrow for wide, narrow in pairwise(widths)))
        layers: list[nn.Module] = [nn.Flatten()]
        for wide, narrow in pairwise((prod(shape), *self.hidden)):
            layers += [nn.Linear(wide, narrow), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(self.hidden[-1], classes))
