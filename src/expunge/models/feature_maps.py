"""Activation maps: where in an image the last convolutions of a network are active."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from expunge.curvature.gradients import Batches, evaluating

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
    """
    leaves = [part for part in module.modules() if not any(True for _ in part.children())]
    last = _Last()
    found: list[Tensor] = []
    hooks = [part.register_forward_hook(last.see) for part in leaves]
    try:
        with evaluating(module), torch.no_grad():
            for x, _ in batches:
                last.map, last.open = None, False
                module(x)
                # Only now: an activation may yet have changed the map in place.
                if last.map is None:
                    return None
                found.append(last.map.double().square().sum(dim=1).cpu())
    finally:
        for hook in hooks:
            hook.remove()
    return torch.cat(found) if found else None


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
