"""What a training run is told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from expunge.core.checks import (
    LARGEST_SINGLE,
    require_choice,
    require_count,
    require_from_zero,
    require_positive,
)
from expunge.core.errors import InvalidValue


@dataclass(frozen=True)
class Training:
    """Mini-batch training with an L2 penalty: the objective is mean loss + (weight_decay / 2) ||w||^2.

    The penalty is on every parameter, biases included, and its gradient ``weight_decay w`` is added to that
    of the loss before the optimizer sees it (coupled, as in ``torch.optim.SGD`` and ``torch.optim.Adam``).

    Attributes:
        optimizer: ``sgd`` or ``adam``.
        epochs: Passes over the training rows; 0 leaves the network as it was initialised.
        lr: Learning rate, at the beginning.
        momentum: Of SGD (without dampening, not Nesterov's); beta_1 of Adam (beta_2 is 0.999).
        weight_decay: Of the penalty.
        batch_size: Rows of a step.
        schedule: ``constant``, or ``cosine``: step t of T has rate lr (1 + cos(pi t / T)) / 2, t = 0..T-1.
        max_batches: Stop each epoch after this many steps (None: never).

    Raises:
        InvalidValue: A value is not allowed; the message names the key.
    """

    optimizer: str = "sgd"
    epochs: int = 10
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 0.01
    batch_size: int = 128
    schedule: str = "cosine"
    max_batches: int | None = None

    def __post_init__(self) -> None:
        require_choice("optimizer", self.optimizer, ("sgd", "adam"))
        require_count("epochs", self.epochs, least=0)
        require_positive("lr", self.lr, most=LARGEST_SINGLE)
        require_from_zero("momentum", self.momentum, below=1.0)
        require_from_zero("weight_decay", self.weight_decay, most=LARGEST_SINGLE)
        require_count("batch_size", self.batch_size)
        require_choice("schedule", self.schedule, ("cosine", "constant"))
        if self.max_batches is not None:
            require_count("max_batches", self.max_batches)

    def new_optimizer(self, module: nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer of the parameters of ``module`` that are to be trained.

        Raises:
            InvalidValue: All of them are frozen.
        """
        parameters = [p for p in module.parameters() if p.requires_grad]
        if not parameters:
            raise InvalidValue("model", "only frozen parameters", "a network with parameters to be trained")
        # On a GPU a step is one kernel; on the CPU the numbers stay those of torch's own choice.
        fused = True if all(p.device.type == "cuda" for p in parameters) else None
        if self.optimizer == "adam":
            betas = (self.momentum, 0.999)
            # Recorded steps need counts that are on the GPU.
            there: dict[str, Any] = {"fused": True, "capturable": True} if fused else {}
            return torch.optim.Adam(parameters, self.lr, betas, weight_decay=self.weight_decay, **there)
        return torch.optim.SGD(
            parameters, self.lr, self.momentum, weight_decay=self.weight_decay, fused=fused
        )

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of step ``step`` (from 0) of ``steps``."""
        if self.schedule == "constant":
            return self.lr
        return self.lr * (1 + math.cos(math.pi * step / steps)) / 2

    def batches(self, rows: int) -> Sequence[tuple[int, int]]:
        """Where each batch of an epoch over ``rows`` shuffled rows begins and ends.

        A last row that is left over alone joins the batch before it: BatchNorm has no variance to divide by
        where a batch comes down to a single value a channel.
        """
        starts = list(range(0, rows, self.batch_size))
        if len(starts) > 1 and rows - starts[-1] == 1:
            starts.pop()
        return list(zip(starts, [*starts[1:], rows], strict=True))[: self.max_batches]
