"""An action in a process of its own, forked from this one, with limits on its memory and time."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from expunge.core.errors import UserError, one_line
from tests.cli import Ended

MEMORY = 4 << 30  # bytes of addresses beyond those that the parent has
SECONDS = 20
CRASHED = 99


@dataclass(frozen=True)
class Outcome:
    """How an action ended.

    Attributes:
        code: Exit code; below zero the signal that ended it.
        err: All that came on standard error, be it from C.
        seconds, grown: Time, and bytes of memory that it has held beyond those at its start.
    """

    code: int
    out: str
    err: str
    seconds: float
    grown: int


def forked(action: Callable[[], Ended], seconds: int = SECONDS, memory: int = MEMORY) -> Outcome:
    """Run ``action`` in a child; one that goes beyond the limits ends by a signal or a ``MemoryError``."""
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as wrong:
        started = time.perf_counter()
        child = os.fork()
        if child == 0:
            _child(action, said.fileno(), wrong.fileno(), seconds, memory)
        status = os.waitpid(child, 0)[1]
        taken = time.perf_counter() - started
        said.seek(0)
        wrong.seek(0)
        found = json.loads(said.read() or b"{}")
        err = wrong.read().decode(errors="replace") + found.get("err", "")
    code = found.get("code", os.waitstatus_to_exitcode(status))
    return Outcome(code, found.get("out", ""), err, taken, found.get("grown", memory))


def forked_each(
    actions: Mapping[str, Callable[[], Ended]], seconds: int = SECONDS, memory: int = MEMORY
) -> dict[str, Outcome]:
    """Run each of ``actions``, one after the other, in a single child, within the limits each.

    One that ends the child is the last; it has the signal for its code.
    """
    found: dict[str, Outcome] = {}
    with tempfile.TemporaryFile() as said:

        def all_of_them() -> Ended:
            for name, action in actions.items():
                started = time.perf_counter()
                os.write(said.fileno(), json.dumps([name]).encode() + b"\n")
                signal.alarm(seconds)
                ended, grown = _measured(action)
                one = [ended.code, ended.out, ended.err, time.perf_counter() - started, grown]
                os.write(said.fileno(), json.dumps([name, *one]).encode() + b"\n")
            return Ended(0, "", "")

        whole = forked(all_of_them, seconds, memory)
        said.seek(0)
        for line in said.read().splitlines():
            name, *one = json.loads(line)
            found[name] = Outcome(*one) if one else whole
    return found


def reading(read: Callable[[], object]) -> Callable[[], Ended]:
    """What a reader of ours does, as the command line would end: its complaints are ``UserError``s."""

    def ended() -> Ended:
        try:
            read()
        except UserError as error:
            return Ended(2, "", f"expunge: {one_line(error)}\n")
        return Ended(0, "", "")

    return ended


def program(main: Callable[[list[str]], int], folder: Path, *arguments: str) -> Callable[[], Ended]:
    """One of the other commands, in a folder."""

    def ended() -> Ended:
        out, err = io.StringIO(), io.StringIO()
        os.chdir(folder)
        with redirect_stdout(out), redirect_stderr(err):
            try:
                code = main(list(arguments))
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
        return Ended(code or 0, out.getvalue(), err.getvalue())

    return ended


def _child(action: Callable[[], Ended], said: int, wrong: int, seconds: int, memory: int) -> None:
    code = CRASHED
    try:
        os.dup2(wrong, 2)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)
        most = _memory("VmSize") + memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        ended, grown = _measured(action)
        found = {"code": ended.code, "out": ended.out, "err": ended.err, "grown": grown}
        os.write(said, json.dumps(found).encode())
        code = 0
    finally:
        os._exit(code)


def _measured(action: Callable[[], Ended]) -> tuple[Ended, int]:
    """How an action ends, and the bytes by which it makes this process grow."""
    Path("/proc/self/clear_refs").write_text("5")  # forgets the largest size so far
    before = _memory("VmRSS")
    try:
        ended = action()
    except BaseException:
        ended = Ended(CRASHED, "", traceback.format_exc())
    return ended, _memory("VmHWM") - before


def _memory(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)
