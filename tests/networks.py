"""Small networks and data for tests of deep unlearning, in float64 where a number is compared closely."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad, hessian

from expunge.datasets.images import Examples, Images


def blobs(n=60, d=5, classes=3, seed=0, spread=1.0):
    """Feature rows of overlapping classes, (n, d) float64, and class numbers (n,)."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, d))
    y = np.arange(n) % classes
    return centres[y] + spread * rng.normal(size=(n, d)), y.astype(np.int64)


def pictures(n=12, size=8, channels=3, classes=3, seed=0):
    """8-bit images (n, size, size, channels) and class numbers."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, size=(n, size, size, channels), dtype=np.uint8), np.arange(n) % classes


def examples(x, y, rows=None, dtype=torch.float64, size=16):
    """``Examples`` of arrays; targets keep their type, 8-bit pixels become -0.5 to 0.5."""
    rows = np.arange(len(x)) if rows is None else np.asarray(rows)
    scale = (255.0, 0.5) if x.dtype == np.uint8 else (1.0, 0.0)
    return Examples(Images.of(x, *scale), torch.as_tensor(y), rows, size=size, dtype=dtype)


def softmax(d, classes, seed=0):
    """Multinomial logistic regression in float64."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(d, classes)).double()


def small_cnn(channels=3, classes=3, seed=0):
    """Two convolutions, BatchNorm, ReLU and a Linear, in float64; statistics are not the default."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Conv2d(channels, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(16, classes),
        ).double()
        net(torch.randn(32, channels, 8, 8, dtype=torch.float64))
    return net.eval()


def squared_losses(outputs, targets):
    """Half the squared error of each example: with a Linear, a quadratic in the weights."""
    return 0.5 * (outputs[:, 0] - targets) ** 2


def objective_minimum(module, losses, batch, l2, steps=12):
    """Bring ``module`` to the minimum of mean loss + l2/2 ||w||^2 over one batch, by dense Newton steps."""
    named = {name: p.detach() for name, p in module.named_parameters()}
    x, y = batch

    def objective(w):
        parts = w.split([p.numel() for p in named.values()])
        given = {name: part.view(p.shape) for (name, p), part in zip(named.items(), parts, strict=True)}
        return losses(functional_call(module, given, x), y).mean() + 0.5 * l2 * w @ w

    w = flat(module)
    for _ in range(steps):
        w = w - torch.linalg.solve(hessian(objective)(w), grad(objective)(w))
    with torch.no_grad():
        for p, part in zip(named.values(), w.split([p.numel() for p in named.values()]), strict=True):
            p.copy_(part.view(p.shape))
    return module


def flat(module):
    """All parameters as one float64 vector."""
    return torch.cat([p.detach().double().ravel() for p in module.parameters()])
