"""Training a network so that no single row shows in it: clipped gradients and noise (DP-SGD).

A step of the mode ``full_private`` on a batch B, with clip C, noise multiplier s and expected batch size L:

    g_i = grad of the loss of row i, over all parameters together
    g   = (sum over i in B of g_i min(1, C / ||g_i||_2) + N(0, (s C)^2 I)) / L

and the optimizer goes on from g. Source: Abadi et al., *Deep Learning with Differential Privacy*, CCS 2016,
Algorithm 1. Clipping (by C / (||g_i||_2 + 1e-6), a little below C) and noise are Opacus's, the gradients of
single rows torch's.

Batches and noise come from the seed: it is to be kept as secret as the perturbation of a linear model. Noise
is that of torch's own generator in the precision of the weights, not of Opacus's ``secure_mode``, which needs
an extension of torch that is no longer kept up: who can replay it, or reads its last bits, is not covered.
The guarantee is that of the weights; losses and the accuracy on training rows are measured on the rows as
they are and have none.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.grad_sample import GradSampleModuleExpandedWeights
from opacus.optimizers import DPOptimizer
from opacus.validators import ModuleValidator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from expunge.core.errors import BrokenInvariant, InvalidValue
from expunge.core.hashing import sha256_of_tensors
from expunge.core.progress import progress_bar
from expunge.core.seeds import stream
from expunge.curvature.gradients import evaluating
from expunge.datasets.images import Examples
from expunge.extractors.dp_recipe import DpRecipe, refuse_mixing
from expunge.training.checkpoint import Progress, TrainingCheckpoint
from expunge.training.compute import rehearse_optimizer
from expunge.training.loop import end_epoch

_NOISE = 3  # which stream of the training's random numbers

# A Poisson batch may be of any size, and each of its rows has a gradient of its own: 0.5 MB as published.
_MOST_NUMBERS = 2**25  # that the gradients of single rows may take at a time: 128 MB
_MOST_ROWS_CPU = 64  # beyond, a pass does not fit the processor's caches and takes longer


class Network(nn.Module):
    """An extractor and its head."""

    def __init__(self, features: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.features, self.head = features, head

    def forward(self, x: Tensor) -> Tensor:
        """(m, ...) -> (m, classes)."""
        scores: Tensor = self.head(self.features(x))
        return scores


class Stepper:
    """Takes the steps of a training of ``network``, in place.

    Raises:
        InvalidValue: ``norm``: a layer mixes the rows of a batch, in a private mode.
    """

    def __init__(self, network: Network, recipe: DpRecipe) -> None:
        self.network, self.recipe = network, recipe
        parameters = list(network.parameters())
        # How many rows go through the network together.
        self.at_once = max(1, _MOST_NUMBERS // sum(p.numel() for p in parameters))
        if parameters[0].device.type == "cpu":
            self.at_once = min(self.at_once, _MOST_ROWS_CPU)
        self.optimizers: list[torch.optim.Optimizer] = []
        self._private: DPOptimizer | None = None
        self._raw: nn.Module | None = network  # the part that learns from raw gradients
        self._forward: nn.Module = network
        if recipe.mode == "full_private":
            self._raw, self._forward = None, self._guard(network)
        elif recipe.mode == "private":
            self._raw, self._forward = network.head, Network(self._guard(network.features), network.head)
        if self._raw is not None:
            self.optimizers.append(recipe.plain().new_optimizer(self._raw))

    def _guard(self, part: nn.Module) -> nn.Module:
        """Have the gradients of ``part`` clipped and noised; return it with a gradient for each row."""
        if ModuleValidator.validate(part.train()):
            refuse_mixing(self.recipe.mode, "batch")
        wrapped = GradSampleModuleExpandedWeights(part, loss_reduction="sum")
        self.optimizers.append(self.recipe.plain().new_optimizer(part))
        self._private = DPOptimizer(
            self.optimizers[0],
            noise_multiplier=self.recipe.noise_multiplier,
            max_grad_norm=self.recipe.clip,
            expected_batch_size=self.recipe.batch_size,
        )
        return wrapped

    def begin(self, seed: int, epoch: int) -> None:
        """Begin an epoch: its noise is its own, so that a continued training has that of an unbroken one."""
        self.network.train()
        if self._private is not None:
            device = next(self.network.parameters()).device
            number = int(stream(seed, "training", _NOISE, epoch).integers(2**63 - 1))
            self._private.generator = torch.Generator(device).manual_seed(number)

    def step(self, examples: Examples, rows: NDArray[np.int64]) -> Tensor:
        """Take one step on ``rows`` and return the sum of their losses before it.

        Without rows the guarded parameters take a step of noise alone, as the accounting of Poisson sampling
        demands, and the others take none.
        """
        total = torch.zeros((), dtype=torch.float64, device=examples.device)
        self.network.zero_grad()
        for start in range(0, max(len(rows), 1), self.at_once):
            part = rows[start : start + self.at_once]
            if self._private is None:
                total += self._backward(examples, part)
            else:  # adds to the clipped sum; the last part adds the noise and takes the step
                self._private.zero_grad()
                self._private.signal_skip_step(start + self.at_once < len(rows))
                total += self._backward(examples, part)
                self._private.step()
        if self._raw is not None:
            for p in self._raw.parameters():
                if p.grad is not None:  # without rows there is none, and the weights are left alone
                    p.grad /= len(rows)
            self.optimizers[-1].step()
        return total

    def _backward(self, examples: Examples, rows: NDArray[np.int64]) -> Tensor | float:
        """Put the gradients of the rows' losses where the optimizers look for them."""
        if not len(rows):
            for p in self._private.params if self._private is not None else ():
                p.grad_sample = p.new_zeros((0, *p.shape))
            return 0.0
        x, y = examples.take(rows)
        loss = cross_entropy(self._forward(x), y, reduction="sum")
        loss.backward()
        return loss.detach()

    def close(self) -> None:
        """Leave nothing but the network, in evaluation mode."""
        for p in self.network.parameters():
            for name in ("grad_sample", "summed_grad", "_forward_counter"):
                vars(p).pop(name, None)
        self.network.zero_grad()
        self.network.eval()


