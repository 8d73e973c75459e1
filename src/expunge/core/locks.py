"""One process at a time: locks on files and folders, which the system takes back however a process ends."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)


class Taken(Exception):
    """Another process holds the lock."""


@contextmanager
def exclusive(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold ``path`` for as long as the block runs; other processes that ask for it wait.

    A folder is locked itself; anything else by an empty file of this name, which goes when the block ends.
    Where the system or its file system knows no such locks, nothing is held, with a warning.

    Args:
        path: A folder that exists, or a name for a file in one.
        wait: False: do not wait for another process.

    Raises:
        Taken: Another process holds it, and ``wait`` is False.
        OSError: It cannot be opened.
    """
    if fcntl is None:
        log.warning("this system has no file locks: nothing else must write to %s meanwhile", path)
        yield
        return
    folder = path.is_dir()
    descriptor = _taken(path, folder, wait)
    try:
        yield
    finally:
        if not folder:
            path.unlink(missing_ok=True)
        os.close(descriptor)  # which gives the lock back


def _taken(path: Path, folder: bool, wait: bool) -> int:
    """Return a descriptor that holds the lock."""
    while True:
        descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor, path, wait)
            # While we waited, whoever held it may have deleted the file: then it locks nothing any more.
            if _still_there(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _still_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _lock(descriptor: int, path: Path, wait: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    except BlockingIOError:
        if not wait:
            raise Taken(str(path)) from None
    except OSError as error:  # some network file systems
        log.warning("%s: cannot be locked (%s): nothing else must write to it", path, error.strerror)
        return
    log.info("another process is at work on %s: waiting for it", path)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
