"""How often the layers of a network run, and whether gradients pass through them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointFunction

from expunge.core.errors import InvalidValue
from expunge.curvature.gradients import require_gradient
from expunge.curvature.units import See, answering
from expunge.curvature.watching import REENTRANT, watching

_SHOWN = 5


@dataclass
class Runs:
    """How a layer has run: how often, and whether gradients were cut off by a reentrant checkpoint."""

    count: int = 0
    reentrant: bool = False


def runs_of(module: nn.Module, parts: Mapping[str, nn.Module], x: Tensor) -> dict[str, Runs]:
    """Run inputs (m, ...) through the network in evaluation mode, and see how each of its ``parts`` runs.

    Raises:
        InvalidValue: What it puts out has no gradient.
    """
    found = {name: Runs() for name in parts}

    def see(name: str, *_: Any) -> None:
        found[name].count += 1
        found[name].reentrant |= _within_reentrant()

    watched: dict[str, tuple[nn.Module, See]] = {n: (part, partial(see, n)) for n, part in parts.items()}
    with answering(module, watched), watching(module), torch.enable_grad():
        outputs = module(x)
    if not any(run.reentrant for run in found.values()):
        require_gradient(module, outputs)
    return found


def _within_reentrant() -> bool:
    frame = sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]
        if frame.f_code is CheckpointFunction.forward.__code__:
            return True
    return False


def require_derivatives(runs: Mapping[str, Runs]) -> None:
    """Raise ``InvalidValue`` if a layer has no gradient in a walk back to chosen places."""
    hidden = [name for name, run in runs.items() if run.reentrant]
    if hidden:
        got = f"{', '.join(hidden[:_SHOWN])} ({len(hidden)} in all) under {REENTRANT}"
        raise InvalidValue("model", got, "use_reentrant=False")
