"""Time of one removal against the number of rows, with and without a pass over them."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks import growth
from experiments.benchmarks.machine import metered, sharing
from experiments.benchmarks.removal.contenders import Clock, take_turns
from experiments.benchmarks.rowless.engines import Passing, Served, another, published, releasing
from experiments.benchmarks.rowless.tasks import DIM, Task, synthetic
from experiments.benchmarks.tables import short, table, verdict
from expunge.linear.parallel import available_cores
from expunge.linear.rows import Array
from expunge.unlearners.newton import Newton

SIZES, LARGEST = (10_000, 100_000, 1_000_000), 10_000_000
LAM, STD = 1e-3, 0.08
METHODS = {
    "fresh": "fresh, as published",
    "corrected": "corrected, release by float noise",
    "rowless": "rowless, release by float noise",
    "lattice": "rowless, release by the lattice",
    "pass": "rowless, with a pass",
}
TARGETS = ("rowless", "lattice")
COMPARED = ("corrected", "rowless")
AT_MOST_MS = 5.0
_HEADS = "n|training (wall, all cores), s|its peak, MiB|added by removals, MiB"
_METERED = 10  # more requests, whose memory is told
_FEW = 20  # requests without a pass for one with


def part(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    """Time every method at every number of rows; at the largest those alone that need no pass."""
    sizes = [n for n in (*SIZES, LARGEST) if n <= (LARGEST if options.ten_million else options.most)]
    clock = process_time if options.processor else perf_counter
    found = [
        at(n, options.removals, options.repeats, n < LARGEST or options.all_methods, clock) for n in sizes
    ]
    series = growth.series("n", sizes, [one["seconds"] for one in found], {"d": DIM}, COMPARED)
    return {
        "removals": options.removals,
        "repeats": options.repeats,
        "processor": options.processor,
        "setting": {"lam": LAM, "std": STD},
        "by_rows": series,
        "found": [one["rows"] for one in found],
        "training": [one["training"] for one in found],
    }


def at(n: int, removals: int, repeats: int, every: bool, clock: Clock, dim: int = DIM) -> dict[str, Any]:
    """Time the methods at ``n`` rows, which lie in a file; a training may use all cores."""
    with tempfile.TemporaryDirectory() as folder:
        task = synthetic(n, Path(folder), dim)
        return compare(task, removals, repeats, every, clock)


def compare(task: Task, removals: int, repeats: int, every: bool, clock: Clock) -> dict[str, Any]:
    """Time the methods on a task, in turns; without ``every`` only those that need no pass."""
    n, few = len(task.rows), max(1, removals // _FEW)

    def served(key: str, model: Newton, count: int) -> Served:
        return Served(key, METHODS[key], model, task.rows, task.y, count)

    with sharing(available_cores()):
        fitted = metered(lambda: releasing(task.rows, task.y, LAM, std=STD))
        model = fitted.result
        contenders = [
            served("rowless", model, removals),
            served("lattice", another(model, "lattice", STD), removals),
        ]
        if every:
            passing = another(model, std=STD)
            contenders.append(Passing("pass", METHODS["pass"], passing, task.rows, task.y, few))
            corrected = releasing(task.rows, task.y, LAM, "corrected", std=STD)
            contenders.append(served("corrected", corrected, few))
            contenders.append(served("fresh", published(task.rows, task.y, LAM), few))
    count = removals * repeats + 1
    stream = np.random.default_rng([0, n]).permutation(n)[: count + _METERED].tolist()
    seconds = take_turns(contenders, stream[:count], repeats, clock)
    passed = {one.key: one.passed() for one in contenders}
    more = metered(lambda: [contenders[0].serve([row]) for row in stream[count:]])
    rows: dict[str, dict[str, Any]] = {
        one.key: {**told(np.concatenate(seconds[one.key]), passed[one.key]), **one.facts()}
        for one in contenders
    }
    for key in TARGETS:
        rows[key]["met"] = rows[key]["p95"] <= AT_MOST_MS
    medians = {key: rows[key]["median"] / 1e3 if key in rows else None for key in METHODS}
    training = {"seconds": fitted.seconds, "mib": fitted.peak, "more_mib": more.peak - more.held}
    return {"rows": {"n": n, **rows}, "seconds": medians, "training": training}


def told(seconds: Array, passed: NDArray[np.bool_]) -> dict[str, Any]:
    """Milliseconds of those requests that took no pass over the rows; where all took one, of all.

    Median, 95th percentile, largest, and how many; of all that were timed the mean, and how many.
    """
    own = seconds[~passed[-len(seconds) :]]
    own = own if own.size else seconds
    median, p95, largest = (float(q) for q in 1e3 * np.percentile(own, (50, 95, 100)))
    mean = 1e3 * float(np.mean(seconds))
    return {
        "median": median,
        "p95": p95,
        "largest": largest,
        "count": own.size,
        "timed": seconds.size,
        "mean": mean,
    }


def lines(measured: dict[str, Any]) -> list[str]:
    """Times of every method, the requests that are to keep to a time, and trainings, in Markdown."""
    heads = "|".join([*(f"{METHODS[key]}, ms" for key in METHODS), "{} / {}".format(*COMPARED)])
    targets = [
        [
            f"{one['n']:,}",
            METHODS[key],
            *(short(one[key][name]) for name in ("median", "p95", "largest")),
            f"{one[key]['count']} of {one[key]['timed']}",
            short(one[key]["mean"]),
            f"{one[key]['residual'] / one[key]['bound']:.3g}",
            f"at most {AT_MOST_MS:g} ms: {verdict(one[key]['met'])}",
        ]
        for one in measured["found"]
        for key in TARGETS
    ]
    trainings = [
        [f"{one['n']:,}", *(short(made[key]) for key in ("seconds", "mib", "more_mib"))]
        for one, made in zip(measured["found"], measured["training"], strict=True)
    ]
    setting = measured["setting"]
    whose = "Processor time, not wall time" if measured["processor"] else "Wall time"
    return [
        f"{whose}; lam {setting['lam']:g}, std {setting['std']:g}; {measured['repeats']} interleaved repeats "
        f"of {measured['removals']} requests of one row (what needs a pass: a {_FEW}th of them).",
        "",
        *growth.lines([measured["by_rows"]], heads, 1e3),
        "",
        *table("n|method|median ms|p95|largest|without a pass|mean of all|residual / bound|target", targets),
        "",
        *table(_HEADS, trainings),
    ]
