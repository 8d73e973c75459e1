"""How long a feature selection by conditional dependence takes, against two other implementations.

See CODEC.md, and ``python -m experiments.benchmarks.codec --help`` in the repository root.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from os import getloadavg
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from experiments.benchmarks import codec_growth, codec_limits, codec_results
from experiments.benchmarks.codec_contenders import (
    Exact,
    Floats,
    Published,
    Scorer,
    Xicorpy,
    activations,
    greedy,
    seconds_along,
)
from experiments.benchmarks.removal import environment, positive
from experiments.benchmarks.results import environment_line
from expunge.codec import foci
from expunge.core.files import write_json
from expunge.linear.parallel import available_cores, set_threads

HERE = Path(__file__).parent
ROWS, COLUMNS = 1_000, (110, 512, 4_810)
WHOLE = 128  # up to so many columns every candidate is timed, and the baselines also select on their own
TOP = 20
SEED = 0
WHAT = {
    "a": "published shape, float32: both searches anew for every candidate",
    "b": "xicorpy: a tree for every candidate",
    "c": "ours, float64",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the JSON file (and, with ``--write``, the results in CODEC.md)."""
    options = _parser().parse_args(arguments)
    out = Path(options.out)
    report: dict[str, Any] = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    count = options.threads or available_cores()
    torch.set_num_threads(count)
    set_threads(count)
    with threadpool_limits(limits=count):
        where = environment(count)
        where["versions"]["xicorpy"] = xicorpy_version() or "none"
        where["load_before"] = round(getloadavg()[0], 2)  # others at work slow the baselines down most
        print(environment_line(where), f"Load before: {where['load_before']}.", flush=True)
        parts = [part for part in ("growth", "limits", "ties") if options.growth]
        parts += [part for part in ("check",) if options.check]
        for part in parts or ["selection"]:
            report[part] = {"environment": where, **_measure(part, options, count)}
            print("\n".join(["", *codec_results.LINES[part](report[part])]), flush=True)
            out.parent.mkdir(parents=True, exist_ok=True)
            write_json(out, report)
    if "growth" in report:
        codec_growth.draw(report["growth"], out.stem).save(out.parent)
    if options.write:
        codec_results.write_into(HERE / "CODEC.md", report)
    return 0


def _measure(part: str, options: argparse.Namespace, threads: int) -> dict[str, Any]:
    repeats = options.repeats
    if part == "selection":
        found = [compare(ROWS, p, repeats, options.share, threads) for p in options.columns]
        return {"repeats": repeats, "share": options.share, "sizes": found}
    if part == "check":
        return {"top": TOP, "sizes": [check(ROWS, p, threads) for p in options.columns]}
    if part == "growth":
        return codec_growth.measure(repeats, threads)
    if part == "limits":
        jobs = [{**job, "threads": threads} for job in codec_limits.LIMITS]
        return {"jobs": [codec_limits.with_limits(job) for job in jobs]}
    sizes = codec_growth.TIES_ROWS
    return {"repeats": repeats, "sizes": [codec_growth.compare_ties(n, repeats, threads) for n in sizes]}


def compare(n: int, p: int, repeats: int, share: int, threads: int) -> dict[str, Any]:
    """Time every implementation on the same data, in turn.

    The baselines are timed on the candidates of each step of our selection, which ``--check`` holds against
    a plain one; up to 128 columns on all candidates, else on ``share`` random ones, scaled.

    Args:
        n: Rows.
        p: Columns.
        repeats: Interleaved repeats.
        share: Candidates at a step.
        threads: Of ours.
    """
    x, y = activations(n, p, SEED)
    path = foci(x, y, threads=threads).columns.tolist()
    baselines: dict[str, Scorer] = {"a": Published(x, y)}
    if xicorpy_version():
        baselines["b"] = Xicorpy(x, y)
    for baseline in baselines.values():
        baseline.scores(range(2), ())  # warm-up
    share = p if p <= WHOLE else share
    seconds: dict[str, list[float]] = {key: [] for key in [*baselines, "c"]}
    for repeat in range(repeats):
        for key, baseline in baselines.items():
            rng = np.random.default_rng([SEED, n, p, repeat])
            seconds[key].append(seconds_along(baseline, path, p, share, rng))
        begin = perf_counter()
        foci(x, y, threads=threads)
        seconds["c"].append(perf_counter() - begin)
    job = {"task": "foci", "data": "activations", "n": n, "p": p, "ties": "random", "threads": threads}
    alone = select_alone(baselines, x) if p <= WHOLE else {}
    return {
        "n": n,
        "p": p,
        "selected": path,
        "share": share if share < p else None,
        "methods": [method_row(key, seconds, alone) for key in seconds],
        "memory": codec_limits.in_own_process(job),
    }


