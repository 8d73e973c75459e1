"""A report that is made anew while runs are going on: when something has changed, and when it is over."""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from expunge.core.errors import InvalidValue, RunFolderError, UserError, one_line, say
from expunge.core.files import write_atomically
from expunge.core.screen import styled
from expunge.record.folders.files import parse_object, read_text
from expunge.record.folders.sweeps import FILE as SWEEP

_EVERY = 5.0  # seconds between two looks, where nothing else is said
_JOBS = ".jobs"  # what a sweep's cells note, each when it begins and ends
_RUN = (".hydra", "summary.json", "removals.jsonl", "results.jsonl")
_PASSING = (".lock", ".part")  # how names end of what is there for a moment
_ENDED = ("done", "failed", "damaged")
_LEAST, _MOST = 0.2, 86_400.0
_CLEAR = "\x1b[H\x1b[2J\x1b[3J"
_NEWLINE = "\n"
_HEAD = f"<head>{_NEWLINE}"
_RELOADS = '<meta http-equiv="refresh" content="'


class NotWritten(RunFolderError):
    """A report cannot be written, whatever the runs come to."""


@dataclass(frozen=True)
class State:
    """How folders stand.

    Attributes:
        files: Path -> time of the last change and size, of the files of runs and of sweeps' notes.
        over: Whether there is a sweep, and every cell of each is done or has failed.
    """

    files: dict[str, tuple[int, int]]
    over: bool

    @classmethod
    def of(cls, folders: Sequence[Path]) -> State:
        """As it is now; what comes and goes meanwhile is there or not."""
        files: dict[str, tuple[int, int]] = {}
        sweeps = []
        for root in folders:
            for here, below, names in os.walk(root):
                place = Path(here)
                if {_JOBS, SWEEP} & {*below, *names}:
                    sweeps.append(place)
                    files |= _stamps([place / SWEEP, *_notes(place)])
                if {*_RUN} & {*below, *names}:
                    files |= _stamps(place / name for name in names if not name.endswith(_PASSING))
                    below.clear()
                below[:] = sorted(name for name in below if not name.startswith("."))
        return cls(files, bool(sweeps) and all(map(_is_over, sweeps)))


def _notes(sweep: Path) -> list[Path]:
    return [sweep / _JOBS / SWEEP, *(sweep / _JOBS).glob("*/job.json")]


def _stamps(paths: Iterable[Path]) -> dict[str, tuple[int, int]]:
    found = {}
    for path in paths:
        try:
            of = path.stat()
        except OSError:  # it is gone
            continue
        found[str(path)] = (of.st_mtime_ns, of.st_size)
    return found


def _is_over(sweep: Path) -> bool:
    """Whether ``sweep.json``, which a sweep writes last, is of the latest command, all cells ended."""
    (last, _), *_ = [*_stamps([sweep / SWEEP]).values(), (-1, 0)]
    if any(changed > last for changed, _ in _stamps(_notes(sweep)).values()):
        return False
    try:
        cells = parse_object(read_text(sweep / SWEEP), sweep / SWEEP).get("cells")
    except RunFolderError:
        return False  # which the report says, until it is mended
    return isinstance(cells, list) and all(
        isinstance(cell, dict) and cell.get("status") in _ENDED for cell in cells
    )


def follow(folders: Sequence[Path], page: Path, wait: float, report: Callable[[float | None], int]) -> int:
    """Make a report whenever something below ``folders`` has changed, until all sweeps there are over.

    However it ends, ``page`` reloads itself no longer.

    Args:
        folders: Where runs are, or will be.
        page: The page that ``report`` writes.
        wait: Seconds between two looks.
        report: Makes the report, of which the page is to be reloaded after these seconds (None: is at rest),
            and returns the exit code.

    Returns:
        The exit code of the last report.

    Raises:
        RunFolderError: A folder is not there, or the report cannot be written.
    """
    with _at_rest_in_the_end(page):
        before, said = None, ""
        while True:
            now = State.of(folders)
            if now.over:
                code = report(None)
                say("No more to come: every cell of the sweep has ended.\n")
                return code
            if now != before:
                yet = _so_far(folders, partial(report, wait))
                line = f"{yet}Looked at again every {wait:g} s; Ctrl-C ends it.\n"
                if not yet or line != said:
                    say(line)
                said = line
            before = now
            time.sleep(wait)


def _so_far(folders: Sequence[Path], report: Callable[[], int]) -> str:
    """Make a report of what there is by now; return why there is none, if so."""
    if styled():
        say(_CLEAR, styled=True)
    try:
        report()
    except RunFolderError as error:
        if isinstance(error, NotWritten) or not all(folder.is_dir() for folder in folders):
            raise
        return f"{one_line(error)}\n"  # yet: no run is finished, or a file is being written
    return ""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--watch`` and ``--every``, which ``every`` reads."""
    help_ = "write all of it anew while runs go on; ends when every sweep there is done, or by Ctrl-C"
    parser.add_argument("--watch", action="store_true", help=help_)
    help_ = f"with --watch: seconds between two looks (default: {_EVERY:g})"
    parser.add_argument("--every", metavar="SECONDS", help=help_)


def every(args: argparse.Namespace) -> float | None:
    """Return the seconds between two looks, None where nothing is to be watched.

    Raises:
        UserError: An option stands where it means nothing; or the seconds are none, or too few or many.
    """
    if args.watch and not args.folders:
        raise UserError("--watch: only with a FOLDER")
    if not args.watch and args.every is not None:
        raise UserError("--every: only with --watch")
    try:
        found = _EVERY if args.every is None else float(args.every)
    except ValueError:
        found = math.nan
    if not _LEAST <= found <= _MOST:
        raise InvalidValue("--every", args.every, f"seconds, from {_LEAST:g} to {_MOST:g}")
    return found if args.watch else None


def reloading(page: str, after: float | None) -> str:
    """Return a page that a browser loads anew after so many seconds; None: as it is."""
    return page if after is None else page.replace(_HEAD, f'{_HEAD}{_RELOADS}{math.ceil(after)}">\n', 1)


@contextmanager
def _at_rest_in_the_end(page: Path) -> Iterator[None]:
    try:
        yield
    finally:
        if page.is_file():
            head, sign, rest = page.read_text(encoding="utf-8").partition(f"{_HEAD}{_RELOADS}")
            if sign:
                write_atomically(page, f"{head}{_HEAD}{rest.partition(_NEWLINE)[2]}".encode())
