"""How much of a network a scrub can reach: weights of units (``curvature.units``) that are trained."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from weakref import WeakSet

from torch import nn

from expunge.curvature.units import own_parameters

_FROZEN = "frozen"
_said: WeakSet[nn.Module] = WeakSet()
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Coverage:
    """The parameters of a network, a tensor that two modules share counted once.

    Attributes:
        reached: Numbers in weights and biases of layers with units, that are not frozen.
        total: Numbers in all parameters.
        left: What cannot be reached: kind of the module that has it (or ``frozen``) -> numbers.
    """

    reached: int
    total: int
    left: dict[str, int]

    @classmethod
    def of(cls, module: nn.Module) -> Coverage:
        """Count the parameters of ``module``."""
        within = {id(p) for part in module.modules() for p in movable(part)}
        left: Counter[str] = Counter()
        seen: set[int] = set()
        total = 0
        for part in module.modules():
            for parameter in part.parameters(recurse=False):
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    total += parameter.numel()
                    if id(parameter) not in within:
                        kind = type(part).__name__ if parameter.requires_grad else _FROZEN
                        left[kind] += parameter.numel()
        return cls(total - left.total(), total, dict(left.most_common()))

    @property
    def share(self) -> float:
        """Share of the parameters that can be reached."""
        return self.reached / self.total

    def say(self, module: nn.Module, selector: str) -> None:
        """Log what is out of reach, once for a network: a warning where ``selector`` means to reach all."""
        if self.left and module not in _said:
            _said.add(module)
            level = logging.WARNING if selector == "all" else logging.INFO
            log.log(level, "selector %s reaches %s", selector, self)

    def __str__(self) -> str:
        """One line."""
        counts = self.left.items()
        left = ", ".join(f"{n:,} frozen" if kind == _FROZEN else f"{n:,} of {kind}" for kind, n in counts)
        share = f"{self.reached:,} of {self.total:,} parameters ({100 * self.share:.3g}%)"
        return f"{share}; left out: {left}" if left else share


def has_units(part: nn.Module) -> bool:
    """Whether a module is a layer with units whose weight or bias may change."""
    return bool(movable(part))


def movable(part: nn.Module) -> list[nn.Parameter]:
    """Weight and bias of a layer's units, as far as they may change; none where the weight is computed."""
    return [parameter for parameter in own_parameters(part).values() if parameter.requires_grad]
