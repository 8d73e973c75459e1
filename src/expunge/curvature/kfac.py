"""KFAC: the Gauss-Newton matrix of a block as one Kronecker product for each module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from expunge.core.errors import InvalidValue
from expunge.core.gpu_memory import room_on
from expunge.core.memory import in_words, room_below
from expunge.curvature.block import Block
from expunge.curvature.function import BlockFunction
from expunge.curvature.gradients import Batches, Losses
from expunge.curvature.moment import SecondMoment
from expunge.curvature.roots import root_columns, sampled
from expunge.curvature.walks import walks_back
from expunge.curvature.watching import first_input, naming_derivatives

_ENTRIES = 1 << 24  # of unfolded inputs held at once, in float64
_FEW = 1024  # units
_TOLD = "for kfac a module that {} (curvature=ggn takes any)"
_CALLED = "is called through its own forward"
COLUMNS = 100
"""Columns of a root of the Hessian in the outputs that are walked back, at most."""


class KroneckerFactored:
    """A (x) B of every Conv2d and Linear with units in the block, reduced to these; zero between modules.

        A = E[sum_p a_p a_p^T]          B = E[sum_p sum_c g_pc g_pc^T] / positions

    E is the mean over examples. p runs through the positions at which the module is applied to an example:
    the places of a convolution, the tokens of a sequence, repeated calls. a_p is the input there (for a
    convolution the patch under the filter), with a 1 after it where the module's bias is in the block. g_pc
    is column c of a square root of the Hessian of the loss in the network's outputs, propagated back to the
    module's output at p: the exact factor ("type 2"), not taken from the gradients of the labels. With one
    Linear and one example of one position it equals ``GaussNewton``. Groups of a convolution count as modules
    of their own.

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
        for x, y in batches:
            with ExitStack() as hooks:  # not in the walk back: there, checkpointed layers run once more
                for layer in self._layers:
                    hooks.enter_context(layer.module.register_forward_hook(layer.see, with_kwargs=True))
                outputs = function(x)
            with naming_derivatives():
                self._add(outputs, y, losses)
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

    def _add(self, outputs: Tensor, targets: Tensor, losses: Losses) -> None:
        walked = list(self._layers)
        if sampled(losses, outputs, targets, self._columns):
            walked = [layer for layer in self._layers if not layer.puts_out(outputs)]
            for layer in self._layers:
                if layer not in walked:
                    layer.add_softmax(outputs.detach().double().softmax(dim=1))
        places = [place for layer in walked for place in layer.outputs]
        if places and outputs.requires_grad:
            columns = root_columns(losses, outputs.detach(), targets, self._columns, self._rng)
            for slopes, taken in walks_back(outputs, places, columns):
                found = iter(slopes)
                for layer in walked:
                    layer.add_gradients([next(found) for _ in layer.outputs], taken * len(targets))
        for layer in self._layers:
            layer.outputs, layer.last = [], None  # and with them the graph of this batch


