"""How much memory a process can still have."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path


def available_memory() -> float:
    """Return the bytes that this process can still take; infinity where the system does not say.

    The least of what the machine has free or can free (Linux; elsewhere all that it has), what the process's
    control group leaves it, and what its limit on address space does (``ulimit -v``).
    """
    return max(0.0, min(_of_machine(), _of_group(), _of_limit()))


def _of_machine() -> float:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        names = getattr(os, "sysconf_names", {})
        if "SC_PHYS_PAGES" not in names:
            return math.inf
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")


def _of_group() -> float:
    try:
        most, held = (Path(f"/sys/fs/cgroup/memory.{name}").read_text() for name in ("max", "current"))
    except OSError:
        return math.inf
    return math.inf if most.strip() == "max" else float(most) - float(held)


def _of_limit() -> float:
    if sys.platform != "linux":  # elsewhere a process cannot read what it holds without a library
        return math.inf
    import resource

    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return math.inf if most == resource.RLIM_INFINITY else float(most - pages * resource.getpagesize())
