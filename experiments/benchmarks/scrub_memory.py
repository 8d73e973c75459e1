"""How much memory one scrub takes, in a process of its own: one job, given as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from time import perf_counter
from typing import Any

import numpy as np
import torch

from experiments.benchmarks.codec_limits import ROOT, forget_peak, peak_mib
from experiments.benchmarks.scrub_ours import scrubbed
from experiments.benchmarks.scrub_setup import CLASSES, FAMILIES, SEED, Task, random_pictures
from expunge.curvature.gradients import cross_entropy
from expunge.datasets.images import Examples
from expunge.linear.parallel import set_threads
from expunge.models import Architecture, Mlp, initialised
from expunge.scrub import Problem
from expunge.training import History

MEASURED = ("vgg11", "vgg11 (small_images=false)", "resnet50")
AT_MOST = 3_000.0  # MB of 10^6 bytes
MB = 1.048576  # a MiB in MB


def in_own_process(job: dict[str, Any]) -> dict[str, Any]:
    """Run one job in a new process; see ``measure`` for what comes back."""
    command = [sys.executable, "-m", "experiments.benchmarks.scrub_memory", json.dumps(job)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def with_limit(job: dict[str, Any]) -> dict[str, Any]:
    """Run one job in a new process and hold it against the limit."""
    found = in_own_process(job)
    return {**job, **found, "at_most": AT_MOST, "met": found["peak_mb"] <= AT_MOST}


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Scrub one image from a network that has not been trained, after a small scrub that compiles.

    Args:
        job: ``family``, ``copies``, ``threads``.

    Returns:
        ``seconds`` of the scrub; ``weights`` of the network and ``selected`` ones; ``peak_mb`` of the
        process from the moment when network and history are there; ``held_mb``, what it held then;
        ``scrub_mb``, the difference.
    """
    torch.set_num_threads(job["threads"])
    set_threads(job["threads"])
    settings = {"n_perturbations": job["copies"], "threads": job["threads"]}
    scrubbed(untrained(Mlp((8,))), {**settings, "n_perturbations": 50})
    task = untrained(FAMILIES[job["family"]])
    held = forget_peak()
    begin = perf_counter()
    found = scrubbed(task, settings)
    seconds = perf_counter() - begin
    peak = max(held, peak_mib())  # a tiny scrub frees more than it takes
    return {
        "seconds": seconds,
        "weights": sum(p.numel() for p in task.problem.module.parameters()),
        "selected": found.proposal.block.size,
        "held_mb": held * MB,
        "peak_mb": peak * MB,
        "scrub_mb": (peak - held) * MB,
    }


def untrained(architecture: Architecture) -> Task:
    """A network as it is before training, with a history of random numbers: memory is the same for any."""
    images = random_pictures(64)
    module = initialised(architecture, images.x.shape, CLASSES, SEED).eval()
    draw = torch.Generator().manual_seed(SEED)

    def random() -> dict[str, torch.Tensor]:
        return {name: 1e-3 * torch.randn(p.shape, generator=draw) for name, p in module.named_parameters()}

    rows = np.arange(len(images.y))
    kept = Examples(images.x, torch.from_numpy(images.y), rows[1:])
    history = History(random(), random(), random())
    problem = Problem(module, cross_entropy, kept.take([0]), kept, len(rows), history)
    return Task(problem, Examples(images.x_test, torch.from_numpy(images.y_test), rows[:64]))


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
