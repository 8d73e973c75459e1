"""What a sweep costs beyond its cells' own computation, and how much sooner two workers end than one.

See README.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.harness import WHOLE, Benchmark, Part, in_turns, positive, ratio, repeated, spread
from experiments.benchmarks.tables import factor, seconds, table, typical, verdict
from expunge.core.errors import DataError

GRID = (
    *("dataset=mnist_3v8", "unlearner=newton", "removal.count=200"),
    *("unlearner.lam=1e-4,1e-3,1e-2", "unlearner.std=1,10,100"),
)
AT_MOST = {"sweep": 240.0, "overhead": 1.0}  # seconds: the whole grid by one process; a cell after the first
AT_LEAST = 1.6


def measure(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    """Sweep the grid, or what the options name instead."""
    return compare(options.overrides or GRID, options.workers, options.repeats)


def compare(overrides: Sequence[str], workers: int, repeats: int) -> dict[str, Any]:
    """Run a sweep by one process and by ``workers``, in turns, each time in a new folder with an empty cache.

    Args:
        overrides: What ``expunge -m`` is asked for.
        workers: Processes of joblib's launcher.
        repeats: Turns.

    Raises:
        DataError: A sweep failed, or two of them did not come to the same.
    """
    parallel = ("hydra/launcher=parallel", f"hydra.launcher.n_jobs={workers}")
    costs: list[list[float]] = []
    results: set[bytes] = set()

    def sweep(launcher: Sequence[str], repeat: int) -> float:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "sweep"
            began = time.time()
            seconds = _run([*overrides, *launcher], folder)
            results.add((folder / "sweep.csv").read_bytes())
            if not launcher:
                costs.append(overheads(folder, began))
        return seconds

    taken = in_turns({"one": partial(sweep, ()), "many": partial(sweep, parallel)}, repeats)
    if len(results) > 1:
        raise DataError("sweep.csv: one process and several do not come to the same")
    by_repeat = ratio(taken["one"], taken["many"])["ratio_by_repeat"]
    sooner = float(np.median(by_repeat))
    after = [seconds for repeat in costs for seconds in repeat[1:]]
    return {
        "overrides": list(overrides),
        "cells": len(costs[-1]),
        "workers": workers,
        "repeats": repeats,
        "seconds": taken,
        "ratio": sooner,
        "ratio_by_repeat": by_repeat,
        "first_ms": spread([repeat[0] for repeat in costs]),
        "overhead_ms": spread(after) if after else None,
        "met": {
            "sweep": max(taken["one"]) < AT_MOST["sweep"],
            "ratio": sooner >= AT_LEAST,
            "overhead": not after or max(after) < AT_MOST["overhead"],
        },
    }


def _run(arguments: Sequence[str], folder: Path) -> float:
    """Seconds of one command, from its start to its end."""
    command = [sys.executable, "-m", "expunge", "-m", *arguments]
    places = [f"hydra.sweep.dir={folder}", f"cache_dir={folder.parent / 'cache'}"]
    began = time.perf_counter()
    ended = subprocess.run([*command, *places], capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if ended.returncode:
        raise DataError(f"{' '.join(arguments)}: {ended.stderr.strip().splitlines()[-1]}")
    return seconds


def overheads(sweep: Path, began: float) -> list[float]:
    """Seconds of each cell that were not its own computation, in the order of a sweep by one process.

    A cell lasts from the end of the one before (``DONE``) to its own. Its computation lasts from when its
    configuration is on disk to its summary: fit, removals, metrics, ledger, checkpoints.

    Args:
        sweep: Its folder.
        began: When the command was started, in seconds since the epoch.
    """
    found = json.loads((sweep / "sweep.json").read_text())
    costs = []
    for run in dict.fromkeys(cell["run"] for cell in found["cells"]):
        own = _written(sweep / run / "summary.json") - _written(sweep / run / ".hydra" / "overrides.yaml")
        end = _written(sweep / run / "DONE")
        costs.append(end - began - own)
        began = end
    return costs


def _written(path: Path) -> float:
    return path.stat().st_mtime_ns / 1e9


def lines(found: Mapping[str, Any]) -> list[str]:
    """The tables, in Markdown."""
    taken, met, overhead = found["seconds"], found["met"], found["overhead_ms"]
    whole = [
        [
            "one process",
            seconds(repeated(taken["one"])),
            "1x",
            f"under {AT_MOST['sweep']:.0f} s: {verdict(met['sweep'])}",
        ],
        [
            f"{found['workers']} workers",
            seconds(repeated(taken["many"])),
            factor(found),
            f"at least {AT_LEAST}x: {verdict(met['ratio'])}",
        ],
    ]
    beyond = [["the first, with the start of the program", typical(found["first_ms"], per=1e3), ""]]
    if overhead:
        target = f"each under {AT_MOST['overhead']:.0f} s: {verdict(met['overhead'])}"
        beyond.append(["each after it", typical(overhead, per=1e3), target])
    return [
        f"`expunge -m {' '.join(found['overrides'])}`: {found['cells']} cells, interleaved repeats: "
        f"{found['repeats']}, each in a new folder; the same `sweep.csv` every time.",
        "",
        *table("sweep by|seconds (range)|sooner than one, by repeat|target", whole),
        "",
        *table(
            "cell of the sweep by one process|seconds beyond its own computation (p10-p90)|target", beyond
        ),
    ]


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("overrides", nargs="*", help=f"of another sweep (default: {' '.join(GRID)})")
    parser.add_argument("--workers", type=positive, default=2, help="processes (default 2)")


BENCHMARK = Benchmark(
    folder=Path(__file__).parent,
    description=__doc__,
    parts={WHOLE: Part(measure, lines)},
    arguments=_arguments,
)
