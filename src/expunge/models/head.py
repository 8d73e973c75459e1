"""The identity head of a network: its last linear layer, whose input is the embedding."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from expunge.core.errors import InvalidValue
from expunge.curvature.gradients import Batches
from expunge.curvature.watching import first_input, require_open, watching


def identity_head(module: nn.Module) -> tuple[str, nn.Linear]:
    """Return name and layer of the last ``nn.Linear`` of ``module``, in the order of its parts.

    Raises:
        InvalidValue: There is none.
    """
    linear = [(name, part) for name, part in module.named_modules() if isinstance(part, nn.Linear)]
    if not linear:
        require_open(module)
        allowed = "a network with a linear layer, whose input is the embedding"
        raise InvalidValue("model", type(module).__name__, allowed)
    return linear[-1]


def head_inputs(module: nn.Module, batches: Batches) -> Tensor:
    """Return what the identity head is given for m examples, in evaluation mode; the network stays as it is.

    Returns:
        (m, d) float64 on the CPU, where d is the head's number of inputs; targets are not looked at.

    Raises:
        InvalidValue: The network has no linear layer, or the last one does not run once for an input: never
            (its weights are used without a call of the layer, or it is of another branch), or several times.
    """
    name, head = identity_head(module)
    found: list[Tensor] = []

    def see(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found.append(
            first_input(args, kwargs).to(torch.float64, copy=True).cpu()
        )  # what follows may work in place

    with (
        head.register_forward_pre_hook(see, with_kwargs=True),
        watching(module),
        torch.no_grad(),
    ):
        for number, (x, _) in enumerate(batches, start=1):
            module(x)
            if len(found) != number or found[-1].shape != (len(x), head.in_features):
                times = len(found) - number + 1
                what = (
                    f"runs {times} times" if times != 1 else f"has inputs of shape {tuple(found[-1].shape)}"
                )
                got = f"{name}, the last linear layer, which {what} for {len(x)} examples"
                raise InvalidValue("model", got, "a network that calls it once: its input is the embedding")
    return torch.cat(found) if found else torch.zeros((0, head.in_features), dtype=torch.float64)
