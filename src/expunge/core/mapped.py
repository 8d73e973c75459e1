"""Arrays mapped from files, and what is done when such a file changes in place.

The bytes of a mapped file come from the disk whenever they are used. One that is cut short ends a process by
SIGBUS; one that is written over gives other numbers without a word. A file that takes the place of another by
renaming does no harm: the mapping keeps the old one.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from mmap import ALLOCATIONGRANULARITY, mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import DataError, one_line
from expunge.core.hashing import sha256_of
from expunge.core.regular import open_regular

_BLOCK = 1 << 22
_MESSAGE = ctypes.create_string_buffer(4096)  # what a process says when it ends; must outlive all handlers
_BAD_INPUT = 2
_CURE = (
    "nothing that was computed since is recorded; a file that is in use is replaced by renaming a new one"
    " over it, never in place"
)


@dataclass
class _Mapped:
    """A part of a file that is mapped.

    Attributes:
        path: What the file was called when it was mapped.
        descriptor: The file itself, whatever goes by that name by now.
        start, size: Where its part is, in bytes.
        stamp: Its size and time when it was last known to be as it was.
        digest: SHA-256 of the part; None outside ``watched``.
    """

    path: Path
    descriptor: int
    start: int
    size: int
    stamp: tuple[int, int]
    digest: str | None

    def now(self) -> tuple[int, int]:
        status = os.fstat(self.descriptor)
        return status.st_size, status.st_mtime_ns

    def content(self) -> str:
        """SHA-256 of the part, read and not through the mapping: what is missing is no fault here."""

        def blocks() -> Iterator[bytes]:
            left = self.size
            while left and (block := os.read(self.descriptor, min(_BLOCK, left))):
                yield block
                left -= len(block)

        os.lseek(self.descriptor, self.start, os.SEEK_SET)
        return sha256_of(blocks())

    def changed(self, thorough: bool) -> bool:
        """Whether its bytes are others; a mere new time is forgiven."""
        now = self.now()
        if now == self.stamp and not thorough:
            return False
        if (self.digest is None and now != self.stamp) or (self.digest and self.content() != self.digest):
            return True
        self.stamp = now
        return False


@dataclass
class _Watch:
    """What is mapped in this process, and whether somebody is to be told when a page is gone."""

    live: weakref.WeakKeyDictionary[mmap, _Mapped] = field(default_factory=weakref.WeakKeyDictionary)
    wanted: bool = False
    before: int | None = None  # the handler of SIGBUS that ours has replaced

    def install(self) -> None:
        names = sorted({str(mapped.path) for mapped in self.live.values()})
        which = ("one of " if len(names) > 1 else "") + ", ".join(names)
        said = f"expunge: {which}: was cut short or removed from its disk while it was being read; {_CURE}"
        start = "\n" if sys.stderr.isatty() else ""  # a bar may stand there
        text = f"{start}{one_line(said)}"[: len(_MESSAGE) // 4]
        _MESSAGE.value = f"{text}\n".encode(errors="replace")
        if self.before is None and hasattr(signal, "SIGBUS"):
            self.before = _signal()(signal.SIGBUS, _handler().address) or 0

    def restore(self) -> None:
        if self.before is not None:
            _signal()(signal.SIGBUS, self.before)
            self.before = None


_watch = _Watch()


def map_array(path: Path, dtype: Any, shape: tuple[int, ...], offset: int, order: Any) -> NDArray[Any]:
    """Return a read-only array whose entries lie in a file from byte ``offset`` on.

    Raises:
        OSError, ValueError: The file cannot be opened, or is shorter.
    """
    with open_regular(path) as file:
        descriptor = os.dup(file.fileno())
        try:
            mapped = _Mapped(path, descriptor, offset, 0, (0, 0), None)
            mapped.stamp = mapped.now()
            array = np.memmap(file, dtype, "r", offset, shape, order)
        except BaseException:
            os.close(descriptor)
            raise
    mapping: mmap = array._mmap  # type: ignore[attr-defined]
    weakref.finalize(mapping, os.close, descriptor)
    mapped.size = array.nbytes
    _watch.live[mapping] = mapped
    if _watch.wanted:
        _watch.install()
        mapped.digest = mapped.content()
    return array


def place_in_file(array: NDArray[Any]) -> tuple[Path, int] | None:
    """The file that an array is mapped from, and the byte at which it begins there; None for another."""
    mapping = getattr(array, "_mmap", None)
    if mapping is None or (mapped := _watch.live.get(mapping)) is None:
        return None
    start = mapped.start - mapped.start % ALLOCATIONGRANULARITY
    base = np.frombuffer(mapping, dtype=np.uint8).ctypes.data
    return mapped.path, start + array.ctypes.data - base


def require_unchanged(thorough: bool = False) -> None:
    """See that all files that are mapped are as they were when they were mapped.

    Size and time of each are looked at, and its bytes where these differ; all bytes if ``thorough``.

    Raises:
        DataError: One is not.
    """
    if any([mapped.changed(thorough) for mapped in _watch.live.values()]):
        gc.collect()  # what nobody uses any more does not count
        for mapped in _watch.live.values():
            if mapped.changed(thorough):
                raise DataError(f"{mapped.path}: was changed in place while it was being read; {_CURE}")


@contextmanager
def watched() -> Iterator[None]:
    """Say which mapped file has changed where an error comes of it, be it that the process ends.

    A page that is gone ends the process with one line on standard error and exit code 2, whatever thread
    needs it: no Python can run then.

    Raises:
        DataError: A mapped file has changed, and any other error was raised.
    """
    _watch.wanted = True
    if _watch.live:
        _watch.install()
    try:
        yield
    except Exception:
        require_unchanged()
        raise
    finally:
        _watch.wanted = False
        _watch.restore()


@cache
def _signal() -> Any:
    """``signal`` of the C library; Python's own would only note the signal, and it would come again."""
    found = ctypes.CDLL(None).signal
    found.argtypes, found.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    return found


@cache
def _handler() -> Any:
    """A compiled function that writes the message and ends the process."""
    from numba import cfunc, types

    library = ctypes.CDLL(None)
    write, length, leave = library.write, library.strlen, library._exit
    write.argtypes, write.restype = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t), ctypes.c_ssize_t
    length.argtypes, length.restype = (ctypes.c_void_p,), ctypes.c_size_t
    leave.argtypes, leave.restype = (ctypes.c_int,), None
    message, code = ctypes.addressof(_MESSAGE), _BAD_INPUT

    @cfunc(types.void(types.int32))
    def end(number: int) -> None:
        write(2, message, length(message))
        leave(code)

    return end
