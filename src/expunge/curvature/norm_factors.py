"""The Gauss-Newton matrix of scale and shift of one normalisation layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from expunge.core.errors import InvalidValue
from expunge.curvature.layer_factors import CALLED, TOLD
from expunge.curvature.moment import SecondMoment
from expunge.curvature.units import channels_last, normalised


class NormFactors:
    """G of the channels in a block, of a layer that puts out scale * z + shift for normalised z.

        G = E[sum_c r_c r_c^T]      r_c = [sum_p g_pc * z_p, sum_p g_pc]

    with g_pc as in ``KroneckerFactored`` and z_p at position p, all calls of an example included. A channel
    has two numbers, so that the matrix is small enough to be taken as it is: the block of ``GaussNewton`` (of
    sampled columns, an estimate of it without bias), and nothing is assumed to be independent. By unit alone,
    as 2 x 2, it would be what others put beside K-FAC for BatchNorm (Osawa et al., CVPR 2019).
    """

    def __init__(self, name: str, module: nn.Module, named: dict[str, str], units: Tensor) -> None:
        self.name, self.module, self.units, self.named = name, module, units, named
        self.device = next(module.parameters(recurse=False)).device
        self.there = units.to(self.device)
        self.moment = SecondMoment(1, len(named) * len(units))
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self.last: Tensor | None = None
        self.called = False

    def see(self, inputs: Any, output: Tensor) -> Tensor:
        """Record a call of the module, see ``units.answering``."""
        self.called = True
        if output.requires_grad:
            with torch.no_grad():
                z = channels_last(self.module, normalised(self.module, inputs.detach()))
            self.inputs.append(z[..., self.there])
        return self.mark(inputs, output)

    def mark(self, inputs: Any, output: Tensor) -> Tensor:
        """Record where a call puts its output, and nothing of its inputs."""
        place = output.clone()  # what follows may work in place
        if output.requires_grad:
            self.outputs.append(place)
        return place

    def puts_out(self, outputs: Tensor) -> bool:
        """Whether B is known without a walk back: never."""
        return False

    def add_softmax(self, p: Tensor) -> None:
        """Not called: the layer puts no outputs out."""

    def add_gradients(self, gradients: list[Tensor], examples: int) -> None:
        """Add r r^T of the columns of a walk, of all calls in this batch."""
        total: Tensor | None = None
        for slope, z in zip(gradients, self.inputs, strict=True):
            g = channels_last(self.module, slope)[..., self.there].double()
            g = g.unflatten(0, (examples // len(z), len(z)))
            parts = {"weight": (g * z.double()).sum(dim=2), "bias": g.sum(dim=2)}
            rows = torch.cat([parts[kind] for kind in self.named], dim=-1).flatten(0, 1)
            total = rows if total is None else total + rows
        if total is not None:
            self.moment.add(total[None])

    def forget(self) -> None:
        """Let go of the graph of a batch."""
        self.inputs, self.outputs, self.last = [], [], None

    def room(self, rows: int, columns: int | None) -> int:
        """Bytes that it takes over so many examples."""
        width = self.moment.width
        return 8 * width * min(width, rows * (columns or width))

    def finish(self, count: int) -> None:
        """End the sum over ``count`` examples."""
        if not self.called:
            raise InvalidValue("units", self.name, TOLD.format(CALLED))
        self.moment.finish(self.device)
        self.scale = 1.0 / count

    def apply(self, parts: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return G v by parameter name."""
        vector = torch.cat([parts[name] for name in self.named.values()])
        found = self.scale * self.moment.times(vector[None], 0)[0]
        return dict(zip(self.named.values(), found.split(len(self.units)), strict=True))
