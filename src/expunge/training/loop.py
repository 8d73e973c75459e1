"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from expunge.core.errors import InvalidValue
from expunge.core.hashing import sha256_of, sha256_of_tensors
from expunge.core.progress import progress_bar
from expunge.core.seeds import stream, torch_draws_from, torch_generator
from expunge.curvature.gradients import Losses, require_gradient
from expunge.datasets.images import Examples
from expunge.datasets.resident import resident
from expunge.training.checkpoint import TrainingCheckpoint
from expunge.training.history import History, Moment, Trained, moment
from expunge.training.replayed import Replayed
from expunge.training.settings import Training

Follow = Callable[[nn.Module, torch.Tensor, torch.Tensor, NDArray[np.int64], float], None]


def train(
    module: nn.Module,
    examples: Examples,
    settings: Training,
    losses: Losses,
    seed: int,
    device: torch.device | str = "cpu",
    progress: bool = False,
    checkpoint: Path | None = None,
    record: bool = True,
    follow: Follow | None = None,
) -> Trained:
    """Minimise mean loss + (weight_decay / 2) ||w||^2 over ``examples.rows``, starting from ``module``.

    The same module, examples, settings and seed give the same bytes on the same machine with the same number
    of threads; on a GPU as far as its kernels repeat themselves. A training broken off and continued from
    its checkpoint is no different from an unbroken one.

    Args:
        module: The network to train, in place; it ends in evaluation mode.
        examples: The training rows; their batch size is used for the history's gradients alone.
        settings: How to train.
        losses: The loss of each example.
        seed: Of the order of the rows in each epoch and of dropout.
        device: Where to compute.
        progress: Show a bar (on a terminal only).
        checkpoint: A file to keep the state in after every epoch but the last; one of the same training is
            continued, a damaged one or another's is not used, and in the end it is removed. The inputs
            themselves are not compared: they are the caller's to tell apart, by the file's name.
        record: Whether to make the history, which costs two more passes over the rows.
        follow: Told of every step before it is taken: the module, the batch, its rows, the learning rate.
            It changes none of them, and a training that it follows has no checkpoint.

    Raises:
        InvalidValue: ``lr``: the loss or the weights became infinite or NaN; ``batch_size``: BatchNorm cannot
            be trained on one row. ``rows``: there is none.
    """
    if not len(examples):
        raise InvalidValue("rows", 0, "at least one row to train on")
    where = next(module.to(device).parameters()).device
    passes = settings.epochs + 2 * record
    task = _Task(module, resident(examples, where, passes), settings, losses, seed, record, follow)
    return task.run(progress, checkpoint)


