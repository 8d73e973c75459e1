"""DP-SGD straight from its equation: one row, one autograd pass and one clip at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def row_gradients(network: nn.Module, parameters: Sequence[Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Gradient of the cross-entropy of each row over ``parameters``, (n, P)."""
    rows = []
    for one, target in zip(x, y, strict=True):
        loss = nn.functional.cross_entropy(network(one[None]), target[None])
        parts = torch.autograd.grad(loss, list(parameters))
        rows.append(torch.cat([part.ravel() for part in parts]))
    width = sum(p.numel() for p in parameters)
    return torch.stack(rows) if rows else x.new_zeros((0, width))


def clipped_sum(gradients: Tensor, clip: float, guard: float = 1e-6) -> Tensor:
    """Sum of ``g_i min(1, clip / (||g_i||_2 + guard))``, (P,); the guard is Opacus's, the paper has none."""
    total = gradients.new_zeros(gradients.shape[1])
    for gradient in gradients:
        norm = float(torch.sqrt((gradient * gradient).sum()))
        total = total + gradient * min(1.0, clip / (norm + guard))
    return total


def adam(weights: Tensor, gradients: Sequence[Tensor], lr: float, beta: float) -> Tensor:
    """Weights after one Adam step for each gradient (Kingma and Ba 2015, Algorithm 1; beta_2 = 0.999)."""
    m, v = torch.zeros_like(weights), torch.zeros_like(weights)
    for t, g in enumerate(gradients, start=1):
        m = beta * m + (1 - beta) * g
        v = 0.999 * v + 0.001 * g * g
        weights = weights - lr * (m / (1 - beta**t)) / (torch.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return weights
