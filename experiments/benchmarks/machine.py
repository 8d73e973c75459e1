"""The machine that a benchmark runs on: facts, threads, and processes of their own for peak memory."""

from __future__ import annotations

import json
import platform
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os import getloadavg
from pathlib import Path
from time import perf_counter
from typing import Any, Generic, TypeVar

import torch
from threadpoolctl import threadpool_info, threadpool_limits

from expunge.core.versions import version_of
from expunge.linear.parallel import available_cores, set_threads

ROOT = Path(__file__).parents[2]
MIB = 1024.0

T = TypeVar("T")


@contextmanager
def sharing(threads: int | None) -> Iterator[int]:
    """Give torch, BLAS and compiled passes that many threads, by default one a core; returns how many."""
    count, before = threads or available_cores(), torch.get_num_threads()
    torch.set_num_threads(count)
    set_threads(count)
    try:
        with threadpool_limits(limits=count):  # the library itself keeps BLAS to one thread
            yield count
    finally:
        torch.set_num_threads(before)
        set_threads(None)


def environment(row_threads: int, libraries: Sequence[str] = ()) -> dict[str, Any]:
    """The machine, library versions, the thread settings in force, and what load there is."""
    pools = {
        f"{pool['internal_api']} {pool.get('version') or ''}".strip(): pool["num_threads"]
        for pool in threadpool_info()
    }
    named = ("numpy", "scipy", "torch", "scikit-learn", "numba", *libraries)
    return {
        "processor": _processor(),
        "cores": available_cores(),
        "torch_threads": torch.get_num_threads(),
        "row_threads": row_threads,
        "library_threads": dict(sorted(pools.items())),
        "torch_matmul_precision": torch.get_float32_matmul_precision(),
        "python": platform.python_version(),
        "versions": {name: version_of(name) or "none" for name in named},
        "load_before": round(getloadavg()[0], 2),  # others at work slow the baselines down most
    }


def environment_line(where: Mapping[str, Any]) -> str:
    """Machine, versions and threads in one line."""
    versions = ", ".join(f"{name} {number}" for name, number in where["versions"].items())
    pools = ", ".join(f"{name}: {count}" for name, count in where["library_threads"].items())
    return (
        f"{where['processor']}, {where['cores']} cores; threads: torch {where['torch_threads']}, "
        f"compiled passes {where['row_threads']}, {pools}; Python {where['python']}, {versions}."
    )


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def in_own_process(module: str, job: Mapping[str, Any]) -> dict[str, Any]:
    """Run ``module`` in a new process with a job as JSON; return the JSON on the last line that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", module, json.dumps(job)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@dataclass(frozen=True)
class Metered(Generic[T]):
    """What a call returned, its seconds, and MiB of the process: held before it, at its peak from then on."""

    result: T
    seconds: float
    held: float
    peak: float


def metered(call: Callable[[], T]) -> Metered[T]:
    """Call with an eye on clock and memory; the peak starts again from what is held now."""
    held = forget_peak()
    begin = perf_counter()
    result = call()
    seconds = perf_counter() - begin
    return Metered(result, seconds, held, max(held, peak_mib()))  # a tiny call frees more than it takes


def peak_mib() -> float:
    """The most memory that this process has held at once, or since ``forget_peak``.

    Where Linux tells, by its own account: ``getrusage`` counts the parent's memory too, from before the exec.
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / MIB
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / MIB / (MIB if sys.platform == "darwin" else 1.0)


def forget_peak() -> float:
    """Let the peak start again from what is held now, where the system can; return it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak_mib()