def method_row(key: str, seconds: dict[str, list[float]], alone: dict[str, list[int]]) -> dict[str, Any]:
    """Summarise one method; ratios are of its median, and by repeat, over ours."""
    ours = seconds["c"]
    by_repeat = [theirs / own for theirs, own in zip(seconds[key], ours, strict=True)]
    ratio = float(np.median(seconds[key]) / np.median(ours))
    median = float(np.median(seconds[key]))
    times = {"seconds": seconds[key], "median": median, "ratio": ratio, "ratio_by_repeat": by_repeat}
    return {"key": key, "method": WHAT[key], **times, "alone": alone.get(key)}


def select_alone(baselines: dict[str, Scorer], x: Floats) -> dict[str, list[int]]:
    """Columns that each baseline selects, left to itself with its own way with ties."""
    return {
        key: baseline.select() if isinstance(baseline, Xicorpy) else greedy(baseline, x)[0]
        for key, baseline in baselines.items()
    }


def check(n: int, p: int, threads: int) -> dict[str, Any]:
    """Hold our selection against a plain one over all candidates, and float32 against float64.

    At every step the 20 candidates with the largest exact scores are scored in the published shape in
    float32, and in float64 with the same way of breaking ties (the first row), so that a difference made by
    ties can be told from one made by rounding.
    """
    x, y = activations(n, p, SEED)
    found = foci(x, y, rng=SEED, threads=threads)
    order = np.random.default_rng(SEED).permutation(n)
    columns, history = greedy(Exact(x, y, order, threads), x)
    single, double = Published(x, y), Exact(x, y)
    steps: list[dict[str, Any]] = []
    for step, scores in enumerate(history):
        top = [int(column) for column in np.argsort(-scores, kind="stable")[:TOP] if scores[column] > -np.inf]
        steps.append(
            {
                "exact": _choice(top, scores[top]),
                "float32": _choice(top, single.scores(top, columns[:step])),
                "float64_first": _choice(top, double.scores(top, columns[:step])),
            }
        )
    bests = [float(scores.max()) for scores in history[: len(columns)]]
    gap = np.abs(np.array(bests) - found.scores).max() if len(bests) == len(found.scores) else None
    return {
        "n": n,
        "p": p,
        "columns": columns,
        "same": columns == found.columns.tolist(),
        "largest_score_difference": None if gap is None else float(gap),
        "steps": steps,
        "float32_differs": _steps_where(steps, "float32", "exact"),
        "by_rounding": _steps_where(steps, "float32", "float64_first"),
    }


def _choice(columns: Sequence[int], scores: Sequence[float] | NDArray[np.float64]) -> int | None:
    best = int(np.argmax(scores))
    return columns[best] if scores[best] > 0 else None


def _steps_where(steps: Sequence[dict[str, Any]], one: str, other: str) -> list[int]:
    return [number for number, step in enumerate(steps, start=1) if step[one] != step[other]]


def xicorpy_version() -> str | None:
    """Return its version, or None where it is not installed: then it is left out."""
    try:
        return version("xicorpy")
    except PackageNotFoundError:
        return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.codec", description=__doc__)
    parser.add_argument("--repeats", type=positive, default=3, help="interleaved repeats (default 3)")
    parser.add_argument(
        "--share", type=positive, default=24, help="candidates of the baselines timed at a step (default 24)"
    )
    parser.add_argument(
        "--columns",
        type=positive,
        nargs="+",
        default=COLUMNS,
        help="numbers of columns (default 110 512 4810)",
    )
    parser.add_argument("--threads", type=positive, help="for torch, BLAS and ours (default all cores)")
    parser.add_argument(
        "--growth",
        action="store_true",
        help="measure instead growth, memory limits and ties of binary columns",
    )
    parser.add_argument(
        "--check", action="store_true", help="compare instead with a plain selection (ten minutes)"
    )
    parser.add_argument("--out", default=HERE / "codec.json", help="JSON file, kept up to date part by part")
    parser.add_argument("--write", action="store_true", help="write what the JSON file holds into CODEC.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())
