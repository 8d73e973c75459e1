"""Activation maps: where in an image the last convolutions of a network are active."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from expunge.curvature.gradients import Batches
from expunge.curvature.watching import require_open, watching

log = logging.getLogger(__name__)

_SHOWN = 5
_POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


def activation_maps(module: nn.Module, batches: Batches) -> Tensor | None:
    """Energy of the last feature maps of a network at each position, in evaluation mode.

    ``a_ij = sum_c f_cij^2`` where ``f`` is what the last convolution, and the normalisation and activation
    after it, hand on to the first pooling or flattening. It is not normalised: a person that a network has
    forgotten may leave fainter maps as well as others. Of deep networks on small images the last maps may
    have a single position.

    Source: attention transfer, Zagoruyko and Komodakis (2017), ``F_sum^2``.

    Returns:
        (m, h, w) float64 on the CPU for m examples, whose targets are not looked at; None for none, or a
        network without convolutions of images. The network is left as it is.

    Raises:
        InvalidValue: The network, or a part of it, is in TorchScript.
    """
    require_open(module)
    last = _Last()
    found: list[Tensor] = []
    with ExitStack() as hooks, watching(module), torch.no_grad():
        for part in _leaves(module):
            hooks.enter_context(part.register_forward_hook(last.see))
        for x, _ in batches:
            last.map, last.open = None, False
            module(x)
            # Only now: an activation may yet have changed the map in place.
            if last.map is None:
                _warn_of_hidden(module)
                return None
            found.append(last.map.double().square().sum(dim=1).cpu())
    return torch.cat(found) if found else None


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    """The layers without layers inside; what computes the weights of one is no layer."""
    inner = [part for name, part in module.named_children() if name != "parametrizations"]
    if not inner:
        yield module
    for part in inner:
        yield from _leaves(part)


def _warn_of_hidden(module: nn.Module) -> None:
    hidden = [name for name, part in module.named_modules() if isinstance(part, nn.Conv2d)]
    if hidden:
        why = "it has convolutions, but none of them is called as a layer (their weights may be used without)"
        log.warning("no activation maps of this network: %s: %s", why, ", ".join(hidden[:_SHOWN]))


class _Last:
    """The last feature map so far; ``open`` from a convolution on until the next pooling or flattening."""

    def __init__(self) -> None:
        self.map: Tensor | None = None
        self.open = False

    def see(self, part: nn.Module, inputs: Any, output: Any) -> None:
        """Look at what a layer gives, as a forward hook does."""
        spatial = isinstance(output, Tensor) and output.ndim == 4 and not isinstance(part, _POOLS)
        self.open = spatial and (self.open or isinstance(part, nn.Conv2d))
        if self.open:
            self.map = output
