"""How many threads numerical code uses, set in one place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def available_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Use ``count`` threads (None: every core) for compiled passes and BLAS; BLAS is put back afterwards."""
    from threadpoolctl import threadpool_limits

    from expunge.linear.rows import set_threads

    count = count or available_cores()
    set_threads(count)
    with threadpool_limits(limits=count):
        yield
