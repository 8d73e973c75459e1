"""What is measured in a process of its own, for the sake of its peak memory: one job, given as JSON."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from experiments.benchmarks.codec_contenders import Floats, activations, attributes
from expunge.codec import codec, foci

ROOT = Path(__file__).parents[2]
MIB = 1024.0
SMALL = {"foci": 1_000, "codec": 100_000}  # rows of the warm-up
LIMITS = (
    {"task": "foci", "data": "attributes", "n": 20_000, "p": 40, "ties": "random"},
    {"task": "foci", "data": "attributes", "n": 20_000, "p": 40, "ties": "noise"},
    {"task": "codec", "data": "continuous", "n": 1_000_000, "p": 3, "ties": "random"},
    {"task": "codec", "data": "two decimals", "n": 1_000_000, "p": 3, "ties": "random"},
)
AT_MOST = {"foci": {"seconds": 60.0, "mib": 2048.0}, "codec": {"seconds": 30.0}}


def in_own_process(job: dict[str, Any]) -> dict[str, Any]:
    """Run one job in a new process; see ``measure`` for what comes back."""
    command = [sys.executable, "-m", "experiments.benchmarks.codec_limits", json.dumps(job)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def with_limits(job: dict[str, Any]) -> dict[str, Any]:
    """Run one job in a new process and hold it against its limits."""
    found = in_own_process(job)
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
    before, held = peak_mib(), forget_peak()
    begin = perf_counter()
    result = call()
    seconds = perf_counter() - begin
    after = peak_mib()
    memory = {"peak_mib": max(before, after), "call_mib": max(0.0, after - held)}
    answer = {"columns": len(result.columns)} if job["task"] == "foci" else {"value": float(result)}
    return {"seconds": seconds, **memory, **answer}


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


def peak_mib() -> float:
    """The most memory that this process has held at once, or since ``forget_peak``.

    Where Linux tells, by its own account: ``getrusage`` counts the parent's memory too, from before the exec.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / MIB
    except OSError:
        pass
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / MIB / (MIB if sys.platform == "darwin" else 1.0)


def forget_peak() -> float:
    """Let the peak start again from what is held now, where the system can; return it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak_mib()


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
