"""The diagonal of the empirical Fisher matrix: how much each weight matters to the loss of some examples."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from expunge.core.errors import InvalidValue, last_line
from expunge.curvature.gradients import Batches
from expunge.curvature.losses import Losses
from expunge.curvature.watching import PARALLEL, watching

_ENTRIES = 1 << 21  # of gradients held at once, 8 MB: more do not stay near the processor


def mean_squared_gradient(module: nn.Module, losses: Losses, batches: Batches) -> dict[str, Tensor]:
    """Return ``(1/m) sum_i (grad loss_i)^2``, entry by entry, over all m examples, in evaluation mode.

    With the negative log-likelihood of the examples' own labels it is the diagonal of the empirical Fisher
    matrix. Outputs reach the loss in float64; the squares are summed in float64.

    Returns:
        Parameter name (of those that are trained) -> the means, float64, of its shape.

    Raises:
        ValueError: There is no example.
        InvalidValue: The network cannot be differentiated one example at a time.
    """
    if isinstance(module, PARALLEL):
        raise InvalidValue("model", type(module).__name__, "the network inside of it, its .module")
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    fixed = {name: value.detach() for name, value in state.items()}
    trained = {name: fixed[name] for name, p in module.named_parameters() if p.requires_grad}

    def loss(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        outputs = functional_call(module, {**fixed, **weights}, (x[None],))
        return losses(outputs.double(), y[None]).sum()

    one_by_one = vmap(grad(loss), in_dims=(None, 0, 0))
    sums = {name: torch.zeros_like(value, dtype=torch.float64) for name, value in trained.items()}
    size, count = max(1, _ENTRIES // sum(value.numel() for value in trained.values())), 0
    with watching(module):
        for x, y in batches:
            for some, own in zip(x.split(size), y.split(size), strict=True):
                try:
                    found = one_by_one(trained, some, own)
                except RuntimeError as error:
                    allowed = f"a network that runs one example at a time under vmap ({last_line(error)})"
                    raise InvalidValue("model", type(module).__name__, allowed) from None
                for name, each in found.items():
                    sums[name] += each.square_().sum(dim=0, dtype=torch.float64)
            count += len(y)
    if not count:
        raise ValueError("the mean of no examples is not defined")
    return {name: total / count for name, total in sums.items()}
