"""The stages of a scrub in the published order of work: one copy, one candidate, one dense matrix.

Written from the equations of Mehta et al. (CVPR 2022), Algorithm 1. The selection is
``codec.contenders.PublishedNoise``; here stand the forward passes and the solve:

    H'   = (n outer(dF, dF) / ||dw_F||_1 - m outer(df, df) / ||dw_f||_1) / (n - m)
    step = m / (n - m) (H' + l2 I)^{-1} (grad f + l2 w)

dF, dw_F: change of the mean training gradient and of the weights over the last epoch; df, dw_f: change of the
sample's gradient and of the weights over one gradient step of 1e-3.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from expunge.curvature import Block, Losses
from expunge.scrub import Problem
from expunge.scrub.noisy_copies import Unit
from expunge.scrub.scrub import by_module

SAMPLE_STEP = 1e-3


def single_forwards(
    module: nn.Module, losses: Losses, copies: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """Run one copy at a time, with a hook on every layer that has units.

    Args:
        module: The network, in evaluation mode.
        losses: The loss of each example.
        copies: (n, ...) copies of one sample.
        target: (1,) its label.

    Returns:
        (n,) losses and (n, units) outputs averaged over positions, in the network's own precision.
    """
    layers = [part for part in module.modules() if isinstance(part, (nn.Conv2d, nn.Linear))]
    outputs: dict[nn.Module, Tensor] = {}
    hooks = [part.register_forward_hook(lambda p, _, out: outputs.update({p: out})) for part in layers]
    found, rows = [], []
    with torch.no_grad():
        for copy in copies:
            found.append(losses(module(copy[None]), target))
            rows.append(torch.cat([_over_positions(outputs[part]) for part in layers], dim=1))
    for hook in hooks:
        hook.remove()
    return torch.cat(found), torch.cat(rows)


def _over_positions(output: Tensor) -> Tensor:
    return output.flatten(2).mean(dim=2) if output.ndim == 4 else output


@dataclass(frozen=True)
class Differences:
    """All that the dense system is made of, each of the selected weights: (|S|,) float64."""

    gradient: Tensor
    weights: Tensor
    training: tuple[Tensor, Tensor]
    sample: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, problem: Problem, block: Block) -> Differences:
        """Take the gradients, those of the sample in float64; the network is left as it is."""
        history, network = problem.history, deepcopy(problem.module).double().eval()
        assert history is not None
        before, weights = _gradient(network, problem), _weights(network)
        torch.optim.SGD(network.parameters(), lr=SAMPLE_STEP).step()
        change = {name: w - weights[name] for name, w in _weights(network).items()}
        after = _gradient(network, problem)
        return cls(
            block.gather(before),
            block.gather(weights),
            (block.gather(history.gradient_change), block.gather(history.weight_change)),
            (block.gather(after) - block.gather(before), block.gather(change)),
        )

    def solve(self, n: int, m: int, l2: float, dtype: torch.dtype, size: int | None = None) -> Tensor:
        """Build H' + l2 I, of the first ``size`` weights (None: all), and solve; returns the step."""
        (dg, dw), (dg_f, dw_f) = (
            [part[:size].to(dtype) for part in pair] for pair in (self.training, self.sample)
        )
        whole = torch.outer(dg, dg) / dw.abs().sum()
        part = torch.outer(dg_f, dg_f) / dw_f.abs().sum()
        curvature = whole.mul_(n).sub_(part.mul_(m)).div_(n - m)
        curvature.diagonal().add_(l2)
        rhs = (self.gradient + l2 * self.weights)[:size].to(dtype)
        return m / (n - m) * torch.linalg.solve(curvature, rhs)


def _gradient(network: nn.Module, problem: Problem) -> dict[str, Tensor]:
    x, y = problem.sample
    network.zero_grad()
    problem.losses(network(x.double()), y).mean().backward()
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in network.named_parameters()
    }


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in network.named_parameters()}


def block_that_fits(module: nn.Module, units: Sequence[Unit], most: int) -> Block:
    """Return the weights of as many units, those with few weights first, as make up ``most`` at most.

    There is one unit at least.
    """
    sizes = {unit: Block.of(module, by_module([unit])).size for unit in units}
    fitting: list[Unit] = []
    for unit in sorted(units, key=sizes.__getitem__):
        if fitting and sum(sizes[one] for one in [*fitting, unit]) > most:
            break
        fitting.append(unit)
    return Block.of(module, by_module(fitting))


def scaled_solve(seconds: float, size: int, weights: int) -> float:
    """Seconds of a dense solve with ``weights`` unknowns from those with ``size``: the cube of the ratio."""
    return seconds * (weights / size) ** 3
