"""The weights of selected units, as one vector."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from expunge.core.errors import InvalidValue
from expunge.curvature.units import KINDS, has_kind, own_parameters


@dataclass(frozen=True, eq=False)
class Block:
    """The weights S of selected units: rows of parameter tensors, in a fixed order.

    A unit is an output channel of a Conv2d (its filter) or an output feature of a Linear (its row), each with
    its bias if there is one; the scale and shift of a channel of a LayerNorm or GroupNorm; or a query, key or
    value feature of a MultiheadAttention (its row of ``in_proj_weight``). The vector of the block holds the
    parameters in the order of ``module.named_parameters()``, within each the rows in ascending order, each
    row flattened.

    Attributes:
        rows: Parameter name -> int64 row numbers, ascending, no row twice.
        shapes: Parameter name -> shape of the whole parameter.
    """

    rows: Mapping[str, Tensor]
    shapes: Mapping[str, torch.Size]
    _placed: dict[tuple[str, torch.device], Tensor] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, module: nn.Module, units: Mapping[str, Sequence[int]]) -> Block:
        """Return the block of ``units``.

        A tensor that two modules share stands under the one name that ``named_parameters()`` gives it, each
        row once. Frozen parameters (``requires_grad`` False) are left out. ``units``: module name, as in
        ``module.named_modules()`` -> numbers of output units.

        Raises:
            InvalidValue: Nothing is selected, or nothing that is not frozen; a module is unknown, of a kind
                without units, or has weights computed from other parameters; a unit is out of range.
        """
        parts = dict(module.named_modules(remove_duplicate=False))
        names = {id(parameter): name for name, parameter in module.named_parameters()}
        if not any(len(wanted) for wanted in units.values()):
            raise InvalidValue("units", "no unit", "at least one unit of one module")
        chosen: dict[str, set[int]] = {}
        for name, wanted in units.items():
            own = _parameters(parts, name)
            rows = _rows(name, wanted, len(own[0]))
            for parameter in own:
                if parameter.requires_grad:
                    chosen.setdefault(names[id(parameter)], set()).update(rows)
        found = {name: p.shape for name, p in module.named_parameters() if chosen.get(name)}
        if not found:
            raise InvalidValue("units", "only frozen parameters", "a unit whose weights require a gradient")
        return cls({name: torch.tensor(sorted(chosen[name])) for name in found}, found)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters that have rows in the block, in its order."""
        return tuple(self.rows)

    @property
    def size(self) -> int:
        """|S|, the number of weights."""
        return sum(len(rows) * self.shapes[name][1:].numel() for name, rows in self.rows.items())

    def split(self, vector: Tensor) -> dict[str, Tensor]:
        """Return the parts of a (size,) vector by parameter name, each of shape (rows, ...)."""
        if vector.shape != (self.size,):
            got = f"got a vector of shape {tuple(vector.shape)}"
            raise ValueError(f"{got}, the block has {self.size} weights")
        shapes = [(len(rows), *self.shapes[name][1:]) for name, rows in self.rows.items()]
        parts = vector.split([torch.Size(shape).numel() for shape in shapes])
        return {name: part.view(shape) for name, part, shape in zip(self.rows, parts, shapes, strict=True)}

    def joined(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Return the (size,) vector that ``split`` takes apart, float64, where the parts are."""
        return torch.cat([parts[name].detach().reshape(-1).double() for name in self.rows])

    def join(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Return the (size,) vector that ``split`` takes apart, float64 on the CPU."""
        return _fetched([parts[name].detach().reshape(-1).double() for name in self.rows])

    def gather(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the block's entries of tensors shaped like the parameters, (size,) float64 on the CPU."""
        return self.join({name: tensors[name][self.rows_at(name, tensors[name])] for name in self.rows})

    def rows_at(self, name: str, like: Tensor) -> Tensor:
        """The rows of a parameter, on the device of ``like``: sent there once."""
        if like.device.type == "cpu":
            return self.rows[name]
        key = name, like.device
        if key not in self._placed:
            self._placed[key] = self.rows[name].to(like.device)
        return self._placed[key]

    def spread(self, vector: Tensor, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return whole parameters that hold ``vector`` (size,) in the block and zero elsewhere.

        They have shape, type and device of the tensors ``like``, by parameter name.
        """
        whole = {name: torch.zeros_like(like[name], requires_grad=False) for name in self.rows}
        for name, part in self.split(vector).items():
            whole[name][self.rows_at(name, whole[name])] = part.to(whole[name])
        return whole

    def read(self, module: nn.Module) -> Tensor:
        """Return the block's weights, (size,) float64 on the CPU."""
        return self.gather(dict(module.named_parameters()))

    def add(self, module: nn.Module, step: Tensor) -> None:
        """Add ``step`` (size,) to the block's weights in place; no other weight or buffer is written."""
        parameters = dict(module.named_parameters())
        with torch.no_grad():
            for name, part in self.split(self._sent(step, parameters)).items():
                whole, rows = parameters[name], self.rows_at(name, parameters[name])
                added = whole[rows].double() + part.to(whole.device)
                whole[rows] = added.to(whole)  # rounded once, to its own type

    def _sent(self, step: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """``step`` in one go to where the first of the block's parameters is."""
        return step.to(parameters[self.names[0]].device)

    def moved(self, module: nn.Module, step: Tensor) -> Tensor:
        """Return which of the block's weights ``add`` would change, (size,) bool: rounding may leave some."""
        parameters = dict(module.named_parameters())
        found = []
        for name, part in self.split(self._sent(step, parameters)).items():
            old = parameters[name].detach()[self.rows_at(name, parameters[name])]
            found.append(((old.double() + part.to(old.device)).to(old) != old).reshape(-1))
        return _fetched(found)

    def save(self, module: nn.Module) -> dict[str, Tensor]:
        """Return a copy of the block's weights, for ``restore``."""
        parameters = dict(module.named_parameters())
        return {n: parameters[n].detach()[self.rows_at(n, parameters[n])] for n in self.rows}

    def restore(self, module: nn.Module, saved: Mapping[str, Tensor]) -> None:
        """Put saved weights back, bit for bit."""
        parameters = dict(module.named_parameters())
        with torch.no_grad():
            for name in self.rows:
                parameters[name][self.rows_at(name, parameters[name])] = saved[name]


def _fetched(parts: list[Tensor]) -> Tensor:
    """One after the other on the CPU: brought there in one go, unless they lie on several devices."""
    if len({part.device for part in parts}) > 1:
        parts = [part.cpu() for part in parts]
    return torch.cat(parts).cpu()


def _parameters(parts: Mapping[str, nn.Module], name: str) -> list[nn.Parameter]:
    """Return the weight of a module and, if there is one, its bias."""
    layer = parts.get(name)
    if layer is None:
        raise InvalidValue("units", name, "the name of a module of the network")
    if not has_kind(layer):
        raise InvalidValue("units", f"{name} ({type(layer).__name__})", KINDS)
    own = own_parameters(layer)
    if not own:
        computed = "a module whose weights are parameters themselves, not computed from others (parametrised)"
        raise InvalidValue("units", name, computed)
    return list(own.values())


def _rows(name: str, wanted: Sequence[int], count: int) -> list[int]:
    rows = [operator.index(unit) for unit in wanted]
    for unit in rows:
        if not 0 <= unit < count:
            raise InvalidValue("units", f"unit {unit} of {name}", f"0 to {count - 1}")
    return rows