def train(
    network: Network,
    examples: Examples,
    recipe: DpRecipe,
    seed: int,
    identity: Mapping[str, Any] | None = None,
    checkpoint: Path | None = None,
    progress: bool = False,
) -> Progress:
    """Train ``network`` in place; return the mean loss of each epoch, the seconds, and the steps taken.

    The same arguments give the same bytes on the same machine with the same number of threads, whether or
    not the training was broken off and continued from its checkpoint on the way.

    Args:
        network: On the device of ``examples``; it ends in evaluation mode.
        examples: The training rows.
        recipe: How to train.
        seed: Of the batches and of the noise.
        identity: What the training depends on besides the network's first weights (JSON values): data, seed,
            settings. A checkpoint of another identity is not used.
        checkpoint: File to keep the state in after each epoch but the last; removed in the end.
        progress: Show a bar (on a terminal only).

    Raises:
        InvalidValue: ``batch_size``: more than the rows. ``lr``: loss or weights became infinite or NaN.
            ``norm``: a layer mixes the rows of a batch, in a private mode.
    """
    if recipe.batch_size > len(examples):
        allowed = f"at most {len(examples)}, the training rows there are"
        raise InvalidValue("batch_size", recipe.batch_size, allowed)
    rehearse_optimizer()
    started = time.perf_counter()
    start = sha256_of_tensors(network.state_dict())
    kept = TrainingCheckpoint(checkpoint, {**(identity or {}), "start": start})
    stepper = Stepper(network, recipe)
    done = kept.load(network, stepper.optimizers)
    started -= done.seconds
    steps = recipe.epochs * recipe.steps_per_epoch(len(examples))
    said = f"training the extractor ({recipe.mode})"
    with progress_bar(progress, total=steps, initial=done.steps, desc=said, unit="batch") as bar:
        for epoch in range(len(done.losses), recipe.epochs):
            done.losses.append(_epoch(stepper, examples, seed, epoch, done, bar))
            done.seconds = time.perf_counter() - started
            if epoch + 1 < recipe.epochs:
                kept.save(network, stepper.optimizers, done)
    if done.steps != steps:
        raise BrokenInvariant("steps taken", done.steps, f"{steps}, those that epsilon is the cost of")
    stepper.close()
    kept.done()
    return done


def accuracy(network: Network, examples: Examples) -> float:
    """Share of the rows whose class has the highest score."""
    with evaluating(network), torch.no_grad():
        right = sum(int((network(x).argmax(dim=1) == y).sum()) for x, y in examples)
    return right / len(examples)


def _epoch(stepper: Stepper, examples: Examples, seed: int, epoch: int, done: Progress, bar: Any) -> float:
    """Take the steps of one epoch, counting them, and return the mean loss of the rows they met."""
    total, seen = torch.zeros((), dtype=torch.float64, device=examples.device), 0
    stepper.begin(seed, epoch)
    for rows in stepper.recipe.batches(examples.rows, seed, epoch):
        total += stepper.step(examples, rows)
        seen += len(rows)
        done.steps += 1
        bar.update()
    return end_epoch(stepper.network, total, seen, stepper.recipe.lr, epoch, bar)
