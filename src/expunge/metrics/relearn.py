"""How quickly forgotten rows are learned again."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Vector = TypeVar("Vector", NDArray[np.float64], "Tensor")


def relearn_steps(
    loss_and_gradient: Callable[[Vector], tuple[float, Vector]],
    start: Vector,
    target: float,
    lr: float,
    max_steps: int,
) -> int | None:
    """Steps ``w <- w - lr grad f(w)`` from ``start`` until ``f(w) <= target``; 0 where ``start`` is there.

    More steps do not mean a better method as such: the aim is the retrained model's number. Fewer say that
    the rows have left a trace.

    Args:
        loss_and_gradient: ``w -> (f(w), grad f(w))``.
        start: (p,) weights to begin with; they are not changed.
        target: Loss to come down to.
        lr: Size of a step.
        max_steps: Steps at most.

    Returns:
        The number of steps; None where ``max_steps`` do not do, or the loss is no longer finite.
    """
    w = start
    for step in range(max_steps + 1):
        loss, gradient = loss_and_gradient(w)
        if loss <= target:
            return step
        if not isfinite(loss):
            return None
        w = w - lr * gradient
    return None
