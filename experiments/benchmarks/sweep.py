"""What a sweep costs beyond its cells' own computation, and how much sooner two workers end than one.

See README.md, and ``python -m experiments.benchmarks.sweep --help`` in the repository root.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from os import getloadavg
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.removal import environment, positive, spread
from experiments.benchmarks.results import environment_line, short, span, table, times, verdict, write_between
from expunge.core.errors import DataError
from expunge.core.files import write_json
from expunge.linear.parallel import available_cores

HERE = Path(__file__).parent
BEGIN = "<!-- SWEEP RESULTS: written by --write, do not edit between these two lines -->"
END = "<!-- END OF SWEEP RESULTS -->"
GRID = ("dataset=mnist_3v8", "unlearner.lam=1e-4,1e-3,1e-2", "unlearner.std=1,10,100", "removal.count=200")
AT_MOST = {"sweep": 240.0, "overhead": 1.0}  # seconds: the whole grid by one process; a cell after the first
AT_LEAST = 1.6


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the JSON file (and, with ``--write``, the results in README.md)."""
    options = _parser().parse_args(arguments)
    where = environment(available_cores())
    where["load_before"] = round(getloadavg()[0], 2)
    print(environment_line(where), f"Load before: {where['load_before']}.", flush=True)
    report = {"environment": where, **compare(options.overrides or GRID, options.workers, options.repeats)}
    print("\n".join(["", *lines(report)]), flush=True)
    out = Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(out, report)
    if options.write:
        write_into(HERE / "README.md", report)
    return 0


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
    seconds: dict[str, list[float]] = {"one": [], "many": []}
    costs: list[float] = []
    first: list[float] = []
    results: set[bytes] = set()
    cells = 0
    for _ in range(repeats):
        for how, launcher in (("one", ()), ("many", parallel)):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name) / "sweep"
                began = time.time()
                seconds[how].append(_run([*overrides, *launcher], folder))
                results.add((folder / "sweep.csv").read_bytes())
                if how == "one":
                    start, *rest = overheads(folder, began)
                    cells = 1 + len(rest)
                    first.append(start)
                    costs += rest
    if len(results) > 1:
        raise DataError("sweep.csv: one process and several do not come to the same")
    ratios = [a / b for a, b in zip(seconds["one"], seconds["many"], strict=True)]
    ratio = float(np.median(ratios))
    return {
        "overrides": list(overrides),
        "cells": cells,
        "workers": workers,
        "repeats": repeats,
        "seconds": seconds,
        "ratio": ratio,
        "ratio_by_repeat": ratios,
        "first_ms": spread(first),
        "overhead_ms": spread(costs) if costs else None,
        "met": {
            "sweep": max(seconds["one"]) < AT_MOST["sweep"],
            "ratio": ratio >= AT_LEAST,
            "overhead": not costs or max(costs) < AT_MOST["overhead"],
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
    seconds, met, overhead = found["seconds"], found["met"], found["overhead_ms"]
    whole = [
        [
            "one process",
            _seconds(seconds["one"]),
            "1x",
            f"under {AT_MOST['sweep']:.0f} s: {verdict(met['sweep'])}",
        ],
        [
            f"{found['workers']} workers",
            _seconds(seconds["many"]),
            f"{times(found['ratio'])} ({span(found['ratio_by_repeat'])})",
            f"at least {AT_LEAST}x: {verdict(met['ratio'])}",
        ],
    ]
    beyond = [["the first, with the start of the program", _typical(found["first_ms"]), ""]]
    if overhead:
        target = f"each under {AT_MOST['overhead']:.0f} s: {verdict(met['overhead'])}"
        beyond.append(["each after it", _typical(overhead), target])
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


def write_into(page: Path, report: Mapping[str, Any]) -> None:
    """Replace what stands between the two marks of ``page``.

    Raises:
        DataError: A mark is missing.
    """
    write_between(page, BEGIN, END, [environment_line(report["environment"]), "", *lines(report)])


def _seconds(found: Sequence[float]) -> str:
    return f"{short(float(np.median(found)))} ({span(found)})"


def _typical(ms: Mapping[str, Any]) -> str:
    return f"{short(ms['median'] / 1e3)} ({short(ms['p10'] / 1e3)}-{short(ms['p90'] / 1e3)})"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.sweep", description=__doc__)
    parser.add_argument("overrides", nargs="*", help=f"of another sweep (default: {' '.join(GRID)})")
    parser.add_argument("--workers", type=positive, default=2, help="processes (default 2)")
    parser.add_argument("--repeats", type=positive, default=3, help="interleaved repeats (default 3)")
    parser.add_argument("--out", default=HERE / "sweep.json", help="JSON file")
    parser.add_argument("--write", action="store_true", help="write the results into README.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())
