"""How long one scrub of a network takes, stage by stage, against the published order of work.

See README.md.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.harness import Benchmark, Part, positive, threads_option
from experiments.benchmarks.scrub import figure, memory, tables
from experiments.benchmarks.scrub.compare import Shares, compare, facts, settings_apart
from experiments.benchmarks.scrub.ours import GUARD, STAGES, scrubbed
from experiments.benchmarks.scrub.setup import FAMILIES, Pictures, pictures, task_of
from expunge.models import Architecture

FAMILY = "resnet18"


def families(
    named: Mapping[str, Architecture], images: Pictures, repeats: int, settings: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Time ours on one network of each family; each is trained for a moment first.

    Args:
        named: What tables call a family, and the family.
        images: To train on and to remove one of.
        repeats: Of the same scrub, after one that is not timed.
        settings: Those of ``Scrub`` that are not the published ones.
    """
    rows = []
    for name, architecture in named.items():
        task = task_of(architecture, images)
        first = scrubbed(task, settings)
        seconds = [scrubbed(task, settings).seconds for _ in range(repeats)]
        medians = {stage: float(np.median([one[stage] for one in seconds])) for stage in (*STAGES, GUARD)}
        whole = [sum(one[stage] for stage in STAGES) for one in seconds]
        rows.append({"family": name, **facts(first), "seconds": medians, "whole": whole})
    return rows


def _settings(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    return {"n_perturbations": options.copies, "threads": threads}


def _stages(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    images = pictures(options.data_dir)
    shares = Shares(options.forwards, options.candidates, options.dense)
    task = task_of(FAMILIES[FAMILY], images)
    found = compare(task, options.repeats, shares, _settings(options, threads))
    return {"family": FAMILY, "images": images.name, "repeats": options.repeats, **found}


def _settings_apart(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    images = pictures(options.data_dir)
    task = task_of(FAMILIES[FAMILY], images)
    found = settings_apart(task, options.repeats, _settings(options, threads))
    return {"family": FAMILY, "images": images.name, "repeats": options.repeats, **found}


def _families(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    images = pictures(options.data_dir)
    rows = families(FAMILIES, images, options.repeats, _settings(options, threads))
    return {"copies": options.copies, "images": images.name, "repeats": options.repeats, "rows": rows}


def _memory(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    same = {"copies": options.copies, "threads": threads}
    jobs = [memory.with_limit({"family": family, **same}) for family in memory.MEASURED]
    return {"copies": options.copies, "jobs": jobs}


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--copies", type=positive, default=1_000, help="perturbed copies (default 1000)")
    parser.add_argument(
        "--forwards", type=positive, default=Shares.forwards, help="of the copies, run singly (default 100)"
    )
    parser.add_argument(
        "--candidates", type=positive, default=Shares.candidates, help="timed at a step (default 24)"
    )
    parser.add_argument(
        "--dense", type=positive, default=Shares.dense, help="unknowns of the dense solve (default 10000)"
    )
    threads_option(parser)
    parser.add_argument(
        "--data-dir",
        default=os.environ.get("EXPUNGE_DATA"),
        help="holds cifar-10-batches-py (default $EXPUNGE_DATA); random images without it",
    )


BENCHMARK = Benchmark(
    folder=Path(__file__).parent,
    description=__doc__,
    parts={
        "stages": Part(
            _stages, tables.stages_lines, "One scrub, stage by stage", "Seconds of one scrub by stage"
        ),
        "settings": Part(_settings_apart, tables.settings_lines, "Our own settings", option="settings"),
        "families": Part(_families, tables.families_lines, "Networks", option="families"),
        "memory": Part(_memory, tables.memory_lines, "Memory", option="memory"),
    },
    arguments=_arguments,
    options={
        "settings": "measure instead the scrub with our own settings beside the published ones",
        "families": "measure instead ours on every family",
        "memory": "measure instead the memory of one scrub",
    },
    libraries=("torchvision",),
    draw=figure.draw,
)
