"""A network as a function of the parameters of a block alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from expunge.core.errors import InvalidValue
from expunge.curvature.block import Block
from expunge.curvature.watching import PARALLEL, watching


class BlockFunction:
    """A network in evaluation mode that autograd sees as a function of a block's parameters, twice over.

    All other parameters are constants, so the graph starts at the first layer of the block and costs no
    memory before it. The block's parameters are copies made now: ``leaves``, parameter name -> copy to
    differentiate in. The network is left as it is.

    Raises:
        InvalidValue: The network is wrapped in DataParallel, which takes no weights from outside.
    """

    def __init__(self, module: nn.Module, block: Block) -> None:
        if isinstance(module, PARALLEL):
            raise InvalidValue("model", type(module).__name__, "the network inside of it, its .module")
        fixed = {name: parameter.detach() for name, parameter in module.named_parameters()}
        self.leaves = {name: fixed[name].clone().requires_grad_() for name in block.names}
        self._module, self._weights = module, {**fixed, **self.leaves}

    def __call__(self, x: Tensor) -> Tensor:
        """Return the outputs for a batch of inputs, with their graph."""
        # fused attention has no second derivative, the plain one has
        with watching(self._module), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            outputs: Tensor = functional_call(self._module, self._weights, (x,))
        return outputs