class _Layer:
    """The factors of one module, gathered by a hook on this very module."""

    def __init__(
        self, name: str, module: nn.Conv2d | nn.Linear, named: dict[str, str], units: Tensor
    ) -> None:
        self.name, self.module, self.units, self.named = name, module, units, named
        self.features = module.weight.shape[1:].numel()
        groups = module.groups if isinstance(module, nn.Conv2d) else 1
        self.groups, self.member = torch.unique(units // (len(module.weight) // groups), return_inverse=True)
        width = ("weight" in named) * self.features + ("bias" in named)
        self.a = SecondMoment(len(self.groups), width)
        self.b, self.less = SecondMoment(1, len(units)), SecondMoment(1, len(units))
        self.device = module.weight.device
        self.there = units.to(self.device)
        self.diagonal = torch.zeros(len(units), dtype=torch.float64, device=self.device)
        self.outputs: list[Tensor] = []
        self.last: Tensor | None = None
        self.called = False
        self.whole: Tensor | None = None
        """B, where it is held whole."""

    def see(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Tensor:
        """Record a call of the module, as a forward hook does."""
        with torch.no_grad():
            for rows in self._inputs(first_input(args, kwargs).detach()):
                weight = [rows] if "weight" in self.named else []
                bias = [torch.ones_like(rows[..., :1])] if "bias" in self.named else []
                self.a.add(torch.cat(weight + bias, dim=-1))
        if output.requires_grad:  # else the module runs detached, and its weights change no loss
            self.outputs.append(output)
        self.called = True
        self.last = (
            output.clone()
        )  # what follows may work in place (ReLU), and must not move the recorded place
        return self.last

    def puts_out(self, outputs: Tensor) -> bool:
        """Whether the module's only call in this batch made the outputs, not changed in place since."""
        return len(self.outputs) == 1 and self.last is outputs and not outputs._version

    def add_softmax(self, p: Tensor) -> None:
        """Add diag(p) - p p^T of every example, for the module that puts the outputs out."""
        chosen = p[:, self.there]
        self.diagonal += chosen.sum(dim=0)
        self.less.add(chosen[None])

    def _inputs(self, x: Tensor) -> Iterator[Tensor]:
        """Give out the inputs at every p of the groups in use, (groups, rows, features), some at a time."""
        if isinstance(self.module, nn.Conv2d):
            conv = self.module
            mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
            x = nn.functional.pad(x, _padding(conv), mode=mode)
            step = max(1, _ENTRIES // max(1, x[0].numel() * conv.weight.shape[2:].numel()))
            for part in x.split(step):
                patches = nn.functional.unfold(part, conv.kernel_size, conv.dilation, 0, conv.stride)
                grouped = patches.unflatten(1, (conv.groups, self.features))
                if conv.groups > 1:
                    grouped = grouped[:, self.groups.to(x.device)]
                yield grouped.permute(1, 0, 3, 2).flatten(1, 2).double()
        else:
            for part in x.reshape(-1, self.features).split(max(1, _ENTRIES // self.features)):
                yield part.double()[None]

    def add_gradients(self, gradients: list[Tensor], examples: int) -> None:
        """Add g g^T of the columns of a walk, of all calls in this batch."""
        rows = [g.movedim(1, -1) if isinstance(self.module, nn.Conv2d) else g for g in gradients]
        rows = [g.reshape(-1, g.shape[-1])[:, self.there] for g in rows]
        positions = sum(len(g) for g in rows) / examples
        for g in rows:
            for part in g.split(max(1, _ENTRIES // len(self.units))):
                self.b.add(part.double()[None] / positions**0.5)

    def finish(self, count: int) -> None:
        """End the sums over ``count`` examples and turn their product into one of means."""
        if not self.called:
            raise InvalidValue("units", self.name, _TOLD.format(_CALLED))
        for moment in (self.a, self.b, self.less):
            moment.finish(self.device)
        # Both factors are means, and only their product is used: A's division is done here, too.
        self.scale = 1.0 / count**2
        if len(self.groups) > 1:
            together = (self.member[:, None] == self.member).to(self.device)
            self.whole = torch.where(together, self.b.matrix(0), 0.0)
            members = [(self.member == group).nonzero()[:, 0] for group in range(len(self.groups))]
            self.members = [rows.to(self.device) for rows in members]
        elif held_whole(self.device, len(self.units)):
            self.whole = self.b.matrix(0) - self.less.matrix(0) + self.diagonal.diag()

    def apply(self, parts: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return B V A, with V the units' weights and bias as rows, by parameter name."""
        columns = {
            kind: parts[name].flatten(1) if kind == "weight" else parts[name][:, None]
            for kind, name in self.named.items()
        }
        matrix = torch.cat(list(columns.values()), dim=1)
        if len(self.groups) > 1:
            mixed = torch.empty_like(matrix)
            for group, members in enumerate(self.members):
                mixed[members] = self.a.times(matrix[members], group)
        else:
            mixed = self.a.times(matrix, 0)
        if self.whole is not None:
            whole = self.whole @ mixed
        else:
            own = (self.b.times(mixed.mT, 0) - self.less.times(mixed.mT, 0)).mT
            whole = own + self.diagonal[:, None] * mixed
        found = (self.scale * whole).split([part.shape[1] for part in columns.values()], dim=1)
        return dict(zip(self.named.values(), found, strict=True))


def held_whole(device: torch.device, units: int) -> bool:
    """Whether B is better held as one matrix: on a GPU, where a call costs more than its work."""
    return device.type == "cuda" and units <= _FEW


def require_layers(module: nn.Module, block: Block, silent: Container[str]) -> None:
    """Raise ``InvalidValue`` unless all modules of a block have factors; ``silent`` ones are not called."""
    for layer in _layers(module, block):
        if layer.name in silent:
            raise InvalidValue("units", layer.name, _TOLD.format(_CALLED))


def require_memory(module: nn.Module, block: Block, rows: int, columns: int | None = COLUMNS) -> None:
    """Raise ``InvalidValue`` unless there is memory for the factors of a block over so many examples."""
    needed, widest = 0, (0, "")
    for layer in _layers(module, block):
        width, units = layer.a.width, len(layer.units)
        positions = 1 if isinstance(layer.module, nn.Linear) else width  # of a convolution, enough to add up
        inputs = len(layer.groups) * width * min(width, rows * positions)
        size = 8 * (inputs + units * min(units, rows * positions * (columns or units)))
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


def _layers(module: nn.Module, block: Block) -> Iterator[_Layer]:
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    users = Counter(id(p) for part in module.modules() for p in part.parameters(recurse=False))
    for name, part in module.named_modules():
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            own = dict(part.named_parameters(recurse=False))
            found: dict[str, str] = {kind: names[id(own[kind])] for kind in ("weight", "bias") if kind in own}
            named = {kind: whole for kind, whole in found.items() if whole in block.rows}
            if any(users[id(own[kind])] > 1 for kind in named):
                raise InvalidValue("units", name, _TOLD.format("shares no weights with another one"))
            if named:
                yield _Layer(name, part, named, block.rows[next(iter(named.values()))])


def _padding(conv: nn.Conv2d) -> list[int]:
    """Return the padding as ``torch.nn.functional.pad`` takes it: last axis first, before and after."""
    if conv.padding == "valid":
        return [0, 0, 0, 0]
    if conv.padding == "same":
        total = [d * (k - 1) for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
        return [total[1] // 2, total[1] - total[1] // 2, total[0] // 2, total[0] - total[0] // 2]
    rows, columns = (int(p) for p in conv.padding)
    return [columns, columns, rows, rows]
