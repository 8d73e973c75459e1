"""Running one row as a sweep of its own process, and what became of it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import current_thread, main_thread

from expunge.core.ends import Terminated, ended_by
from expunge.core.errors import UserError
from expunge.reproduce.expected import PaperRow
from expunge.reproduce.sweep_cells import FILE, FinishedSweep, read_sweep
from expunge.run.config_files import quoted

BAD_INPUT = 2
_STDERR = 2  # of this process: what the runs print is no part of the table


class Absent(Exception):
    """What the row needs is not at hand; the text says what to put where."""


class Unfinished(Exception):
    """The command ended without leaving a sweep, for no reason that is known here."""


def command(row: PaperRow, folder: Path, reduced: bool, overrides: Sequence[str]) -> list[str]:
    """The arguments of ``expunge`` for a row; given again, they run only what is missing."""
    asked = [f"+experiment={row.experiment}", *(["reduced=true"] if reduced else [])]
    return ["-m", *asked, f"hydra.sweep.dir={quoted(str(folder))}", *overrides]


def run_row(row: PaperRow, folder: Path, reduced: bool, overrides: Sequence[str]) -> FinishedSweep:
    """Run a row to its end, or on from where it stopped, and read the sweep that it leaves.

    Raises:
        Absent: Every run was refused for want of what the row needs and may not be at hand.
        UserError: The command or every run was refused for its settings; the line has been printed.
        Unfinished: It ended in another way without a sweep.
        KeyboardInterrupt: It was interrupted.
        Terminated: It was asked to end.
    """
    before = _stamp(folder)
    code = _run([sys.executable, "-m", "expunge", *command(row, folder, reduced, overrides)])
    if (signalled := ended_by(code)) is not None:
        raise signalled
    if _stamp(folder) in (None, before):
        if code == BAD_INPUT:
            raise UserError(f"{row.name}: the command was refused, see the line above")
        raise Unfinished(f"the command ended with exit code {code} before it left a {FILE}")
    sweep = read_sweep(folder)
    if code == BAD_INPUT and not sweep.done:
        error = next((cell["error"] for cell in sweep.cells if cell.get("error")), "no reason was given")
        if row.needs and ", allowed: " not in error:  # as refused values say
            raise Absent(f"needs {row.needs} ({error})")
        raise UserError(f"{row.name}: {error}")
    return sweep


def _run(arguments: list[str]) -> int:
    process, heard = _started(arguments)
    with process:
        for number in heard:  # before it was there to be told
            process.send_signal(number)
        try:
            return process.wait()
        except (KeyboardInterrupt, Terminated) as error:  # a terminal tells both, which does no harm
            process.send_signal(signal.SIGINT if isinstance(error, KeyboardInterrupt) else signal.SIGTERM)
            process.wait()  # it has workers to end
            raise


def _started(arguments: list[str]) -> tuple[subprocess.Popen[bytes], list[int]]:
    """Start a process; also the signals that came meanwhile, which must not leave it to itself."""
    heard: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    ours = [number for number, handler in before.items() if callable(handler)]
    if current_thread() is not main_thread():
        ours = []
    for number in ours:
        signal.signal(number, lambda number, _: heard.append(number))
    try:
        process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=_STDERR)
    finally:
        for number in ours:
            signal.signal(number, before[number])
    return process, heard


def _stamp(folder: Path) -> tuple[int, int] | None:
    """What tells a sweep's file from the one that an earlier command left."""
    try:
        found = (folder / FILE).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
