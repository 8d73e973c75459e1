"""How long a feature selection by conditional dependence takes, against two other implementations.

See README.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.codec import growth, limits, tables
from experiments.benchmarks.codec.contenders import (
    Exact,
    Floats,
    Published,
    Scorer,
    Xicorpy,
    activations,
    greedy,
    seconds_along,
)
from experiments.benchmarks.harness import (
    Benchmark,
    Part,
    clock,
    in_turns,
    positive,
    ratio,
    repeated,
    threads_option,
)
from expunge.codec import foci
from expunge.core.versions import version_of

ROWS, COLUMNS = 1_000, (110, 512, 4_810)
WHOLE = 128  # up to so many columns every candidate is timed, and the baselines also select on their own
TOP = 20
SEED = 0
WHAT = {
    "a": "published shape, float32: both searches anew for every candidate",
    "b": "xicorpy: a tree for every candidate",
    "c": "ours, float64",
}


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
    if version_of("xicorpy"):
        baselines["b"] = Xicorpy(x, y)
    for baseline in baselines.values():
        baseline.scores(range(2), ())  # warm-up
    share = p if p <= WHOLE else share

    def along(baseline: Scorer, repeat: int) -> float:
        rng = np.random.default_rng([SEED, n, p, repeat])
        return seconds_along(baseline, path, p, share, rng)

    ways: dict[str, Callable[[int], float]] = {key: partial(along, one) for key, one in baselines.items()}
    ways["c"] = lambda _: clock(lambda: foci(x, y, threads=threads))
    seconds = in_turns(ways, repeats)
    job = {"task": "foci", "data": "activations", "n": n, "p": p, "ties": "random", "threads": threads}
    alone = select_alone(baselines, x) if p <= WHOLE else {}
    return {
        "n": n,
        "p": p,
        "selected": path,
        "share": share if share < p else None,
        "methods": [method_row(key, seconds, alone) for key in seconds],
        "memory": limits.measured_apart(job),
    }


def method_row(key: str, seconds: dict[str, list[float]], alone: dict[str, list[int]]) -> dict[str, Any]:
    """Summarise one method; ratios are of its median, and by repeat, over ours."""
    times = {**repeated(seconds[key]), **ratio(seconds[key], seconds["c"])}
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


def _selection(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    sizes = [compare(ROWS, p, options.repeats, options.share, threads) for p in options.columns]
    return {"repeats": options.repeats, "share": options.share, "sizes": sizes}


def _check(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    return {"top": TOP, "sizes": [check(ROWS, p, threads) for p in options.columns]}


def _growth(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    return growth.measure(options.repeats, threads)


def _limits(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    return {"jobs": [limits.with_limits({**job, "threads": threads}) for job in limits.LIMITS]}


def _ties(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    sizes = [growth.compare_ties(n, options.repeats, threads) for n in growth.TIES_ROWS]
    return {"repeats": options.repeats, "sizes": sizes}


def _arguments(parser: argparse.ArgumentParser) -> None:
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
    threads_option(parser)


BENCHMARK = Benchmark(
    folder=Path(__file__).parent,
    description=__doc__,
    parts={
        "selection": Part(_selection, tables.selection_lines, "Whole selections"),
        "check": Part(_check, tables.check_lines, "The same columns", option="check"),
        "growth": Part(
            _growth, tables.growth_lines, "Growth of a selection", "Time of one selection", option="growth"
        ),
        "limits": Part(_limits, tables.limits_lines, "Large runs", option="growth"),
        "ties": Part(_ties, tables.ties_lines, "Ties", option="growth"),
    },
    arguments=_arguments,
    options={
        "growth": "measure instead growth, memory limits and ties of binary columns",
        "check": "compare instead with a plain selection (ten minutes)",
    },
    libraries=("xicorpy",),
    draw=lambda report, name: growth.draw(report["growth"], name),
)
