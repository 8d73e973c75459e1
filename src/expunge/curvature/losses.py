"""The loss of each example, exact where a network is sure of its answer."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from expunge.curvature.each_loss import each_loss
from expunge.curvature.exact import Exact

Losses = Callable[[Tensor, Tensor], Tensor]
"""``losses(outputs, targets) -> (m,)``: the loss of each example, without any penalty on the weights."""

_OF_EACH = {"reduction": "none"}


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """``-log softmax(outputs)[target]`` of each example, (m,), nats.

    In float64 without cancellation: with d_j = z_j - z_target and c = max(0, max_j d_j),

        c + log1p(sum_{j != target} exp(d_j - c) + expm1(-c))

    is right to a few units in the last place but for the rounding of the differences d_j, however sure the
    network is, and so is its gradient;
    ``logsumexp(z) - z_target`` is rounded to 0 from a margin of 37 on, in float32 of 17. In other types it is
    torch's own, which is what training takes: see ``precise`` for where small differences decide.

    Args:
        outputs: (m, K).
        targets: (m,) numbers of the right classes.
    """
    if not _exact(outputs, targets):
        return functional.cross_entropy(outputs, targets, reduction="none")
    apart, others = _apart(outputs, targets)
    above = apart.detach().amax(dim=1, keepdim=True)  # 0 at least, the target's own
    rest = ((apart - above).exp() * others).sum(dim=1)
    return above[:, 0] + torch.log1p(rest + torch.expm1(-above[:, 0]))


def is_cross_entropy(losses: Losses) -> bool:
    """Whether a loss is ``cross_entropy``, or torch's of class numbers: the same, without weights."""
    if isinstance(losses, partial):
        return losses.func is functional.cross_entropy and (losses.args, losses.keywords) == ((), _OF_EACH)
    if type(losses) is nn.CrossEntropyLoss:
        changed = losses.weight is not None or losses.label_smoothing or losses.ignore_index >= 0
        return losses.reduction == "none" and not changed
    return losses is cross_entropy


def log_odds(outputs: Tensor, targets: Tensor) -> Tensor:
    """``log((1 - p) / p)`` of the softmax p of each example's target, (m,): it rises with ``cross_entropy``.

    It still tells examples apart whose loss is too small for a number (margins above 745).
    """
    apart, others = _apart(outputs, targets)
    return apart.masked_fill(~others, -torch.inf).logsumexp(dim=1)


def order_of(losses: Losses, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return (m,) numbers that stand in the same order as the losses, float64 wherever that can be.

    For ``cross_entropy`` the ``log_odds``, for other losses these themselves.
    """
    if is_cross_entropy(losses) and outputs.is_floating_point() and _exact(outputs.double(), targets):
        return log_odds(outputs.double(), targets)
    return precise(losses, outputs, targets)


def precise(losses: Losses, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return ``losses(outputs, targets)`` computed in float64, (m,), whatever type the network computes in.

    float32 gives the losses of a network that is sure of its answers no more than a few values, and their
    gradients in the target's output none. In float64 torch's own losses are those of ``Exact``. A loss of
    one's own that cannot be computed in float64 is computed in float32, with a warning.

    Raises:
        InvalidValue: It is not one number for each example.
    """
    if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
        return each_loss(losses, outputs, targets)
    try:
        with Exact():
            own = targets.double() if targets.is_floating_point() else targets
            return each_loss(losses, outputs.double(), own)
    except RuntimeError as error:
        found = each_loss(
            losses, outputs.float(), targets
        )  # where this fails as well, its error is the one that counts
        reason = str(error).partition("\n")[0]
        warnings.warn(f"the loss is computed in float32, for in float64 it fails: {reason}", stacklevel=2)
        return found


def _exact(outputs: Tensor, targets: Tensor) -> bool:
    plain = outputs.ndim == 2 and outputs.shape[1] > 1 and not targets.is_floating_point()
    return plain and outputs.dtype == torch.float64


def _apart(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """D of each output, (m, K), and which of them are not the target's."""
    others = torch.arange(outputs.shape[1], device=outputs.device) != targets[:, None]
    return outputs - outputs.gather(1, targets[:, None]), others
