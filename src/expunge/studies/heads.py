"""Linear heads, hundreds at a time: training and the methods that take gradient steps, one batch of models.

All is softmax regression with a bias, on rows that are shared: weights are (M, d + 1, K), the last row the
bias (the rows have a 1 appended). Each model has its own random numbers: where it begins, and the order of
its rows. The rules are those of ``training=sgd`` and of the unlearners of the same names, as a test holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import sqrt

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expunge.training import Training

Array = NDArray[np.float64]
Ids = NDArray[np.int64]


class Heads:
    """What M heads are trained on.

    Args:
        x: (n, d) rows.
        y: (n,) numbers of their classes.
        classes: K.
        dtype: Of the weights and of all that is computed; what is evaluated is float64.
    """

    def __init__(self, x: Array, y: Ids, classes: int, dtype: torch.dtype = torch.float32) -> None:
        self.x = torch.from_numpy(np.hstack([x, np.ones((len(x), 1))])).to(dtype)
        self.y = torch.nn.functional.one_hot(torch.from_numpy(y), classes).to(dtype)

    def begin(self, models: int, rng: np.random.Generator) -> Tensor:
        """Random weights as torch's linear layer has them: uniform, up to 1 / sqrt(d), (M, d + 1, K)."""
        dim, classes = self.x.shape[1], self.y.shape[1]
        drawn = rng.uniform(-1, 1, (models, dim, classes)) / sqrt(dim - 1)
        return torch.from_numpy(drawn).to(self.x.dtype)

    def outputs(self, w: Array, x: Array) -> Array:
        """Of all heads on the same rows (m, d) in float64, (M, m, K)."""
        return linear_outputs(w, x)

    def gradient(self, w: Tensor, rows: Ids) -> Tensor:
        """Gradient of the mean cross-entropy over each model's rows, (M, m) ids, each once; (M, d + 1, K)."""
        models, dim, classes = w.shape
        at, each = torch.from_numpy(rows), torch.arange(models)[:, None]
        z = (self.x @ w.transpose(0, 1).reshape(dim, -1)).view(
            -1, models, classes
        )  # one product beats gathering
        off = torch.zeros_like(z)
        off[at, each] = (torch.softmax(z[at, each], dim=2) - self.y[at]) / rows.shape[1]
        return (self.x.T @ off.view(len(off), -1)).view(dim, models, classes).transpose(0, 1)

    def train(self, w: Tensor, rows: Ids, how: Training, rng: np.random.Generator) -> Tensor:
        """Descend on ``mean CE + (weight_decay / 2) ||w||^2`` of each model's rows, (M, m) ids; w stays."""
        return self._descend(w, rows, how, rng, lambda part, w: self.gradient(w, part))

    def neggrad(
        self, w: Tensor, retain: Ids, forget: Ids, alpha: float, how: Training, rng: np.random.Generator
    ) -> Tensor:
        """Descend on ``alpha CE(retain) - (1 - alpha) CE(forget)``, a batch of each a step."""
        beside = _again_and_again(forget, how, rng)

        def both(part: Ids, w: Tensor) -> Tensor:
            return alpha * self.gradient(w, part) - (1 - alpha) * self.gradient(w, next(beside))

        return self._descend(w, retain, how, rng, both)

    def ascend(self, w: Tensor, forget: Ids, lr: float, steps: int) -> Tensor:
        """Climb the mean CE of each model's forget rows."""
        for _ in range(steps):
            w = w + lr * self.gradient(w, forget)
        return w

    def _descend(
        self,
        w: Tensor,
        rows: Ids,
        how: Training,
        rng: np.random.Generator,
        gradient: Callable[[Ids, Tensor], Tensor],
    ) -> Tensor:
        w, velocity = w.clone(), torch.zeros_like(w)
        steps = how.epochs * len(how.batches(rows.shape[1]))
        step = 0
        for _ in range(how.epochs):
            for part in _batches(rows, how, rng):
                velocity.mul_(how.momentum).add_(gradient(part, w)).add_(w, alpha=how.weight_decay)
                w -= how.rate(step, steps) * velocity
                step += 1
        return w


def linear_outputs(w: Array, x: Array) -> Array:
    """``x w`` of linear maps (M, d, K), or (M, d + 1, K) whose last row is a bias: (M, m, K)."""
    z = np.einsum("ed,mdk->mek", x, w[:, : x.shape[1]], optimize=True)
    return np.asarray(z + w[:, x.shape[1] :].sum(axis=1)[:, None])


def _batches(rows: Ids, how: Training, rng: np.random.Generator) -> Iterator[Ids]:
    """One pass over the rows of each model, in an order of its own."""
    order = rng.permuted(rows, axis=1)
    yield from (order[:, start:stop] for start, stop in how.batches(rows.shape[1]))


def _again_and_again(rows: Ids, how: Training, rng: np.random.Generator) -> Iterator[Ids]:
    while True:
        yield from _batches(rows, how, rng)
