"""The identity head of a network: its last linear layer, whose input is the embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from expunge.core.errors import InvalidValue
from expunge.curvature.gradients import Batches, evaluating


def identity_head(module: nn.Module) -> tuple[str, nn.Linear]:
    """Return name and layer of the last ``nn.Linear`` of ``module``, in the order of its parts.

    Raises:
        InvalidValue: There is none.
    """
    linear = [(name, part) for name, part in module.named_modules() if isinstance(part, nn.Linear)]
    if not linear:
        allowed = "a network with a linear layer, whose input is the embedding"
        raise InvalidValue("model", type(module).__name__, allowed)
    return linear[-1]


def head_inputs(module: nn.Module, batches: Batches) -> Tensor:
    """Return what the identity head is given for m examples, in evaluation mode; the network stays as it is.

    Returns:
        (m, d) float64 on the CPU, where d is the head's number of inputs; targets are not looked at.

    Raises:
        InvalidValue: The network has no linear layer.
    """
    _, head = identity_head(module)
    found: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].double().cpu()))
    try:
        with evaluating(module), torch.no_grad():
            for x, _ in batches:
                module(x)
    finally:
        hook.remove()
    return torch.cat(found) if found else torch.zeros((0, head.in_features), dtype=torch.float64)
