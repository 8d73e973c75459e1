"""Our scrub with a clock at each of its stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from experiments.benchmarks.scrub.setup import SEED, Task
from expunge.curvature import Block, evaluating
from expunge.datasets.images import Examples
from expunge.scrub import Problem, Proposal, Scrub
from expunge.scrub.noisy_copies import Observed, Unit

STAGES = ("copies", "selection", "curvature", "update")
GUARD = "guard"


@dataclass(frozen=True)
class Timed(Scrub):
    """The scrub itself; the seconds of its stages, and what it saw, are kept."""

    seconds: dict[str, float] = field(default_factory=dict)
    seen: list[Observed] = field(default_factory=list)

    def observe(self, problem: Problem, noise: torch.Generator) -> Observed:
        """Stage ``copies``."""
        with self.clock("copies"):
            self.seen.append(super().observe(problem, noise))
        return self.seen[-1]

    def select(self, problem: Problem, rng: np.random.Generator, noise: torch.Generator) -> list[Unit]:
        """Stage ``selection``, once the stage within has been taken off."""
        with self.clock("selection"):
            units = super().select(problem, rng, noise)
        self.seconds["selection"] -= self.seconds["copies"]
        return units

    def step(self, problem: Problem, block: Block, rng: np.random.Generator) -> Tensor:
        """Stage ``curvature``: gradients, curvature and solve."""
        with self.clock("curvature"):
            return super().step(problem, block, rng)

    @contextmanager
    def clock(self, stage: str) -> Iterator[None]:
        """Count the seconds spent within as those of ``stage``."""
        begin = perf_counter()
        yield
        self.seconds[stage] = perf_counter() - begin


@dataclass(frozen=True)
class Scrubbed:
    """One scrub: the seconds of every stage and of the guard, what it saw and what it proposed."""

    seconds: Mapping[str, float]
    observed: Observed
    proposal: Proposal

    @property
    def whole(self) -> float:
        """Seconds without the guard."""
        return sum(self.seconds[stage] for stage in STAGES)

    @property
    def path(self) -> list[int]:
        """Columns of the activations in the order of their choice."""
        return [self.observed.units.index(unit) for unit in self.proposal.units]


def scrubbed(task: Task, settings: Mapping[str, Any], published: bool = True) -> Scrubbed:
    """Scrub the image, guard the update, and put the weights back.

    Args:
        task: What is scrubbed.
        settings: Those of ``Scrub`` that are not the published ones, or our defaults.
        published: Whether the others are as published.
    """
    scrub, module = (Timed.published if published else Timed)(**settings), task.problem.module
    begin = perf_counter()
    proposal = scrub.propose(task.problem, np.random.default_rng(SEED), noise())
    saved = proposal.block.save(module)
    proposal.block.add(module, proposal.step)
    seconds = {"update": perf_counter() - begin - sum(scrub.seconds.values()), **scrub.seconds}
    begin = perf_counter()
    accuracy(module, task.validation)
    seconds[GUARD] = perf_counter() - begin
    proposal.block.restore(module, saved)
    return Scrubbed(seconds, scrub.seen[-1], proposal)


def noise() -> torch.Generator:
    """A new generator of the copies and of the noise on the weights, always the same one."""
    return torch.Generator().manual_seed(SEED)


def accuracy(module: nn.Module, examples: Examples) -> float:
    """Share of examples that the network classifies as they are labelled, batch by batch as the guard."""
    with evaluating(module), torch.no_grad():
        return float(torch.cat([module(x).argmax(dim=1) == y for x, y in examples]).double().mean())
