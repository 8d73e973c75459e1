"""What a family of networks must offer, and how one of its networks gets its first weights."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Protocol

import torch
from torch import nn

from expunge.core import memory
from expunge.core.checks import require_count
from expunge.core.errors import InvalidValue
from expunge.core.seeds import torch_draws_from, torch_generator
from expunge.curvature.gradients import evaluating
from expunge.models.weights import load_weights

_TRAINED = 12  # bytes for each parameter
_LARGEST = 256  # pixels: no image network in use asks for larger images


class Architecture(Protocol):
    """A family of networks; a frozen dataclass, whose fields are all that a network of it depends on."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def weights(self) -> str | None:
        """Path of a file with the state to begin from, see ``load_weights`` (None: drawn at random).

        Retraining begins from it too: rows that these weights have seen are not forgotten by it.
        """

    def build(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return a network with random weights: (m, ...) -> (m, classes), on the CPU in float32.

        The shape is that of one input: (channels, height, width) or (d,).

        Raises:
            InvalidValue: The network cannot take such inputs.
        """


def initialised(
    architecture: Architecture, shape: tuple[int, ...], classes: int, seed: int | None
) -> nn.Module:
    """Return the network that training begins with; the global random numbers of torch are left alone.

    The same seed of the random weights gives the same bytes.

    Raises:
        InvalidValue: The network cannot take such inputs.
        DataError: The file of weights is missing, damaged or another network's.
    """
    with torch_draws_from(torch_generator(seed, "training", 0)):
        module = architecture.build(shape, classes)
    if architecture.weights is not None:
        load_weights(module, architecture.weights)
    return module


def require_inputs(name: str, shape: tuple[int, ...], classes: int, images: bool = False) -> None:
    """Raise ``InvalidValue`` unless a network can be built for ``shape`` and ``classes`` at all."""
    require_count("classes", classes, least=2)
    kinds = {3: "(channels, height, width)"} if images else {1: "(features,)", 3: "(channels, height, width)"}
    if len(shape) not in kinds or min(shape) < 1:
        raise InvalidValue("model", f"{name} on inputs of shape {tuple(shape)}", " or ".join(kinds.values()))


def require_room(name: str, value: Any, parameters: int) -> None:
    """Raise ``InvalidValue`` where a network of so many parameters cannot be trained in the memory there is.

    At the least there are the parameters, their gradient and a step of the optimiser, in float32.
    """
    memory.require_room(name, value, _TRAINED * parameters, f"to train {parameters:,} parameters")


def require_widths(name: str, value: Any, example: str = "[100]") -> tuple[int, ...]:
    """Return the sizes in ``value``, or raise ``InvalidValue`` unless it lists whole numbers >= 1."""
    try:
        widths = tuple(require_count(name, width) for width in value)
    except (InvalidValue, TypeError):
        widths = ()
    if not widths:
        raise InvalidValue(name, value, f"a list of whole numbers >= 1, such as {example}")
    return widths


def fitting(network: nn.Module, name: str, shape: tuple[int, ...]) -> nn.Module:
    """Return ``network`` once it has taken one image of zeros, (channels, height, width), in evaluation mode.

    It takes images of any size that survives its strides; messages call it ``name``.

    Raises:
        InvalidValue: The images are too small for it.
    """
    try:
        _try(network, shape)
    except RuntimeError:
        network.to("meta")  # shapes without numbers: the network is not going to be used
        sides = range(1, _LARGEST + 1)
        side = bisect_left(sides, True, key=lambda side: _takes(network, (shape[0], side, side))) + 1
        if not min(shape[1:]) < side <= _LARGEST:
            raise  # not because of the size
        got = f"{name} on images of {shape[1]} x {shape[2]} pixels"
        raise InvalidValue("model", got, f"images of at least {side} x {side} pixels") from None
    return network


def _try(network: nn.Module, shape: tuple[int, ...]) -> None:
    like = next(network.parameters())
    with evaluating(network), torch.no_grad():
        network(torch.zeros((1, *shape), device=like.device))


def _takes(network: nn.Module, shape: tuple[int, ...]) -> bool:
    try:
        _try(network, shape)
    except RuntimeError:
        return False
    return True
