"""Threads for work on blocks of rows. BLAS gets one thread: ours share the cores without spinning on them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from expunge.core.cores import available_cores

_MANY = 200_000  # numbers to read before waking a thread costs less than it saves


class _Setting:
    threads = available_cores()


def set_threads(count: int | None) -> None:
    """Use this many threads in the whole process; None: ``available_cores()``.

    Results are the same for any number.
    """
    _Setting.threads = max(1, int(count)) if count else available_cores()


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="expunge")


if hasattr(os, "register_at_fork"):  # threads do not survive a fork: a child makes its own
    os.register_at_fork(after_in_child=_pool.cache_clear)


@lru_cache(maxsize=1)
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


class _Limit:
    """The limit on BLAS is the process's: the first thread sets it, the last puts back what there was."""

    lock = threading.Lock()
    inside = 0
    own = threading.local()
    kept: Any = None

    @classmethod
    def set(cls) -> None:
        _disown()
        cls.kept = _blas().limit(limits=1, user_api="blas")
        _disown()

    @classmethod
    def put_back(cls) -> None:
        _disown()
        cls.kept.restore_original_limits()
        _disown()

    @classmethod
    def forked(cls) -> None:
        """Forget the threads of the parent, which are not in the child."""
        cls.lock, inside, cls.inside = threading.Lock(), cls.inside, getattr(cls.own, "depth", 0)
        if inside and not cls.inside:
            cls.put_back()


def _disown() -> None:
    """Let any thread change the limit: threadpoolctl ignores all but the one that changed it first."""
    from threadpoolctl import OpenBLASController

    if hasattr(OpenBLASController, "clear_controlling_thread"):  # since 3.8
        OpenBLASController.clear_controlling_thread(force=True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Limit.forked)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS to the calling thread, as long as any thread is within.

    Its own threads wait for each other by spinning: on a busy machine an inversion of 40 ms takes seconds.
    """
    _Limit.own.depth = getattr(_Limit.own, "depth", 0) + 1
    with _Limit.lock:
        if not _Limit.inside:
            _Limit.set()
        _Limit.inside += 1
    try:
        yield
    finally:
        _Limit.own.depth -= 1
        with _Limit.lock:
            _Limit.inside -= 1
            if not _Limit.inside:
                _Limit.put_back()


def for_each(work: Callable[[int], None], count: int, numbers: int) -> None:
    """Call ``work(k)`` for k in 0..count-1; each thread takes one contiguous run of them.

    ``work`` must release the interpreter lock to gain anything, and write only what is its own. Together they
    read this many ``numbers``; a few are not worth a thread.
    """
    threads = min(_Setting.threads, count)
    if threads == 1 or numbers < _MANY:
        for k in range(count):
            work(k)
        return

    def run(t: int) -> None:
        for k in range(count * t // threads, count * (t + 1) // threads):
            work(k)

    others = [_pool(_Setting.threads).submit(run, t) for t in range(1, threads)]
    run(0)
    for other in others:
        other.result()