@dataclass(frozen=True)
class _Task:
    """The arguments of ``train``."""

    module: nn.Module
    examples: Examples
    settings: Training
    losses: Losses
    seed: int
    record: bool
    follow: Follow | None = None

    def run(self, progress: bool, file: Path | None) -> Trained:
        started = time.perf_counter()
        cuts = self.settings.batches(len(self.examples))
        seen = self.examples.only(self.examples.rows[: cuts[-1][1]])
        optimizer = self.settings.new_optimizer(self.module)
        checkpoint = TrainingCheckpoint(file, self.identity() if file else {})
        done = checkpoint.load(self.module, [optimizer])
        started -= done.seconds
        before: Moment | None = None
        steps, taken = self.settings.epochs * len(cuts), len(done.losses) * len(cuts)
        replayed = self.replayed(optimizer, cuts)
        with progress_bar(progress, total=steps, initial=taken, desc="training", unit="batch") as bar:
            for epoch in range(len(done.losses), self.settings.epochs):
                last = epoch == self.settings.epochs - 1
                if last and self.record:
                    before = moment(self.module, self.losses, seen)
                done.losses.append(self.epoch(epoch, replayed, cuts, bar))
                done.seconds = time.perf_counter() - started
                if not last:
                    checkpoint.save(self.module, [optimizer], done)
        history = History.between(before, moment(self.module, self.losses, seen)) if before else None
        self.module.eval().zero_grad(set_to_none=True)
        checkpoint.done()
        return Trained(self.module, history, tuple(done.losses), time.perf_counter() - started)

    def replayed(self, optimizer: torch.optim.Optimizer, cuts: Sequence[tuple[int, int]]) -> Replayed:
        """The step of every batch; what it adds up is in ``total``."""

        def step(x: torch.Tensor, y: torch.Tensor) -> None:
            optimizer.zero_grad()
            loss = self.losses(training_outputs(self.module, x, self.settings.batch_size), y).mean()
            loss.backward()
            optimizer.step()
            self.total.add_(loss.detach() * len(y))

        size = self.settings.batch_size
        count = self.settings.epochs * sum(stop - start == size for start, stop in cuts)
        return Replayed(step, self.module, self.examples, self.losses, optimizer, size, count)

    @cached_property
    def total(self) -> torch.Tensor:
        """Of the losses of an epoch's rows so far."""
        return torch.zeros((), dtype=torch.float64, device=self.examples.device)

    def epoch(self, epoch: int, replayed: Replayed, cuts: Sequence[tuple[int, int]], bar: Any) -> float:
        """One pass over the rows; returns their mean loss."""
        order = stream(self.seed, "training", 1, epoch).permutation(self.examples.rows)
        steps = self.settings.epochs * len(cuts)
        self.total.zero_()
        self.module.train()
        with self.drawing(epoch):
            for step in replayed.over(order, cuts):
                rate = self.settings.rate(epoch * len(cuts) + step, steps)
                replayed.rated(rate)
                if self.follow is not None:
                    rows = order[slice(*cuts[step])]
                    self.follow(self.module, *self.examples.take(rows), rows, rate)
                bar.update()
        return end_epoch(self.module, self.total, cuts[-1][1], self.settings.lr, epoch, bar)

    def identity(self) -> dict[str, Any]:
        """What a checkpoint must agree in."""
        rows, targets = self.examples.rows, self.examples.y[torch.from_numpy(self.examples.rows)]
        return {
            "settings": asdict(self.settings),
            "seed": self.seed,
            "rows": sha256_of([rows.tobytes(), targets.cpu().numpy().tobytes()]),
            "start": sha256_of_tensors(self.module.state_dict()),
        }

    @contextmanager
    def drawing(self, epoch: int) -> Iterator[None]:
        """Random numbers that layers draw (dropout) are the epoch's own, and nobody else's are used up."""
        generator = torch_generator(self.seed, "training", 2, epoch)
        gpus = [self.examples.device] if self.examples.device.type == "cuda" else []
        with torch_draws_from(generator, gpus):
            yield


def training_outputs(module: nn.Module, x: torch.Tensor, batch_size: int) -> torch.Tensor:
    """Return what ``module`` puts out for a batch that it is trained on.

    Raises:
        InvalidValue: ``batch_size``: BatchNorm cannot be trained on one row; or the outputs have no gradient.
    """
    try:
        found: torch.Tensor = module(x)
        require_gradient(module, found)
        return found
    except ValueError as error:
        if len(x) > 1 or "more than 1 value per channel" not in str(error):
            raise
        what = "2 or more (and as many rows): BatchNorm cannot be trained on one row at a time"
        raise InvalidValue("batch_size", batch_size, what) from None


def end_epoch(module: nn.Module, total: torch.Tensor, rows: int, lr: float, epoch: int, bar: Any) -> float:
    """Return the mean of the losses of an epoch (from 0), and show it.

    Raises:
        InvalidValue: ``lr``: the loss or the weights became infinite or NaN.
    """
    finite = torch.stack([p.detach().isfinite().all() for p in module.parameters()]).all()
    if not bool(finite & total.isfinite()):
        raise InvalidValue("lr", lr, f"a smaller value: the training loss is not finite in epoch {epoch + 1}")
    mean = float(total) / max(rows, 1)
    bar.set_postfix(epoch=epoch + 1, loss=f"{mean:.4f}")
    return mean
