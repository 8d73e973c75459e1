"""How the extractor of ``extractor=dp`` is trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import (
    LARGEST_SINGLE,
    require_choice,
    require_from_zero,
    require_positive,
)
from expunge.core.errors import InvalidValue
from expunge.core.seeds import stream
from expunge.extractors.accounting import SAMPLINGS
from expunge.training.settings import Training

MODES = ("full_private", "private", "none")
"""``full_private``: clipped and noised are all parameters. ``private``, as published: those of the extractor;
the head learns from raw gradients, so that nothing is guaranteed. ``none``: neither clipped nor noised.
"""

_ROWS = 4  # which stream of the training's random numbers the batches come from


@dataclass(frozen=True)
class DpRecipe:
    """Settings of a training; the loss is the mean cross-entropy.

    Attributes:
        mode: One of ``MODES``.
        optimizer, momentum, max_batches: As in ``Training``.
        lr: Learning rate, constant.
        epochs: Passes over the rows, which Poisson sampling makes on average; 0 leaves the random weights.
        batch_size: Rows of a step, with Poisson sampling on average.
        clip: Largest L2 norm of a row's gradient.
        noise_multiplier: Standard deviation of the noise, in clips; 0 adds none.
        sampling: ``poisson``: each row is in each batch with probability batch_size / rows. ``fixed``:
            shuffled passes over the rows, cut into batches.

    Raises:
        InvalidValue: A value is not allowed; the message names the key.
    """

    mode: str = "full_private"
    optimizer: str = "adam"
    lr: float = 1e-3
    momentum: float = 0.9
    epochs: int = 20
    batch_size: int = 500
    max_batches: int | None = None
    clip: float = 4.0
    noise_multiplier: float = 6.0
    sampling: str = "poisson"

    def __post_init__(self) -> None:
        require_choice("mode", self.mode, MODES)
        require_choice("optimizer", self.optimizer, ("adam", "sgd"))
        self.plain()  # checks what they share
        require_positive("clip", self.clip, most=LARGEST_SINGLE)
        require_from_zero("noise_multiplier", self.noise_multiplier, most=LARGEST_SINGLE)
        require_choice("sampling", self.sampling, SAMPLINGS)

    def steps_per_epoch(self, rows: int) -> int:
        """Steps of an epoch over ``rows`` rows."""
        whole = -(-rows // self.batch_size)
        return whole if self.max_batches is None else min(whole, self.max_batches)

    def batches(self, rows: NDArray[np.int64], seed: int, epoch: int) -> Iterator[NDArray[np.int64]]:
        """Yield the rows of each step of an epoch (from 0); with Poisson sampling there may be none.

        An epoch of shuffled batches that ``max_batches`` ends early is gone on with by the next one: a row
        has its second turn when all have had their first, which is what the accounting counts.
        """
        steps = self.steps_per_epoch(len(rows))
        if self.sampling == "poisson":
            random, share = stream(seed, "training", _ROWS, epoch), self.batch_size / len(rows)
            for _ in range(steps):
                yield rows[random.random(len(rows)) < share]
            return
        whole, order, shuffled = -(-len(rows) // self.batch_size), rows, -1
        for step in range(epoch * steps, (epoch + 1) * steps):
            number, place = divmod(step, whole)
            if number != shuffled:
                order, shuffled = stream(seed, "training", _ROWS, number).permutation(rows), number
            yield order[place * self.batch_size : (place + 1) * self.batch_size]

    def plain(self) -> Training:
        """What a training without privacy is told as well."""
        first = self.optimizer, self.epochs, self.lr, self.momentum
        return Training(*first, 0.0, self.batch_size, "constant", self.max_batches)


def refuse_mixing(mode: str, norm: str) -> None:
    """Raise ``InvalidValue`` where BatchNorm would be trained privately."""
    if norm == "batch" and mode != "none":
        reason = "BatchNorm mixes the rows of a batch, so that no row has a gradient of its own"
        raise InvalidValue("norm", norm, f"none or group in mode={mode}: {reason}")
