"""The published removal in float32 torch, written from the equations: the baseline of the benchmark.

Guo et al., Certified Data Removal (ICML 2020): Algorithm 1 with the bound of Corollary 1. One removal builds
the Hessian of the rows that stay, inverts it, steps, and bounds what the step leaves:

    g     = -y sigmoid(-y x.w) x + lam w                  for the row (x, y) that goes
    H     = X^T diag(s (1 - s)) X + lam n I               over the n rows that stay, s = sigmoid(X w)
    step  = H^{-1} g,   w' = w + step
    bound = (1/4) ||X||_2 ||step||_2 ||X step||_2         ||X||_2 by power iteration

One-vs-rest does all of this for every class, but ||X||_2 once for all of them.
"""

from __future__ import annotations

from math import hypot, sqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

POWER_ITERATIONS = 20
CURVATURE_LIPSCHITZ = 0.25


class PublishedRecipe:
    """A trained model and its rows, dense in float32 on the CPU; removed rows are really gone.

    Args:
        x: (n, d) rows of norm at most 1; copied, once for all classes.
        y: (n,) labels, -1 or +1; (n, K) for one-vs-rest with K classes.
        lam: Regularisation per example.
        w: (d,) trained weights; (d, K).
        seed: Of the power iteration's starting vectors.

    Attributes:
        w: Float32 weights now, shaped as they were given.
    """

    def __init__(self, x: NDArray[Any], y: NDArray[Any], lam: float, w: NDArray[Any], seed: int = 0) -> None:
        self._x = torch.tensor(x, dtype=torch.float32)
        self._y = torch.tensor(y, dtype=torch.float32)
        self._ids = np.arange(len(x))  # which row of the training set stands at each place
        self._places = np.arange(len(x))
        self._generator = torch.Generator().manual_seed(seed)
        self.n = len(x)
        self.lam = lam
        self.w = torch.tensor(w, dtype=torch.float32)
        self._bounds = np.zeros(w.size // w.shape[0])  # of each class

    @property
    def bound(self) -> float:
        """Sum of the bounds so far; of K classes the norm of their K sums."""
        return hypot(*self._bounds)

    @property
    def rows(self) -> torch.Tensor:
        """The rows that stay, (n, d), contiguous."""
        return self._x[: self.n]

    def take_out(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Move a row of the training set out of ``rows``, in place; return (x (d,), y () or (K,))."""
        place, last = int(self._places[row]), self.n - 1
        x, y = self._x[place].clone(), self._y[place].clone()
        self._x[place], self._y[place] = self._x[last].clone(), self._y[last].clone()
        moved = self._ids[last]
        self._ids[place], self._places[moved] = moved, place
        self.n = last
        return x, y

    def update(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Remove the influence of a row that ``take_out`` returned: this is what is timed."""
        with torch.inference_mode():
            spectral = self.spectral_norm()
            columns = self.w.reshape(len(x), -1).T.contiguous()
            steps = []
            for k, (w, sign) in enumerate(zip(columns, y.reshape(-1), strict=True)):
                step = self._step(x, sign, w)
                norms = float(step.norm()) * float((self.rows @ step).norm())
                self._bounds[k] += CURVATURE_LIPSCHITZ * spectral * norms
                steps.append(step)
            self.w = (columns + torch.stack(steps)).T.reshape(self.w.shape)

    def _step(self, x: torch.Tensor, y: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """The Newton step of one class, (d,)."""
        rows = self.rows
        removed = -y * torch.sigmoid(-y * (x @ w)) * x + self.lam * w
        s = torch.sigmoid(rows @ w)
        weights = s * (1 - s)
        hessian = rows.T @ (weights[:, None] * rows)
        hessian.diagonal().add_(self.lam * self.n)
        return torch.linalg.inv(hessian) @ removed

    def spectral_norm(self) -> float:
        """||X||_2 as published: an estimate from below, by power iteration on X^T X."""
        rows = self.rows
        v = torch.randn(rows.shape[1], generator=self._generator)
        v /= v.norm()
        size = 0.0
        for _ in range(POWER_ITERATIONS):
            v = rows.T @ (rows @ v)
            size = float(v.norm())
            v /= size
        return sqrt(size)
