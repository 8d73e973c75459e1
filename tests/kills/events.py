"""File-system events of a piece of work, numbered, and an end of the process at any of them.

Events are: a file is opened for writing, written to, flushed to the disk, cut, renamed, linked or deleted; a
folder is made, or deleted. An end comes before the event; that of a write comes when half of it is written.
"""

from __future__ import annotations

import builtins
import io
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

KILLED = 137
_NAMED = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True)
class Done:
    """How a piece of work ended: its exit code, the events it came to, and what it printed."""

    code: int
    events: list[str] = field(repr=False)
    said: str = field(repr=False)


def ended(work: Callable[[], int], root: Path, at: int | None = None) -> Done:
    """Do ``work`` in a process of its own, which inherits all that is loaded here and ends at event ``at``.

    Only events under ``root`` count, from 0.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as told:
        child = os.fork()
        if not child:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
            _do(work, _Counter(root, at, told.fileno()))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        told.seek(0)
        return Done(code, told.read().decode().splitlines(), out.read().decode(errors="replace"))


def _do(work: Callable[[], int], counter: _Counter) -> None:
    code = 70
    try:
        counter.watch()
        code = work()
    except BaseException:
        import traceback

        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


class _Counter:
    def __init__(self, root: Path, at: int | None, told: int) -> None:
        self.root, self.at, self.told, self.count = f"{root.resolve()}{os.sep}", at, told, 0

    def watch(self) -> None:
        """Count from now on, for as long as the process lives."""
        opened, flushed = io.open, os.fsync

        def counted(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, *rest, **named):
            if buffering != -1 or not set("wxa") & set(mode) or "+" in mode or not self._counts(file):
                return opened(file, mode, buffering, encoding, errors, newline, *rest, **named)
            written = _Written(io.FileIO(file, mode.replace("b", "").replace("t", ""), *rest, **named), self)
            return written if "b" in mode else io.TextIOWrapper(written, encoding, errors, newline)

        def fsync(descriptor):
            number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
            self.at_path("fsync", os.readlink(f"/proc/self/fd/{number}"))
            flushed(descriptor)

        builtins.open = io.open = counted
        os.fsync = fsync
        sys.addaudithook(self._heard)

    def at_path(self, what: str, path: str) -> bool:
        """Count an event, if it is one, and end at it if that is asked for; of a write only say so."""
        if not self._counts(path):
            return False
        os.write(self.told, f"{what} {path.removeprefix(self.root)}\n".encode())
        over = self.count == self.at
        self.count += 1
        if over and what != "write":
            os._exit(KILLED)
        return over

    def _counts(self, path: object) -> bool:
        return isinstance(path, (str, os.PathLike)) and os.path.abspath(path).startswith(self.root)

    def _heard(self, event: str, arguments: tuple) -> None:
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES:
            if isinstance(arguments[0], (str, os.PathLike)):
                self.at_path("open", os.path.abspath(os.fspath(arguments[0])))
        elif event in _NAMED and isinstance(arguments[0], (str, os.PathLike)):
            place = arguments[-1] if event in ("os.remove", "os.rmdir", "os.mkdir") else -1
            base = os.readlink(f"/proc/self/fd/{place}") if isinstance(place, int) and place >= 0 else ""
            self.at_path(event.removeprefix("os."), os.path.abspath(os.path.join(base, arguments[0])))


class _Written(io.BufferedWriter):
    def __init__(self, raw: io.FileIO, counter: _Counter) -> None:
        super().__init__(raw)
        self._counter = counter

    def write(self, content) -> int:
        if self._counter.at_path("write", os.path.abspath(self.raw.name)):
            view = memoryview(content).cast("B")
            super().write(view[: len(view) // 2])
            self.flush()
            os._exit(KILLED)
        return super().write(content)
