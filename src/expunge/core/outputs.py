"""Standard output and error of a process: they may be closed, full or gone, and no run is lost to that.

The standard library alone is imported here.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any

_STANDARD = (0, 1, 2)
_READER_GONE = (errno.EPIPE, errno.ESHUTDOWN)


class Output(io.FileIO):
    """A descriptor to which nothing more is written once that fails.

    Attributes:
        error: What it failed with; None while it works.
    """

    error: OSError | None = None

    def write(self, content: Any) -> int:
        """Write what can be written; the rest is dropped, and counts as written."""
        if self.error is None:
            try:
                return super().write(content) or 0
            except OSError as error:
                self.error = error
        return memoryview(content).nbytes

    def refused(self) -> OSError | None:
        """What it failed with, other than a reader (``| head``) that has had enough."""
        return None if self.error is None or self.error.errno in _READER_GONE else self.error


def take_outputs() -> Output | None:
    """Put standard output and error behind an ``Output`` each; returns that of the former.

    A standard descriptor that is closed becomes one of the null device: the next file that is opened would
    take its place, and get what is printed. Signs that an output cannot show become question marks.
    """
    for descriptor in _STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)
            os.set_inheritable(descriptor, True)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout, shown = _behind(sys.stdout, 1)
    sys.stderr, _ = _behind(sys.stderr, 2)
    return shown


def _behind(stream: Any, descriptor: int) -> tuple[Any, Output | None]:
    if stream is not None and not (isinstance(stream, io.TextIOWrapper) and stream.fileno() == descriptor):
        return stream, None  # another has put its own there
    raw = Output(descriptor, "wb", closefd=False)
    buffered = io.BufferedWriter(raw)
    lines = descriptor == 2 or raw.isatty()
    encoding = stream.encoding if stream is not None else "utf-8"
    errors = "backslashreplace" if descriptor == 2 else "replace"
    if stream is not None:
        stream.flush()
    text = io.TextIOWrapper(buffered, encoding, errors, line_buffering=lines, write_through=descriptor == 2)
    return text, raw
