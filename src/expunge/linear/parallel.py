"""Threads for work on blocks of rows. BLAS gets one thread: ours share the cores without spinning on them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from queue import SimpleQueue
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


def start_threads() -> None:
    """Start the threads that passes over many rows use; they wait for work."""
    _Helpers.at_least(_Setting.threads)


class _Helpers:
    """Threads that wait for work. Nothing of theirs is left locked by an interrupt from the keyboard.

    An executor and its futures may be: their locks are taken by functions of Python.
    """

    lock = threading.Lock()
    count = 0
    tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()

    @classmethod
    def at_least(cls, count: int) -> None:
        if cls.count < count:
            with cls.lock:
                for k in range(cls.count, count):
                    cls.count = k + 1
                    args = (cls.tasks,)
                    threading.Thread(target=_help, args=args, name=f"expunge_{k}", daemon=True).start()

    @classmethod
    def forked(cls) -> None:
        """Forget the threads of the parent, which are not in the child."""
        cls.lock, cls.count, cls.tasks = threading.Lock(), 0, SimpleQueue()


def _help(tasks: SimpleQueue[Callable[[], None]]) -> None:
    while True:
        tasks.get()()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Helpers.forked)


@lru_cache(maxsize=1)
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


class _Limit:
    """The limit on BLAS is the process's: the first thread sets it, the last puts back what there was.

    Whatever interrupts one of them, the next sets right: ``kept`` is there as long as the limit may be.
    """

    lock = threading.Lock()
    inside: set[tuple[int, object]] = set()
    kept: list[tuple[Any, int]] | None = None

    @classmethod
    def set(cls) -> None:
        if cls.kept is None:
            cls.kept = [(library, library.num_threads) for library in _blas().lib_controllers]
        for library, _ in cls.kept:
            cls.change(library, 1)

    @classmethod
    def put_back(cls) -> None:
        for library, threads in cls.kept or ():
            cls.change(library, threads)
        cls.kept = None

    @staticmethod
    def change(library: Any, threads: int) -> None:
        _disown()
        library.set_num_threads(threads)
        _disown()

    @classmethod
    def forked(cls) -> None:
        """Forget the threads of the parent, which are not in the child."""
        cls.lock, own = threading.Lock(), threading.get_ident()
        cls.inside = {one for one in cls.inside if one[0] == own}
        if not cls.inside:
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
    me = threading.get_ident(), object()
    try:
        with _Limit.lock:
            first = not _Limit.inside
            _Limit.inside.add(me)
            if first:
                _Limit.set()
        yield
    finally:
        _Limit.inside.discard(me)
        with _Limit.lock:
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

    done: SimpleQueue[BaseException | None] = SimpleQueue()

    def run(t: int) -> None:
        for k in range(count * t // threads, count * (t + 1) // threads):
            work(k)

    def help_with(t: int) -> None:
        try:
            run(t)
        except BaseException as error:
            done.put(error)
        else:
            done.put(None)

    _Helpers.at_least(_Setting.threads)
    for t in range(1, threads):
        _Helpers.tasks.put(partial(help_with, t))
    run(0)
    for error in [done.get() for _ in range(1, threads)]:
        if error is not None:
            raise error
