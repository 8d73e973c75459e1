"""KFAC: the Gauss-Newton matrix of a block as one Kronecker product for each module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from expunge.core.errors import InvalidValue
from expunge.core.gpu_memory import held_on, room_on
from expunge.core.memory import in_words, room_below
from expunge.curvature.block import Block
from expunge.curvature.function import BlockFunction
from expunge.curvature.gradients import Batches, Losses
from expunge.curvature.layer_factors import CALLED, TOLD, LayerFactors
from expunge.curvature.norm_factors import NormFactors
from expunge.curvature.roots import root_columns, sampled
from expunge.curvature.units import answering, is_norm, own_parameters
from expunge.curvature.walks import Graph, together_on, walks_back
from expunge.curvature.watching import naming_derivatives

COLUMNS = 100
"""Columns of a root of the Hessian in the outputs that are walked back, at most."""


class KroneckerFactored:
    """A (x) B of every layer with units in the block, reduced to these; zero between layers.

        A = E[sum_p a_p a_p^T]          B = E[sum_p sum_c g_pc g_pc^T] / positions

    E is the mean over examples. p runs through the positions at which the module is applied to an example:
    the places of a convolution, the tokens of a sequence, repeated calls. a_p is the input there (for a
    convolution the patch under the filter), with a 1 after it where the module's bias is in the block. g_pc
    is column c of a square root of the Hessian of the loss in the network's outputs, propagated back to the
    module's output at p: the exact factor ("type 2"), not taken from the gradients of the labels. With one
    Linear and one example of one position it equals ``GaussNewton``. Groups of a convolution count as modules
    of their own, and so do queries, keys and values of a MultiheadAttention. Of a LayerNorm or GroupNorm it
    is ``GaussNewton`` itself, see ``NormFactors``.

    Of a network with more than ``columns`` outputs so many columns are drawn for each example, see
    ``root_columns``: B is then an estimate without bias, but for the layer that puts the outputs out, where
    it is known (the mean of diag(p) - p p^T for softmax p). Measured with 5,749 outputs, 128 rows and 100
    columns, sure or unsure of its answers: B of the layers before is off by 4% to 6% (Frobenius norm), by
    half of that with four times the columns.

    Factors are float64: for each module at most (inputs of a unit)^2 and (selected units)^2 numbers, see
    ``SecondMoment``. One pass over the examples with as many walks back as there are columns, which leaves
    the network as it is.

    Args:
        module: The network.
        losses: The loss of each example.
        batches: The examples.
        block: The weights.
        columns: The most columns of a root; None: as many as the network has outputs. Losses other than
            ``cross_entropy`` always have all.
        rng: Draws columns, where there are more; None: always the same.

    Raises:
        ValueError: There is no example, or the loss is not convex in the outputs.
        SolveError: The Hessian of the loss in the outputs is not finite.
        InvalidValue: A module shares its weights with another one, or is not called through its ``forward``;
            or the Hessians of a loss of one's own do not fit into memory.

    Sources: Martens and Grosse, ICML 2015; Grosse and Martens, ICML 2016.
    """

    def __init__(
        self,
        module: nn.Module,
        losses: Losses,
        batches: Batches,
        block: Block,
        columns: int | None = COLUMNS,
        rng: np.random.Generator | None = None,
    ) -> None:
        self._block, self._layers = block, list(_layers(module, block))
        self._columns, self._rng = columns, rng or np.random.default_rng(0)
        function, count = BlockFunction(module, block), 0

        def run(examples: Tensor, told: str) -> Tensor:
            watched = {layer.name: (layer.module, getattr(layer, told)) for layer in self._layers}
            with answering(module, watched):  # not in the walk back: checkpointed layers run once more there
                return function(examples)

        for x, y in batches:
            self._add(run, x, y, losses)
            count += len(y)
        if not count:
            raise ValueError("the curvature of no examples is not defined")
        for layer in self._layers:
            layer.finish(count)
        devices = {layer.device for layer in self._layers}
        self.device = devices.pop() if len(devices) == 1 else torch.device("cpu")
        """Where products are computed: on the GPU that the factors are on."""

    def __call__(self, vector: Tensor) -> Tensor:
        """Return the product with ``vector``, where it is; both (size,) float64."""
        parts, found = self._block.split(vector.to(self.device)), {}
        for layer in self._layers:
            found.update(layer.apply(parts))
        return self._block.joined(found).to(vector.device)

    def _add(self, run: Callable[[Tensor, str], Tensor], x: Tensor, targets: Tensor, losses: Losses) -> None:
        before = held_on(x.device)
        outputs = run(x, "see")
        held = held_on(x.device) - before
        walked = list(self._layers)
        if sampled(losses, outputs, targets, self._columns):
            walked = [layer for layer in self._layers if not layer.puts_out(outputs)]
            for layer in self._layers:
                if layer not in walked:
                    layer.add_softmax(outputs.detach().double().softmax(dim=1))

        def graph(outputs: Tensor) -> Graph:
            return Graph(outputs, [place for layer in walked for place in layer.outputs])

        def repeated(times: int) -> Graph:
            for layer in self._layers:
                layer.outputs = []
            return graph(run(torch.cat([x] * times), "mark"))

        first = graph(outputs)
        if first.places and outputs.requires_grad:
            columns = root_columns(losses, outputs.detach(), targets, self._columns, self._rng)
            together = together_on(outputs.device, held)
            with naming_derivatives():
                for slopes, taken in walks_back(first, columns, together, repeated):
                    found = iter(slopes)
                    for layer in walked:
                        layer.add_gradients([next(found) for _ in layer.outputs], taken * len(targets))
        for layer in self._layers:
            layer.forget()


def require_layers(module: nn.Module, block: Block, silent: Container[str]) -> None:
    """Raise ``InvalidValue`` unless all modules of a block have factors; ``silent`` ones are not called."""
    for layer in _layers(module, block):
        if layer.name in silent:
            raise InvalidValue("units", layer.name, TOLD.format(CALLED))


def require_memory(module: nn.Module, block: Block, rows: int, columns: int | None = COLUMNS) -> None:
    """Raise ``InvalidValue`` unless there is memory for the factors of a block over so many examples."""
    needed, widest = 0, (0, "")
    for layer in _layers(module, block):
        size = layer.room(rows, columns)
        needed, widest = needed + size, max(widest, (size, layer.name))
    where = next(module.parameters()).device
    if where.type == "cuda":
        room = f"{in_words(room_on(where))} of the GPU" if needed > room_on(where) else None
    else:
        room = room_below(needed)
    if room:
        what = f"kfac, which needs {in_words(needed)}, {in_words(widest[0])} of them for {widest[1]}"
        instead = f"ggn, a selector that takes fewer units, or fewer curvature_rows: {room} are left"
        raise InvalidValue("curvature", what, instead)


def _layers(module: nn.Module, block: Block) -> Iterator[LayerFactors | NormFactors]:
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    users = Counter(id(p) for part in module.modules() for p in part.parameters(recurse=False))
    for name, part in module.named_modules():
        own = own_parameters(part)
        found = {kind: names[id(parameter)] for kind, parameter in own.items()}
        named = {kind: whole for kind, whole in found.items() if whole in block.rows}
        if any(users[id(own[kind])] > 1 for kind in named):
            raise InvalidValue("units", name, TOLD.format("shares no weights with another one"))
        if named:
            factors = NormFactors if is_norm(part) else LayerFactors
            yield factors(name, part, named, block.rows[next(iter(named.values()))])
