"""What is measured in a process of its own, for the sake of its peak memory: one job, given as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.benchmarks.codec.contenders import Floats, activations, attributes
from experiments.benchmarks.machine import in_own_process, metered, peak_mib
from expunge.codec import codec, foci

SMALL = {"foci": 1_000, "codec": 100_000}  # rows of the warm-up
LIMITS = (
    {"task": "foci", "data": "attributes", "n": 20_000, "p": 40, "ties": "random"},
    {"task": "foci", "data": "attributes", "n": 20_000, "p": 40, "ties": "noise"},
    {"task": "codec", "data": "continuous", "n": 1_000_000, "p": 3, "ties": "random"},
    {"task": "codec", "data": "two decimals", "n": 1_000_000, "p": 3, "ties": "random"},
)
AT_MOST = {"foci": {"seconds": 60.0, "mib": 2048.0}, "codec": {"seconds": 30.0}}


def measured_apart(job: dict[str, Any]) -> dict[str, Any]:
    """Run one job in a new process; see ``measure`` for what comes back."""
    return in_own_process(__name__, job)


def with_limits(job: dict[str, Any]) -> dict[str, Any]:
    """Run one job in a new process and hold it against its limits."""
    found = measured_apart(job)
    at_most = AT_MOST[job["task"]]
    met = found["seconds"] <= at_most["seconds"] and found["peak_mib"] <= at_most.get("mib", np.inf)
    return {**job, **found, "at_most": at_most, "met": bool(met)}


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Run a job after a small one of the same kind, which loads and compiles what it needs.

    Args:
        job: ``task`` (foci, codec), ``data``, ``n``, ``p``, ``ties``, and maybe ``threads``.

    Returns:
        ``seconds``; ``peak_mib`` of the whole process; ``call_mib``, how far the call itself went above what
        was held before it; for ``foci`` the ``columns`` it selected, for ``codec`` the ``value``.
    """
    prepared(job, SMALL[job["task"]])()
    call = prepared(job, job["n"])
    before, done = peak_mib(), metered(call)
    answer = {"columns": len(done.result.columns)} if job["task"] == "foci" else {"value": float(done.result)}
    memory = {"peak_mib": max(before, done.peak), "call_mib": done.peak - done.held}
    return {"seconds": done.seconds, **memory, **answer}


def prepared(job: dict[str, Any], n: int) -> Callable[[], Any]:
    """Make the data of a job; the call that is returned does the rest."""
    how = {"ties": job["ties"], "rng": 0, "threads": job.get("threads")}
    if job["task"] == "foci":
        maker = attributes if job["data"] == "attributes" else activations
        columns, y = maker(n, job["p"], 0)
        return lambda: foci(columns, y, **how)
    y, z, x = triple(n, None if job["data"] == "continuous" else 2)
    return lambda: codec(y, z, x, **how)


def triple(n: int, decimals: int | None) -> tuple[Floats, Floats, Floats]:
    """Make y (n,), smooth in z (n,) and x (n, 2), plus noise; rounded, where ``decimals`` says so."""
    rng = np.random.default_rng([n, 3])
    z, x = rng.standard_normal(n), rng.standard_normal((n, 2))
    y = np.sin(x[:, 0]) + z * x[:, 1] + 0.3 * rng.standard_normal(n)
    if decimals is not None:
        y, z, x = (values.round(decimals) for values in (y, z, x))
    return y, z, x


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
