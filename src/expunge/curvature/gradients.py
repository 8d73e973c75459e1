"""Losses and their gradients over examples, keyed by parameter name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from expunge.core.errors import InvalidValue
from expunge.curvature.losses import Losses, cross_entropy, precise

__all__ = ["Batches", "Losses", "cross_entropy", "evaluating", "example_losses", "mean_gradient", "norm"]

Batches = Iterable[tuple[Tensor, Tensor]]
"""Inputs and targets, batch by batch; can be walked through more than once."""


@contextmanager
def evaluating(module: nn.Module) -> Iterator[nn.Module]:
    """Put ``module`` into evaluation mode (fixed BatchNorm statistics, no dropout), and back afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield module
    finally:
        for part, mode in modes:
            part.training = mode


def example_losses(module: nn.Module, losses: Losses, batches: Batches) -> Tensor:
    """Return the loss of every example in evaluation mode, (m,) float64 on the CPU, computed in float64."""
    with evaluating(module), torch.no_grad():
        found = [precise(losses, module(x), y).double().cpu() for x, y in batches]
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.float64)


def mean_gradient(module: nn.Module, losses: Losses, batches: Batches) -> dict[str, Tensor]:
    """Return the gradient of the **mean** loss over all examples of ``batches``, in evaluation mode.

    The network is left as it is, gradients in ``.grad`` included. The loss and its derivatives in the outputs
    are computed in float64, those before the outputs in the network's own type.

    Returns:
        Parameter name (as in ``module.named_parameters()``) -> gradient; zero where a parameter has no part.

    Raises:
        ValueError: There is no example.
        InvalidValue: ``losses`` does not give the loss of each example, or the outputs have no gradient.
    """
    named = {name: p for name, p in module.named_parameters() if p.requires_grad}
    sums: dict[str, Tensor] = {}
    count = 0
    with evaluating(module), torch.enable_grad():
        for x, y in batches:
            parts = _parts(partial(_total, module, losses, x, y), list(named.values()))
            for name, part in zip(named, parts, strict=True):
                sums[name] = sums[name] + part if name in sums else part
            del parts, part  # a large network's gradients are its size: held once, not twice
            count += len(y)
    if not count:
        raise ValueError("the mean gradient of no examples is not defined")
    return sums if count == 1 else {name: sums.pop(name) / count for name in named}


def require_gradient(module: nn.Module, outputs: Any) -> None:
    """Raise ``InvalidValue`` if ``outputs``, made with gradients on, have none in any trained parameter."""
    if not getattr(outputs, "requires_grad", True) and any(p.requires_grad for p in module.parameters()):
        allowed = "a network that does not switch gradients off (torch.no_grad, inference_mode, detach)"
        raise InvalidValue("model", "outputs that have no gradient", allowed)


def _total(module: nn.Module, losses: Losses, x: Tensor, y: Tensor) -> Tensor:
    outputs = module(x)
    require_gradient(module, outputs)
    return precise(losses, outputs, y).sum()


def _parts(total: Callable[[], Tensor], parameters: list[nn.Parameter]) -> list[Tensor]:
    """The gradient of ``total()`` in each parameter, zero where it has no part."""
    try:
        return list(torch.autograd.grad(total(), parameters, materialize_grads=True))
    except RuntimeError as error:
        if "use_reentrant" not in str(error):  # checkpoints that know no way back but to ``.grad``
            raise
    kept = [parameter.grad for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.grad = None
        total().backward()
        return [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    finally:
        for parameter, grad in zip(parameters, kept, strict=True):
            parameter.grad = grad


def norm(tensors: Iterable[Tensor]) -> float:
    """Return the 2-norm of several tensors taken as one vector, summed in float64."""
    return float(sum(float(t.double().square().sum()) for t in tensors)) ** 0.5
