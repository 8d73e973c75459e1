"""Which files and folders a piece of work looks into, and whether they are still as it found them."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

_EVENTS = ("open", "os.listdir", "os.scandir")
_NO_FILES = ("/proc/", "/sys/", "/dev/")  # what libraries ask the system itself
_COARSEST = 2.0  # seconds: what some file systems round times to; a younger file may change without a trace

Stamp = tuple[int, ...]


class FilesRead:
    """Files that Python opens and folders that it lists within ``recording``, as they are at that moment.

    Their own folders count, too: another file may come to lie before one that was read. What libraries of
    other languages open by themselves is not seen. All threads are heard, but for those that are ``apart``.
    """

    def __init__(self) -> None:
        self._stamps: dict[str, Stamp | None] = {}
        self._begun = time.time()

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Note what is read in the block."""
        _listen()
        self._begun = time.time()
        _recorders.append(self)
        try:
            yield
        finally:
            _recorders.remove(self)

    def note(self, path: str) -> None:
        """Note a file or folder, and the folder that it is in."""
        for each in (path, os.path.dirname(path)):
            if each not in self._stamps:
                self._stamps[each] = _stamp(each)

    def unchanged(self) -> bool:
        """Whether all are certainly as they were: what was changed just before may have changed again."""
        newest = (self._begun - _COARSEST) * 1e9
        return all(
            _stamp(path) == stamp and (stamp is None or max(stamp[-2:]) < newest)
            for path, stamp in self._stamps.items()
        )


_recorders: list[FilesRead] = []
_thread = threading.local()


def apart() -> None:
    """Say that what this thread reads from now on belongs to nobody's piece of work: it only looks on."""
    _thread.apart = True


def _stamp(path: str) -> Stamp | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    # The last of these cannot be set by hand.
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@cache
def _listen() -> None:
    sys.addaudithook(_heard)


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    """What Python calls before it opens a file, among much else; it must not fail."""
    if not _recorders or event not in _EVENTS or hasattr(_thread, "apart"):
        return
    path = "." if arguments[0] is None else arguments[0]
    if isinstance(path, (str, bytes, Path)) and not _is_import():
        found = os.path.abspath(os.fsdecode(path))
        for recorder in [] if found.startswith(_NO_FILES) else list(_recorders):
            recorder.note(found)


def _is_import() -> bool:
    """Whether it is the import system that asks."""
    return sys._getframe(2).f_code.co_filename.startswith("<frozen importlib")
