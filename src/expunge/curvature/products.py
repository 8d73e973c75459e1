"""Products of a vector with the Hessian or the Gauss-Newton matrix of the mean loss, reduced to a block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

import torch
from torch import Tensor, nn

from expunge.curvature.block import Block
from expunge.curvature.function import BlockFunction
from expunge.curvature.gradients import Batches, Losses
from expunge.curvature.losses import precise
from expunge.curvature.watching import naming_derivatives

Parts = Mapping[str, Tensor]


class _Product(ABC):
    """The mean over all examples of a linear map that autograd gives batch by batch.

    Nothing of size |S| x |S| is formed; a product walks once through the batches. With a single batch its
    graph is kept from the first product on, and each product is then only a walk back through it.

    The weights are those of the moment this is made: make another one when they have changed. The loss is
    computed in float64: in float32 the curvature of a network that is sure of its answers is rounding.

    Args:
        module: The network; it is left as it is.
        losses: The loss of each example.
        batches: The examples; batches may differ in size.
        block: The weights whose rows and columns are kept.

    Raises:
        ValueError: There is no example.
    """

    def __init__(self, module: nn.Module, losses: Losses, batches: Batches, block: Block) -> None:
        self._function, self._losses, self._block = BlockFunction(module, block), losses, block
        self._batches = batches
        self._kept: tuple[Callable[[Parts], Parts], int] | None = None
        first = list(islice(batches, 2))
        if not any(len(y) for _, y in first):
            raise ValueError("the curvature of no examples is not defined")
        if len(first) == 1:
            ((x, y),) = first
            self._kept = self._linear(x, y), len(y)

    def __call__(self, vector: Tensor) -> Tensor:
        """Return the product with ``vector``; both (size,) float64 on the CPU."""
        along = self._block.spread(vector, self._function.leaves)
        if self._kept is not None:
            apply, count = self._kept
            return self._block.gather(apply(along)) / count
        total, count = torch.zeros_like(vector, dtype=torch.float64), 0
        for x, y in self._batches:
            total += self._block.gather(self._linear(x, y)(along))
            count += len(y)
        return total / count

    @abstractmethod
    def _linear(self, x: Tensor, y: Tensor) -> Callable[[Parts], Parts]:
        """Return the map for the **summed** loss of one batch, from parameter parts to such parts."""


class Hessian(_Product):
    """The Hessian of the mean loss in the block's weights, by differentiating the gradient once more.

        H v = d/dw (grad L(w) . v)

    Source: Pearlmutter, Fast exact multiplication by the Hessian, Neural Computation 1994.
    """

    def _linear(self, x: Tensor, y: Tensor) -> Callable[[Parts], Parts]:
        leaves = self._function.leaves
        total = precise(self._losses, self._function(x), y).sum()
        gradient = _pull([total], [torch.ones_like(total)], leaves)
        return lambda along: _pull(gradient.values(), along.values(), leaves, last=True)


class GaussNewton(_Product):
    """The generalised Gauss-Newton matrix of the mean loss in the block's weights.

        G v = mean_i J_i^T H_i J_i v

    with J_i the Jacobian of example i's outputs in the weights and H_i the Hessian of its loss in the
    outputs. Positive semi-definite where the loss is convex in the outputs. J v is the derivative of J^T u
    in u.

    Source: Schraudolph, Fast curvature matrix-vector products, Neural Computation 2002.
    """

    def _linear(self, x: Tensor, y: Tensor) -> Callable[[Parts], Parts]:
        leaves = self._function.leaves
        outputs = self._function(x)
        point = {"outputs": outputs.detach().requires_grad_()}
        dual = {"outputs": torch.zeros_like(outputs, requires_grad=True)}
        with torch.enable_grad():
            total = precise(self._losses, point["outputs"], y).sum()
        slope = _pull([total], [torch.ones_like(total)], point)
        pulled = _pull([outputs], dual.values(), leaves)

        def apply(along: Parts) -> Parts:
            pushed = _pull(pulled.values(), along.values(), dual, last=True)
            curved = _pull(slope.values(), pushed.values(), point, last=True)
            return _pull([outputs], curved.values(), leaves, last=True)

        return apply


def _pull(ends: Iterable[Tensor], weights: Iterable[Tensor], by: Parts, last: bool = False) -> Parts:
    """Return the derivative in ``by`` of the sum of ``weights`` times ``ends``; zero where no path leads.

    The graph of ``ends`` stays; unless this is the ``last`` derivative the result has a graph of its own.
    """
    linked = [(end, weight) for end, weight in zip(ends, weights, strict=True) if end.requires_grad]
    if not linked:
        return {name: torch.zeros_like(tensor) for name, tensor in by.items()}
    with torch.enable_grad(), naming_derivatives():
        found = torch.autograd.grad(
            [end for end, _ in linked],
            list(by.values()),
            [weight for _, weight in linked],
            retain_graph=True,
            create_graph=not last,
            materialize_grads=True,
        )
    return dict(zip(by, found, strict=True))
