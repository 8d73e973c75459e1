"""How quickly forgotten rows are learned again, and how that compares with a model that never saw them."""

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


def anamnesis_index(unlearned: float | None, retrained: float | None) -> float | None:
    """AIN: ``steps of the unlearned model / steps of the retrained model``; None where that is not defined.

    Near 1 is the aim. Well below 1: the rows are learned again faster than by a model that never saw them,
    they have left a trace; well above 1: the model was pushed further from them than one that never saw them
    is, which gives them away as well. Not defined where one of the two does not get there at all,
    or the retrained model is there without a step.

    Chundawat, Tarun, Mandal, Kankanhalli, *Zero-Shot Machine Unlearning*, IEEE TIFS 2023, after relearn time
    (Golatkar et al., 2020). There a model is there where its accuracy on these rows comes within alpha of the
    original's; here where its mean loss does, for the accuracy of a few rows moves in jumps.
    """
    if unlearned is None or not retrained:
        return None
    return unlearned / retrained
