"""How many threads work that is shared out may use."""

from __future__ import annotations

import os


def available_cores() -> int:
    """Cores this process may run on, no more than OMP_NUM_THREADS where that is a whole number above 0.

    BLAS and torch follow that variable too; clusters set it, and so do process pools in their workers.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "").strip()
    return min(cores, int(limit)) if limit.isdecimal() and int(limit) else cores
