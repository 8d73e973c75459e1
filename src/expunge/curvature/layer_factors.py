"""The Kronecker factors of one layer, gathered while it runs and while gradients walk back through it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from expunge.core.errors import InvalidValue
from expunge.curvature.moment import SecondMoment
from expunge.curvature.units import own_parameters

_ENTRIES = 1 << 24  # of unfolded inputs held at once, in float64
_FEW = 1024  # units
TOLD = "for kfac a module that {} (curvature=ggn takes any)"
CALLED = "is called through its own forward"


class LayerFactors:
    """The factors of one module, gathered by a hook on this very module."""

    def __init__(self, name: str, module: nn.Module, named: dict[str, str], units: Tensor) -> None:
        self.name, self.module, self.units, self.named = name, module, units, named
        weight = own_parameters(module)["weight"]
        self.features = weight.shape[1:].numel()
        groups = _groups(module)
        self.groups, self.member = torch.unique(units // (len(weight) // groups), return_inverse=True)
        width = ("weight" in named) * self.features + ("bias" in named)
        self.a = SecondMoment(len(self.groups), width)
        self.b, self.less = SecondMoment(1, len(units)), SecondMoment(1, len(units))
        self.device = weight.device
        self.there = units.to(self.device)
        self.diagonal = torch.zeros(len(units), dtype=torch.float64, device=self.device)
        self.outputs: list[Tensor] = []
        self.last: Tensor | None = None
        self.called = False
        self.whole: Tensor | None = None
        """B, where it is held whole."""

    def see(self, inputs: Any, output: Tensor) -> Tensor:
        """Record a call of the module, see ``units.answering``."""
        with torch.no_grad():
            for rows in self._inputs(inputs):
                weight = [rows] if "weight" in self.named else []
                bias = [torch.ones_like(rows[..., :1])] if "bias" in self.named else []
                self.a.add(torch.cat(weight + bias, dim=-1))
        self.called = True
        return self.mark(inputs, output)

    def mark(self, inputs: Any, output: Tensor) -> Tensor:
        """Record where a call puts its output, and nothing of its inputs."""
        if output.requires_grad:  # else the module runs detached, and its weights change no loss
            self.outputs.append(output)
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

    def _inputs(self, x: Any) -> Iterator[Tensor]:
        """Give out the inputs at every p of the groups in use, (groups, rows, features), some at a time."""
        if isinstance(self.module, nn.MultiheadAttention):
            each = [x[group].detach().reshape(-1, self.features) for group in self.groups.tolist()]
            for parts in zip(*(one.split(max(1, _ENTRIES // self.features)) for one in each), strict=True):
                yield torch.stack(parts).double()
            return
        x = x.detach()
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

    def forget(self) -> None:
        """Let go of the graph of a batch."""
        self.outputs, self.last = [], None

    def room(self, rows: int, columns: int | None) -> int:
        """Bytes that the factors take over so many examples, and columns of a root (None: of all outputs)."""
        width, units = self.a.width, len(self.units)
        positions = width if isinstance(self.module, nn.Conv2d) else 1  # enough to add up
        inputs = len(self.groups) * width * min(width, rows * positions)
        return 8 * (inputs + units * min(units, rows * positions * (columns or units)))

    def finish(self, count: int) -> None:
        """End the sums over ``count`` examples and turn their product into one of means."""
        if not self.called:
            raise InvalidValue("units", self.name, TOLD.format(CALLED))
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


def _groups(module: nn.Module) -> int:
    """Maps side by side, each with its own inputs and outputs: attention has queries, keys and values."""
    if isinstance(module, nn.MultiheadAttention):
        return 3
    return module.groups if isinstance(module, nn.Conv2d) else 1


def held_whole(device: torch.device, units: int) -> bool:
    """Whether B is better held as one matrix: on a GPU, where a call costs more than its work."""
    return device.type == "cuda" and units <= _FEW


def _padding(conv: nn.Conv2d) -> list[int]:
    """Return the padding as ``torch.nn.functional.pad`` takes it: last axis first, before and after."""
    if conv.padding == "valid":
        return [0, 0, 0, 0]
    if conv.padding == "same":
        total = [d * (k - 1) for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
        return [total[1] // 2, total[1] - total[1] // 2, total[0] // 2, total[0] - total[0] // 2]
    rows, columns = (int(p) for p in conv.padding)
    return [columns, columns, rows, rows]
