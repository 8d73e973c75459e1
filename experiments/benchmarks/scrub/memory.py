"""How much memory one scrub takes, in a process of its own: one job, given as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import torch

from experiments.benchmarks.machine import in_own_process, metered
from experiments.benchmarks.scrub.ours import scrubbed
from experiments.benchmarks.scrub.setup import CLASSES, FAMILIES, SEED, Task, random_pictures
from expunge.curvature.gradients import cross_entropy
from expunge.datasets.images import Examples
from expunge.linear.parallel import set_threads
from expunge.models import Architecture, Mlp, initialised
from expunge.scrub import Problem
from expunge.training import History

MEASURED = ("vgg11", "vgg11 (small_images=false)", "resnet50")
AT_MOST = 3_000.0  # MB of 10^6 bytes
MB = 1.048576  # a MiB in MB


def measured_apart(job: dict[str, Any]) -> dict[str, Any]:
    """Run one job in a new process; see ``measure`` for what comes back."""
    return in_own_process(__name__, job)


def with_limit(job: dict[str, Any]) -> dict[str, Any]:
    """Run one job in a new process and hold it against the limit."""
    found = measured_apart(job)
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
    done = metered(lambda: scrubbed(task, settings))
    return {
        "seconds": done.seconds,
        "weights": sum(p.numel() for p in task.problem.module.parameters()),
        "selected": done.result.proposal.block.size,
        "held_mb": done.held * MB,
        "peak_mb": done.peak * MB,
        "scrub_mb": (done.peak - done.held) * MB,
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
