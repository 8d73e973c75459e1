"""The door for losses that users give: one number an example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from expunge.core.errors import InvalidValue


def each_loss(losses: Callable[[Tensor, Tensor], Tensor], outputs: Tensor, targets: Tensor) -> Tensor:
    """Return ``losses(outputs, targets)``, (m,), the loss of each example.

    Raises:
        InvalidValue: It is anything else: their mean, say, which would count for one example.
    """
    found: Any = losses(outputs, targets)
    if not isinstance(found, Tensor) or found.shape != (len(targets),):
        got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        allowed = f"the loss of each, shape ({len(targets)},) (torch's losses: reduction='none')"
        raise InvalidValue("losses", f"{got} for {len(targets)} examples", allowed)
    return found
