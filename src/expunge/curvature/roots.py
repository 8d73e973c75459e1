"""Columns of a square root of the Hessian of a loss in the outputs of a network."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from expunge.core.errors import InvalidValue
from expunge.core.memory import in_words, room_below
from expunge.curvature.losses import Losses, is_cross_entropy, precise
from expunge.curvature.solve_error import SolveError
from expunge.curvature.watching import naming_derivatives

_ROUNDING = 1e-8  # how negative an eigenvalue may be, relative to the largest of a batch, and count as zero
_EPS = 1e-14  # the same relative to the largest slope, of which curvatures are differences
_ENTRIES = 1 << 24  # of Hessians held at once, in float64: 128 MB
_COPIES = 5  # the Hessian, its rows before they are stacked, its eigenvectors, the solver's work


def root_columns(
    losses: Losses, outputs: Tensor, targets: Tensor, columns: int | None, rng: np.random.Generator
) -> Iterator[Tensor]:
    """Give out, shaped like ``outputs``, the columns of S with S S^T = the Hessian of each example's loss.

    In float64: where the network is sure of its answer, float32 leaves little but rounding of that Hessian.
    For ``cross_entropy`` S is known without it,

        diag(p) - p p^T = sum_k s_k s_k^T,     s_k = sqrt(p_k) (e_k - p),

    and of more than ``columns`` of them so many, C, are drawn for each example, column k with the chance
    q_k = |s_k|^2 / sum_j |s_j|^2 and weighted by 1 / sqrt(C q_k), so that the expectation of S S^T is the
    Hessian, and its variance (Frobenius norm) the least that drawing columns has. Other losses have all of
    theirs, by way of the Hessian and its eigenvectors, (K, K) numbers of an example.

    Args:
        losses: The loss of each example.
        outputs: (m, K), or (m, ...) with K numbers of each example.
        targets: (m,).
        columns: The most columns that ``cross_entropy`` has; None: all.
        rng: Of the draw.

    Raises:
        ValueError: The loss is not convex in the outputs.
        SolveError: The Hessian is not finite.
        InvalidValue: The Hessians take more memory than there is.
    """
    if _known(losses, outputs, targets):
        found = _closed(outputs.double(), columns, rng)
    else:
        found = _by_eigenvectors(losses, outputs, targets)
    return (column.reshape(outputs.shape).to(outputs) for column in found)


def sampled(losses: Losses, outputs: Tensor, targets: Tensor, columns: int | None) -> bool:
    """Whether ``root_columns`` draws columns."""
    return columns is not None and _known(losses, outputs, targets) and outputs.shape[1] > columns


def _known(losses: Losses, outputs: Tensor, targets: Tensor) -> bool:
    """Whether the root has a closed form."""
    plain = outputs.ndim == 2 and outputs.shape[1] > 1 and not targets.is_floating_point()
    return plain and is_cross_entropy(losses)


def _closed(outputs: Tensor, columns: int | None, rng: np.random.Generator) -> Iterator[Tensor]:
    p = outputs.softmax(dim=1)
    if not torch.isfinite(p).all():
        raise SolveError("the loss or its curvature in the outputs of the network is not finite")
    rest = 1 - p
    largest = p.argmax(dim=1, keepdim=True)  # the one probability whose distance from 1 cancels
    rest.scatter_(1, largest, p.scatter(1, largest, 0.0).sum(dim=1, keepdim=True))
    count = p.shape[1]
    if columns is None or count <= columns:
        minus, roots = -p, p.sqrt()
        for one in range(count):
            made = minus.clone()
            made[:, one] = rest[:, one]
            yield made * roots[:, one, None]
        return
    others = (p.square().sum(dim=1, keepdim=True) - p.square()).clamp(min=0)
    chances = p * (rest.square() + others)
    chances /= chances.sum(dim=1, keepdim=True).clamp(min=torch.finfo(p.dtype).tiny)
    each = torch.arange(len(p), device=p.device)
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    ends = chances.cumsum(dim=1).cpu()
    for _ in range(columns):
        place = torch.rand(len(p), 1, generator=generator, dtype=p.dtype) * ends[:, -1:]
        k = torch.searchsorted(ends, place, right=True)[:, 0].clamp(max=count - 1).to(p.device)
        chance = chances[each, k]
        weight = (p[each, k] / (columns * chance)).sqrt()
        made = -p  # e_k - p, with a k of each example
        made[each, k] = rest[each, k]
        yield made * torch.where(chance > 0, weight, 0.0)[:, None]


def _by_eigenvectors(losses: Losses, outputs: Tensor, targets: Tensor) -> Iterator[Tensor]:
    size = outputs[0].numel() if len(outputs) else 1
    step = max(1, _ENTRIES // max(1, size**2))
    needed = 8 * (len(outputs) + _COPIES * min(step, len(outputs))) * size**2
    if room := room_below(needed):
        of = f"a loss of one's own and {len(outputs)} x {size:,} outputs"
        instead = "fewer curvature_rows, ggn (takes any number of outputs), or the loss cross_entropy"
        raise InvalidValue(
            "curvature", f"kfac, which needs {in_words(needed)} for {of}", f"{instead}: {room} are left"
        )
    parts = zip(outputs.split(step), targets.split(step), strict=True)
    roots = [_root(losses, part, own) for part, own in parts]
    for k in range(size):
        yield torch.cat([root[:, :, k] for root in roots])


def _root(losses: Losses, outputs: Tensor, targets: Tensor) -> Tensor:
    """A root of each example's Hessian, (m, K, K) float64."""
    with torch.enable_grad(), naming_derivatives():
        point = outputs.double().requires_grad_()
        slope = torch.autograd.grad(precise(losses, point, targets).sum(), point, create_graph=True)[0]
        flat = slope.reshape(len(outputs), -1)
        rows = [torch.zeros_like(flat)] * flat.shape[1]
        if slope.requires_grad:
            slopes = (torch.autograd.grad(part.sum(), point, retain_graph=True)[0] for part in flat.T)
            rows = [slope.view_as(flat) for slope in slopes]
    curvatures = torch.stack(rows, dim=1)
    if not torch.isfinite(curvatures).all():
        raise SolveError("the loss or its curvature in the outputs of the network is not finite")
    values, vectors = torch.linalg.eigh(curvatures)
    rounded = torch.maximum(_ROUNDING * values.abs().amax(), _EPS * slope.detach().abs().amax())
    if (values < -rounded).any():
        raise ValueError("kfac needs a loss that is convex in the outputs of the network")
    return vectors * values.clamp(min=0).sqrt()[:, None]
