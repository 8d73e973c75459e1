"""One process at a time: locks on files and folders, which the system takes back however a process ends.

What is locked is a file opened for writing: of folders some network file systems know locks only within one
host.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import SoftFileLock, Timeout, lock_descriptor

log = logging.getLogger(__name__)

LOCK = ".lock"
"""The lock file of a folder, in the folder; names that begin so are no content of it."""
_HELD = ".held"  # where there are no locks
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
# The file is never cut: left-over or planted, what is in it is not ours. A pipe does not make us wait.
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_PATIENCE, _POLL = 0.2, 0.05  # seconds: a process that ends, or has just begun to look, is waited for


class Taken(Exception):
    """Another process holds the lock; its text, if any, says what to do if that process is gone."""


@contextmanager
def exclusive(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold ``path`` for as long as the block runs; other processes that ask for it wait.

    A folder that exists is held by its file ``.lock``, anything else by an empty file of this name. Only its
    owner may open it, and it goes when the block ends; one that was left by a kill is no obstacle. Where the
    file system knows no locks, it is one that says which process on which host has made it: left by a kill on
    another host it is an obstacle, and who waits is told to delete it.

    Raises:
        Taken: Another process holds it, and ``wait`` is False.
        OSError: It cannot be opened, or is a symbolic link.
    """
    file = path / LOCK if path.is_dir() else path
    try:
        descriptor = _locked(file, path, wait)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        with _marked(file, path, wait):
            yield
        return
    try:
        yield
    finally:
        with suppress(OSError):  # before the lock goes: who waits for it sees that its file is gone
            if _is(file, descriptor):
                file.unlink()
        os.close(descriptor)


def _locked(file: Path, path: Path, wait: bool) -> int:
    """A descriptor of ``file`` that holds its lock."""
    until, told = time.monotonic() + _PATIENCE, False
    while True:
        descriptor = _opened(file)
        try:
            if lock_descriptor(descriptor, blocking=False) and _is(file, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if time.monotonic() > until:
            if not wait:
                raise Taken
            if not told:
                log.info("another process is at work on %s: waiting for it", path)
                told = True
        time.sleep(_POLL)


def _opened(file: Path) -> int:
    try:
        return os.open(file, _FLAGS, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            reason = "a symbolic link where the file of a lock goes; delete it"
            raise OSError(errno.ELOOP, reason, str(file)) from None
        raise


def _is(file: Path, descriptor: int) -> bool:
    """Whether an open file still has this name."""
    try:
        return os.path.samestat(os.lstat(file), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextmanager
def _marked(file: Path, path: Path, wait: bool) -> Iterator[None]:
    """Hold a file that is created exclusively and names host and process, as long as the block runs."""
    marker = file.with_name(f"{file.name}{_HELD}")
    lock, hint = SoftFileLock(marker), f"if that process is gone, delete {marker}"
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout:
        if not wait:
            raise Taken(hint) from None
        log.info("another process is at work on %s: waiting for it (%s)", path, hint)
        lock.acquire()
    try:
        yield
    finally:
        with suppress(OSError):
            file.unlink()  # which was opened before it was known that it cannot be locked
        lock.release()
