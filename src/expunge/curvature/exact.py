"""torch's log-softmax, and the losses that are made of it, without cancellation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_LOG_SOFTMAX = (functional.log_softmax, torch.log_softmax, torch.special.log_softmax, Tensor.log_softmax)


class Exact(TorchFunctionMode):
    """While it is entered, log-softmax and cross-entropy of float64 numbers do not cancel.

    With a the largest output,

        log softmax(z)_k = (z_k - z_a) - log1p(sum_{j != a} exp(z_j - z_a)),

    where torch takes the logarithm of 1 plus that sum: from a margin of 37 on nothing is left of it. Class
    weights take the type of the outputs.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Take over the calls of these functions."""
        named = kwargs or {}
        if func is functional.cross_entropy:
            return _cross_entropy(*args, **named)
        if func is functional.nll_loss:
            return _nll_loss(*args, **named)
        if func in _LOG_SOFTMAX and _plain(*args, **named):
            return _log_softmax(*args, **named)
        return func(*args, **named)


def _plain(input: Tensor, dim: Any = None, *rest: Any, **others: Any) -> bool:
    """Whether ``_log_softmax`` computes this: no other type is asked for."""
    asked = any(isinstance(value, torch.dtype) for value in (*rest, *others.values()))
    return input.dtype == torch.float64 and input.ndim > 0 and type(dim) is int and not asked


def _log_softmax(input: Tensor, dim: int, *_: Any, **__: Any) -> Tensor:
    largest = input.argmax(dim=dim, keepdim=True)
    apart = input - input.gather(dim, largest)
    return apart - torch.log1p(apart.exp().scatter(dim, largest, 0.0).sum(dim=dim, keepdim=True))


def _cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    rest = size_average, ignore_index, reduce, reduction
    if label_smoothing or target.is_floating_point() or input.dtype != torch.float64 or not input.numel():
        own = _like(input, weight)
        shares = target.to(input) if target.is_floating_point() else target
        return functional.cross_entropy(input, shares, own, *rest, label_smoothing)
    return _nll_loss(_log_softmax(input, min(input.ndim - 1, 1)), target, weight, *rest)


def _nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *rest: Any, **others: Any
) -> Tensor:
    return functional.nll_loss(input, target, _like(input, weight), *rest, **others)


def _like(input: Tensor, weight: Tensor | None) -> Tensor | None:
    return None if weight is None else weight.to(input)
