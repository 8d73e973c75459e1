"""Noise that the network finds hardest is learned as the classes that leave; then the rest is repaired."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from expunge.core.checks import (
    LARGEST_SINGLE,
    require_count,
    require_from_zero,
    require_positive,
    require_share,
)
from expunge.curvature.embedded import Place
from expunge.curvature.gradients import cross_entropy
from expunge.predictors.network import NetworkModel
from expunge.unlearners.descent import Descent
from expunge.unlearners.search import Range
from expunge.unlearners.tuning import Batch, Tuning


class Unsir(Descent):
    """UNSIR (Tarun et al., 2023): error-maximising noise, an impair phase, a repair phase.

    Noise N of the inputs' shape (of tokens, of what the embedding makes of them), one for each of up to
    ``batch_size`` rows that leave, begins as standard normal numbers and minimises
    ``mean(-CE(f(N), y)) + noise_penalty mean ||N||^2`` for the network as it is. Impair:
    ``mean CE(retain) + mean CE(f(N), y)``, for ``epochs`` passes over the rows that stay. Repair:
    ``mean CE(retain)``. The rows that leave are looked at for their labels alone. Noise is seen in evaluation
    mode: statistics are of images.

    Args:
        model: The network.
        noise_steps: Steps of Adam for the noise.
        noise_lr: Their learning rate.
        noise_penalty: Of the noise's size.
        repair_epochs: Passes of the repair.
        retain_share: Share of the rows that stay that is trained on, drawn for each request.
        name: What the run files call the method.
        settings: Those of ``Descent``.
    """

    search_space = {
        "lr": Range(1e-4, 1e-2, log=True),
        "noise_steps": Range(10, 100),
        "epochs": Range(1, 3),
        "repair_epochs": Range(1, 5),
    }

    def __init__(
        self,
        model: NetworkModel,
        noise_steps: int = 25,
        noise_lr: float = 0.1,
        noise_penalty: float = 0.1,
        repair_epochs: int = 3,
        retain_share: float = 1.0,
        *,
        optimizer: str = "adam",
        epochs: int = 1,
        lr: float = 1.5e-3,
        name: str = "unsir",
        **settings: Any,
    ) -> None:
        super().__init__(model, name, optimizer, epochs, lr, **settings)
        self.noise_steps = require_count("noise_steps", noise_steps, least=0)
        self.noise_lr = require_positive("noise_lr", noise_lr, most=LARGEST_SINGLE)
        self.noise_penalty = require_from_zero("noise_penalty", noise_penalty, most=LARGEST_SINGLE)
        self.repair_epochs = require_count("repair_epochs", repair_epochs, least=0)
        self.retain_share = require_share("retain_share", retain_share)

    def change(self, tuning: Tuning) -> dict[str, float]:
        """Impair and repair."""
        rows = tuning.share(tuning.retain, self.retain_share)
        noise, labels = self.noise(tuning)
        _, outputs = _noisy(tuning)
        for batch in tuning.batches(rows):
            stays = cross_entropy(tuning.logits(batch), batch.y).mean()
            tuning.step(stays + cross_entropy(outputs(noise), labels).mean())
        tuning.use(tuning.training)
        for batch in tuning.batches(rows, self.repair_epochs):
            tuning.step(cross_entropy(tuning.logits(batch), batch.y).mean())
        return {}

    def noise(self, tuning: Tuning) -> tuple[Tensor, Tensor]:
        """Return the noise, (m, ...), and the labels that it is learned with, (m,)."""
        count = min(len(tuning.forget), self.training.batch_size)
        chosen: Batch = tuning.take(tuning.rng.choice(tuning.forget, size=count, replace=False))
        place, outputs = _noisy(tuning)
        noise = torch.randn_like(place.points(chosen.x)).requires_grad_()
        optimizer = torch.optim.Adam([noise], self.noise_lr)
        for _ in range(self.noise_steps):
            optimizer.zero_grad()
            error = cross_entropy(outputs(noise), chosen.y).mean()
            size = noise.double().square().flatten(1).sum(dim=1).mean()
            (self.noise_penalty * size - error).backward()
            optimizer.step()
        return noise.detach(), chosen.y


def _noisy(tuning: Tuning) -> tuple[Place, Callable[[Tensor], Tensor]]:
    """Return where noise is put in, and what the network makes of it: of tokens, in texts of full length."""
    like = torch.ones_like(tuning.take(tuning.retain[:1]).x)
    place = Place.of(tuning.module, like)

    def outputs(noise: Tensor) -> Tensor:
        inputs = like.expand(len(noise), *like.shape[1:])
        return place.run(partial(tuning.outputs, train=False), inputs, noise)

    return place, outputs
