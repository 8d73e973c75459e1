"""KFAC: the Gauss-Newton matrix of a block as one Kronecker product for each module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from expunge.core.errors import InvalidValue
from expunge.curvature.block import Block
from expunge.curvature.each_loss import each_loss
from expunge.curvature.function import BlockFunction
from expunge.curvature.gradients import Batches, Losses
from expunge.curvature.moment import SecondMoment
from expunge.curvature.solve_error import SolveError

_ENTRIES = 1 << 24  # of unfolded inputs held at once, in float64
_TOLD = "for kfac a module that {} (curvature=ggn takes any)"
_ROUNDING = 1e-8  # how negative an eigenvalue may be, relative to the largest of a batch, and count as zero


class KroneckerFactored:
    """A (x) B of every Conv2d and Linear with units in the block, reduced to these; zero between modules.

        A = E[sum_p a_p a_p^T]          B = E[sum_p sum_c g_pc g_pc^T] / positions

    E is the mean over examples. p runs through the positions at which the module is applied to an example:
    the places of a convolution, the tokens of a sequence, repeated calls. a_p is the input there (for a
    convolution the patch under the filter), with a 1 after it where the module's bias is in the block. g_pc
    is column c of a square root of the Hessian of the loss in the network's outputs, propagated back to the
    module's output at p: the exact factor ("type 2"), neither sampled nor taken from the gradients of the
    labels. With one Linear and one example of one position it equals ``GaussNewton``. Groups of a convolution
    count as modules of their own.

    Factors are float64: for each module at most (inputs of a unit)^2 and (selected units)^2 numbers, see
    ``SecondMoment``. One pass over the examples with as many walks back as the network has outputs, which
    leaves the network as it is.

    Raises:
        ValueError: There is no example, or the loss is not convex in the outputs.
        SolveError: The Hessian of the loss in the outputs is not finite.
        InvalidValue: A module shares its weights with another one, or is not called through its ``forward``.

    Sources: Martens and Grosse, ICML 2015; Grosse and Martens, ICML 2016.
    """

    def __init__(self, module: nn.Module, losses: Losses, batches: Batches, block: Block) -> None:
        self._block, self._layers = block, list(_layers(module, block))
        function, count = BlockFunction(module, block), 0
        with ExitStack() as hooks:
            for layer in self._layers:
                hooks.enter_context(layer.module.register_forward_hook(layer.see))
            for x, y in batches:
                self._add(function(x), y, losses)
                count += len(y)
        if not count:
            raise ValueError("the curvature of no examples is not defined")
        for layer in self._layers:
            layer.finish(count)

    def __call__(self, vector: Tensor) -> Tensor:
        """Return the product with ``vector``; both (size,) float64 on the CPU."""
        parts, found = self._block.split(vector), {}
        for layer in self._layers:
            found.update(layer.apply(parts))
        return self._block.join(found)

    def _add(self, outputs: Tensor, targets: Tensor, losses: Losses) -> None:
        places = [place for layer in self._layers for place in layer.outputs]
        if places and outputs.requires_grad:
            for column in _root_columns(losses, outputs.detach(), targets):
                found = iter(
                    torch.autograd.grad(outputs, places, column, retain_graph=True, materialize_grads=True)
                )
                for layer in self._layers:
                    layer.add_gradients([next(found) for _ in layer.outputs], len(targets))
        for layer in self._layers:
            layer.outputs = []  # and with them the graph of this batch


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
        shape, device = (len(units), len(units)), module.weight.device
        self.b = torch.zeros(shape, dtype=torch.float64, device=device)
        self.outputs: list[Tensor] = []
        self.called = False

    def see(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Record a call of the module, as a forward hook does."""
        with torch.no_grad():
            for rows in self._inputs(inputs[0].detach()):
                weight = [rows] if "weight" in self.named else []
                bias = [torch.ones_like(rows[..., :1])] if "bias" in self.named else []
                self.a.add(torch.cat(weight + bias, dim=-1))
        if output.requires_grad:  # else the module runs detached, and its weights change no loss
            self.outputs.append(output)
        self.called = True
        return output.clone()  # what follows may work in place (ReLU), and must not move the recorded place

    def _inputs(self, x: Tensor) -> Iterator[Tensor]:
        """Give out the inputs at every p of the groups in use, (groups, rows, features), some at a time."""
        if isinstance(self.module, nn.Conv2d):
            conv, groups = self.module, self.groups.to(x.device)
            mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
            x = nn.functional.pad(x, _padding(conv), mode=mode)
            step = max(1, _ENTRIES // max(1, x[0].numel() * conv.weight.shape[2:].numel()))
            for part in x.split(step):
                patches = nn.functional.unfold(part, conv.kernel_size, conv.dilation, 0, conv.stride)
                grouped = patches.unflatten(1, (conv.groups, self.features))[:, groups]
                yield grouped.permute(1, 0, 3, 2).flatten(1, 2).double()
        else:
            for part in x.reshape(-1, self.features).split(max(1, _ENTRIES // self.features)):
                yield part.double()[None]

    def add_gradients(self, gradients: list[Tensor], examples: int) -> None:
        """Add g g^T of one column, of all calls in this batch."""
        units = self.units.to(self.b.device)
        rows = [g.movedim(1, -1) if isinstance(self.module, nn.Conv2d) else g for g in gradients]
        rows = [g.reshape(-1, g.shape[-1])[:, units].double() for g in rows]
        positions = sum(len(g) for g in rows) / examples
        for g in rows:
            self.b += g.mT @ g / positions

    def finish(self, count: int) -> None:
        """End the sums over ``count`` examples and turn their product into one of means."""
        if not self.called:
            raise InvalidValue("units", self.name, _TOLD.format("is called through its own forward"))
        together = self.member[:, None] == self.member
        self.a.cpu()
        # Both factors are means, and only their product is used: A's division is done here, too.
        self.b = torch.where(together, self.b.cpu() / count**2, 0.0)

    def apply(self, parts: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return B V A, with V the units' weights and bias as rows, by parameter name."""
        columns = {
            kind: parts[name].flatten(1) if kind == "weight" else parts[name][:, None]
            for kind, name in self.named.items()
        }
        matrix = torch.cat(list(columns.values()), dim=1)
        mixed = torch.empty_like(matrix)
        for group in range(len(self.groups)):
            members = self.member == group
            mixed[members] = self.a.times(matrix[members], group)
        found = (self.b @ mixed).split([part.shape[1] for part in columns.values()], dim=1)
        return dict(zip(self.named.values(), found, strict=True))


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


def _root_columns(losses: Losses, outputs: Tensor, targets: Tensor) -> Iterator[Tensor]:
    """Give out, shaped like ``outputs``, the columns of S with S S^T = the Hessian of each example's loss.

    In float64: where the network is sure of its answer, float32 leaves little but rounding of that Hessian.
    """
    with torch.enable_grad():
        point = outputs.double().requires_grad_()
        slope = torch.autograd.grad(each_loss(losses, point, targets).sum(), point, create_graph=True)[0]
        flat = slope.reshape(len(outputs), -1)
        rows = [torch.zeros_like(flat)] * flat.shape[1]
        if slope.requires_grad:
            slopes = (torch.autograd.grad(part.sum(), point, retain_graph=True)[0] for part in flat.T)
            rows = [slope.view_as(flat) for slope in slopes]
    curvatures = torch.stack(rows, dim=1)
    if not torch.isfinite(curvatures).all():
        raise SolveError("the loss or its curvature in the outputs of the network is not finite")
    values, vectors = torch.linalg.eigh(curvatures)
    if (values < -_ROUNDING * values.abs().amax()).any():
        raise ValueError("kfac needs a loss that is convex in the outputs of the network")
    roots = vectors * values.clamp(min=0).sqrt()[:, None]
    for column in roots.unbind(dim=2):
        yield column.reshape(outputs.shape).to(outputs)
