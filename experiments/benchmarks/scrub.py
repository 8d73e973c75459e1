"""How long one scrub of a network takes, stage by stage, against the published order of work.

See SCRUB.md, and ``python -m experiments.benchmarks.scrub --help`` in the repository root.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from os import getloadavg
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from experiments.benchmarks import scrub_figure, scrub_memory, scrub_results
from experiments.benchmarks.removal import environment, positive
from experiments.benchmarks.results import environment_line
from experiments.benchmarks.scrub_compare import Shares, compare, facts
from experiments.benchmarks.scrub_ours import GUARD, STAGES, scrubbed
from experiments.benchmarks.scrub_setup import FAMILIES, Pictures, pictures, task_of
from expunge.core.files import write_json
from expunge.linear.parallel import available_cores, set_threads
from expunge.models import Architecture

HERE = Path(__file__).parent
FAMILY = "resnet18"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the JSON file (and, with ``--write``, the results in SCRUB.md)."""
    options = _parser().parse_args(arguments)
    out = Path(options.out)
    report: dict[str, Any] = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    count = options.threads or available_cores()
    torch.set_num_threads(count)
    set_threads(count)
    with threadpool_limits(limits=count):
        where = environment(count)
        where["versions"]["torchvision"] = version("torchvision")
        where["load_before"] = round(getloadavg()[0], 2)  # others at work slow the baselines down most
        print(environment_line(where), f"Load before: {where['load_before']}.", flush=True)
        parts = [part for part in ("families", "memory") if getattr(options, part)]
        for part in parts or ["stages"]:
            report[part] = {"environment": where, **_measure(part, options, count)}
            print("\n".join(["", *scrub_results.LINES[part](report[part])]), flush=True)
            out.parent.mkdir(parents=True, exist_ok=True)
            write_json(out, report)
    if "stages" in report:
        scrub_figure.draw(report, out.stem).save(out.parent)
    if options.write:
        scrub_results.write_into(HERE / "SCRUB.md", report)
    return 0


def _measure(part: str, options: argparse.Namespace, threads: int) -> dict[str, Any]:
    settings = {"n_perturbations": options.copies, "threads": threads}
    if part == "memory":
        jobs = [
            {"family": family, "copies": options.copies, "threads": threads}
            for family in scrub_memory.MEASURED
        ]
        return {"copies": options.copies, "jobs": [scrub_memory.with_limit(job) for job in jobs]}
    images = pictures(options.data_dir)
    if part == "families":
        rows = families(FAMILIES, images, options.repeats, settings)
        return {"copies": options.copies, "images": images.name, "repeats": options.repeats, "rows": rows}
    shares = Shares(options.forwards, options.candidates, options.dense)
    found = compare(task_of(FAMILIES[FAMILY], images), options.repeats, shares, settings)
    return {"family": FAMILY, "images": images.name, "repeats": options.repeats, **found}


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.scrub", description=__doc__)
    parser.add_argument("--repeats", type=positive, default=3, help="interleaved repeats (default 3)")
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
    parser.add_argument("--threads", type=positive, help="for torch, BLAS and ours (default all cores)")
    parser.add_argument(
        "--data-dir",
        default=os.environ.get("EXPUNGE_DATA"),
        help="holds cifar-10-batches-py (default $EXPUNGE_DATA); random images without it",
    )
    parser.add_argument("--families", action="store_true", help="measure instead ours on every family")
    parser.add_argument("--memory", action="store_true", help="measure instead the memory of one scrub")
    parser.add_argument("--out", default=HERE / "scrub.json", help="JSON file, kept up to date part by part")
    parser.add_argument("--write", action="store_true", help="write what the JSON file holds into SCRUB.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())
