"""Steps of training; on a GPU those on whole batches are recorded once, and then replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from expunge.core.row_ids import row_ids
from expunge.curvature.gradients import Losses
from expunge.curvature.losses import is_cross_entropy
from expunge.curvature.watching import known_code
from expunge.datasets.images import Examples
from expunge.datasets.resident import Resident

_FIRST = 3  # steps before one is recorded: libraries set themselves up, optimizers make their buffers
_WORTH = 50  # steps to be replayed, at the least
_DRAWING = ("torch.nn.modules.dropout", "torch.nn.modules.rnn", "torch.nn.modules.transformer")
Step = Callable[[Tensor, Tensor], None]


class Replayed:
    """A step, called with inputs and targets, that is replayed where that gives the same for less.

    A step of a small network is a hundred small kernels: to ask for them takes ten times as long as they do.
    A CUDA graph asks for all of them at once. It is made of steps on batches of one size, with inputs on the
    GPU, of networks whose code is known to ask the GPU nothing and to draw nothing.

    Args:
        step: Takes the step: it reads the optimizer's rate where ``rated`` put it.
        module: The network.
        examples: What batches are cut of.
        losses: The loss of each example.
        optimizer: Of torch's, fused on a GPU.
        size: Rows of a whole batch.
        count: How many steps on whole batches there will be.
    """

    def __init__(
        self,
        step: Step,
        module: nn.Module,
        examples: Examples,
        losses: Losses,
        optimizer: torch.optim.Optimizer,
        size: int,
        count: int,
    ) -> None:
        self._step, self._examples, self._optimizer, self._size = step, examples, optimizer, size
        self._taken, self._graph = 0, None  # type: int, torch.cuda.CUDAGraph | None
        self.on = count >= _FIRST + _WORTH and is_cross_entropy(losses) and recordable(module, examples)
        if self.on:
            self._rate = torch.zeros((), device=examples.device)
            self._rows = torch.zeros(size, dtype=torch.int64, device=examples.device)
            self._side = torch.cuda.Stream(examples.device)

    def rated(self, rate: float) -> None:
        """Set the learning rate; a recorded step reads it from the GPU."""
        if self.on:
            self._rate.fill_(rate)
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate if self.on else rate

    def over(self, order: NDArray[np.int64], cuts: Sequence[tuple[int, int]]) -> Iterator[int]:
        """Take a step on each of the ``cuts`` of ``order``, after giving out its number for ``rated``."""
        if not self.on:
            for number, cut in enumerate(cuts):
                yield number
                self._step(*self._examples.take(order[slice(*cut)]))
            return
        index = torch.from_numpy(row_ids(order, len(self._examples.y), distinct=False))
        there = index.to(self._examples.device)
        for number, (start, stop) in enumerate(cuts):
            yield number
            self._on_gpu(there[start:stop])

    def _on_gpu(self, rows: Tensor) -> None:
        if len(rows) != self._size:
            self._step(*self._examples.at(rows))
        elif self._taken < _FIRST:
            self._taken += 1
            now = torch.cuda.current_stream(rows.device)
            self._side.wait_stream(now)
            with torch.cuda.stream(self._side):
                self._step(*self._examples.at(rows))
            now.wait_stream(self._side)
        else:
            self._rows.copy_(rows)
            if self._graph is None:
                self._graph = self._recorded()
            self._graph.replay()

    def _recorded(self) -> torch.cuda.CUDAGraph:
        self._optimizer.zero_grad()
        graph = torch.cuda.CUDAGraph()
        with (
            torch.cuda.device(self._examples.device),
            torch.cuda.graph(graph, capture_error_mode="thread_local"),
        ):
            self._step(*self._examples.at(self._rows))
        return graph


def recordable(module: nn.Module, examples: Examples) -> bool:
    """Whether a step of a network may be recorded."""
    if torch.device(examples.device).type != "cuda" or not isinstance(examples.x, Resident):
        return False
    kinds = {type(part) for part in module.modules()}
    draws = any(kind.__module__.startswith(_DRAWING) for kind in kinds)
    return known_code(module) and not draws and not kinds & {nn.RReLU, nn.MultiheadAttention}
