"""One process at a time: locks on files and folders, which the system takes back however a process ends."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout, has_fcntl, lock_descriptor

log = logging.getLogger(__name__)

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # of some network file systems


class Taken(Exception):
    """Another process holds the lock."""


@contextmanager
def exclusive(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold ``path`` for as long as the block runs; other processes that ask for it wait.

    A folder that exists is locked itself; anything else by an empty file of this name, which goes when the
    block ends. Where the file system knows no such locks, nothing is held, with a warning.

    Raises:
        Taken: Another process holds it, and ``wait`` is False.
        OSError: It cannot be opened.
    """
    if path.is_dir() and has_fcntl:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            _take(lambda blocking: lock_descriptor(descriptor, blocking=blocking), path, wait)
            yield
        finally:
            os.close(descriptor)  # which gives the lock back
        return
    file = path.with_name(f".{path.name}.lock") if path.is_dir() else path  # where folders cannot be opened
    lock = FileLock(file)
    _take(lambda blocking: lock.acquire(blocking=blocking), path, wait)
    try:
        yield
    finally:
        with suppress(OSError):  # before the lock goes: filelock sees that it waits for a file that is gone
            file.unlink()
        lock.release()


def _take(take: Callable[[bool], Any], path: Path, wait: bool) -> None:
    try:
        if take(False):
            return
    except Timeout:
        pass
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        log.warning("%s: cannot be locked (%s): nothing else must write to it", path, error.strerror)
        return
    if not wait:
        raise Taken(str(path))
    log.info("another process is at work on %s: waiting for it", path)
    take(True)
