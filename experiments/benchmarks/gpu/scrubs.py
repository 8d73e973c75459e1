"""One scrub of one image from a network on a GPU, in stages, and where its time goes."""

from __future__ import annotations

import cProfile
import io
import pstats
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.benchmarks.gpu.clocks import seconds, synchronised
from experiments.benchmarks.scrub.setup import BRIEF, CLASSES, REMOVED, SEED, random_pictures
from expunge.codec import foci
from expunge.curvature import Block
from expunge.curvature.gradients import cross_entropy
from expunge.datasets.images import Examples
from expunge.models import Torchvision
from expunge.scrub import Problem, Proposal, Scrub, steps
from expunge.scrub.noisy_copies import Observed, Unit
from expunge.training import Learner


@dataclass(frozen=True)
class Timed(Scrub):
    """The scrub, and the seconds of its stages, each waited for."""

    seconds: dict[str, float] = field(default_factory=dict)
    seen: list[Observed] = field(default_factory=list)

    def observe(self, problem: Problem, noise: torch.Generator) -> Observed:
        """Stage ``copies``."""
        with self.clock("copies", problem):
            self.seen.append(super().observe(problem, noise))
        return self.seen[-1]

    def select(self, problem: Problem, rng: np.random.Generator, noise: torch.Generator) -> list[Unit]:
        """Stage ``selection``."""
        with self.clock("selection", problem):
            units = super().select(problem, rng, noise)
        self.seconds["selection"] -= self.seconds["copies"]
        return units

    def step(self, problem: Problem, block: Block, rng: np.random.Generator) -> Tensor:
        """Stage ``curvature``."""
        with self.clock("curvature", problem):
            return super().step(problem, block, rng)

    @contextmanager
    def clock(self, stage: str, problem: Problem) -> Iterator[None]:
        """Seconds within."""
        device = problem.sample[0].device
        synchronised(device)
        begin = perf_counter()
        yield
        synchronised(device)
        self.seconds[stage] = perf_counter() - begin


def problem_of(family: str, device: str, images: int) -> Problem:
    """A network trained for a moment on random images, and one of them to remove."""
    pictures = random_pictures(images)
    rows = np.arange(len(pictures.y))
    learner = Learner(Torchvision(family), BRIEF, device=device, progress=False)
    trained = learner.train(pictures.x, pictures.y, rows, CLASSES, SEED)
    every = Examples(pictures.x, torch.from_numpy(pictures.y), rows, device=learner.device)
    kept = every.only(np.delete(rows, REMOVED))
    sample = every.take([REMOVED])
    history, penalty = trained.history, BRIEF.weight_decay
    return Problem(trained.module, cross_entropy, sample, kept, len(rows), history, penalty)


def proposed(scrub: Scrub, problem: Problem) -> Proposal:
    """One scrub, always with the same random numbers; the network is left as it is."""
    return scrub.propose(problem, np.random.default_rng(SEED), torch.Generator().manual_seed(SEED))


def scrubbed(problem: Problem, published: bool, copies: int, repeats: int) -> dict[str, Any]:
    """Seconds of a scrub whole and in stages (medians), and the selection compared with the CPU's."""
    device = problem.sample[0].device

    def timed() -> Timed:
        return (Timed.published if published else Timed)(n_perturbations=copies)

    plain = (Scrub.published if published else Scrub)(n_perturbations=copies)
    begin = perf_counter()
    first = proposed(plain, problem)
    synchronised(device)
    found: dict[str, Any] = {"first_seconds": perf_counter() - begin}
    found["whole_seconds"] = seconds(lambda: proposed(plain, problem), device, repeats)
    stages: list[dict[str, float]] = []
    for _ in range(repeats):
        scrub = timed()
        begin = perf_counter()
        proposal = proposed(scrub, problem)
        synchronised(device)
        whole = perf_counter() - begin
        stages.append({**scrub.seconds, "update": whole - sum(scrub.seconds.values())})
    found["stage_seconds"] = {name: float(np.median([one[name] for one in stages])) for name in stages[0]}
    found |= {
        "units": len(scrub.seen[0].units),
        "selected": len(proposal.units),
        "weights": proposal.block.size,
    }
    found["same_twice"] = first.units == proposal.units and bool(torch.equal(first.step, proposal.step))
    found["share"], found["step_norm"] = proposal.share, float(torch.linalg.vector_norm(proposal.step))
    seen = scrub.seen[0]
    x = seen.activations
    on_cpu = x.cpu().numpy() if isinstance(x, Tensor) else x
    begin = perf_counter()
    expected = foci(on_cpu, seen.ranked, ties="noise", rng=np.random.default_rng(SEED))
    found["selection_seconds_on_the_cpu"] = perf_counter() - begin
    found["same_columns_as_on_the_cpu"] = [seen.units[c] for c in expected.columns] == proposal.units
    return found


def where_time_goes(problem: Problem, published: bool, copies: int) -> dict[str, Any]:
    """Functions, kernels, copies and waits of one scrub."""
    scrub = (Scrub.published if published else Scrub)(n_perturbations=copies)
    device, found = problem.sample[0].device, {}
    proposed(scrub, problem)
    taken: list[int] = []
    solve = steps.conjugate_gradient

    def counted(*args: Any, **named: Any) -> Any:
        solution = solve(*args, **named)
        taken.append(solution.iterations)
        return solution

    steps.conjugate_gradient = counted
    profile, text = cProfile.Profile(), io.StringIO()
    try:
        profile.runcall(proposed, scrub, problem)
    finally:
        steps.conjugate_gradient = solve
    pstats.Stats(profile, stream=text).sort_stats("cumulative").print_stats(70)
    found["iterations"] = taken
    found["functions"] = [" ".join(line.split()) for line in text.getvalue().splitlines() if line.strip()][5:]
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=kinds) as seen:
        proposed(scrub, problem)
        synchronised(device)
    events = seen.key_averages()
    counts: Counter[str] = Counter()
    for event in events:
        if any(word in event.key for word in ("emcpy", "ynchronize", "aunchKernel", "local_scalar", "alloc")):
            counts[event.key] += event.count
    found["counts"] = dict(counts.most_common())
    for name, key in (("on_device", "self_device_time_total"), ("on_cpu", "self_cpu_time_total")):
        ranked = sorted(events, key=lambda event: -getattr(event, key, 0))[:25]
        found[name] = [f"{getattr(e, key, 0) / 1e3:9.2f} ms {e.count:6d} {e.key[:100]}" for e in ranked]
    return found
