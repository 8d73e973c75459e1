"""What ``sweep.json`` says of the cells of a sweep that came to nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.core.errors import RunFolderError
from expunge.record.folders.files import parse_object, read_text

FILE = "sweep.json"
# Folders of a machine within a line: all of a path but its last part.
_FOLDERS = re.compile(r"(?<![\w.…/])(?:~|\$HOME|[A-Za-z]:)?[/\\](?:[^\s'\":;,/\\]+[/\\])+")


@dataclass(frozen=True)
class LeftOut:
    """A run that is not in the tables.

    Attributes:
        folder: Where it is, or would have been; the sweep's folder where no run folder is known.
        name: The folder as it is shown: a relative path, never a machine's own.
        cell: Its number in the sweep where no run folder is known, in words.
        asked: What it was asked for, as overrides; empty where that is not known.
        error: Why it failed, or what is damaged; empty where it only never finished.
        damaged: Whether it is there, but cannot be read.
    """

    folder: Path
    name: str
    cell: str = ""
    asked: str = ""
    error: str = ""
    damaged: bool = False

    @property
    def failed(self) -> bool:
        """Whether it ended with an error, rather than not at all."""
        return bool(self.error) and not self.damaged

    @property
    def kind(self) -> str:
        """What it is, in one word."""
        return "damaged" if self.damaged else "failed" if self.failed else "unfinished"

    def why(self) -> str:
        """Return what follows the folder in a line about it: which cell it is, and its error."""
        return f"{self.cell}{f' ({self.asked})' * bool(self.asked)}{f': {self.error}' * bool(self.error)}"


def left_out(sweeps: Iterable[Path], base: Path, finished: Sequence[Path]) -> list[LeftOut]:
    """Return the cells that failed, and those that never finished, of the sweeps in these folders.

    Args:
        sweeps: Folders with a ``sweep.json``.
        base: The folder that names are relative to.
        finished: Run folders that have a summary. A cell that was unfinished when the file was written and
            is among them has been finished since; one that failed stays failed.

    Raises:
        RunFolderError: A ``sweep.json`` is broken; the line names the file.
    """
    there = set(finished)
    found = {}
    for sweep in sweeps:
        cells = _cells(sweep / FILE)
        known = [set(_overrides(cell)) for cell in cells if _overrides(cell)]
        common = set.intersection(*known) if len(known) > 1 else set()
        for number, cell in enumerate(cells, start=1):
            one = _left_out(sweep, number, cell, base, common)
            if one is not None and (one.failed or one.folder not in there):
                found[one.name, one.cell] = one
    return list(found.values())


def in_order(sweep: Path, names: Sequence[str]) -> list[str]:
    """Return the names of folders in a sweep in the order of its cells; others come last, as they were.

    Raises:
        RunFolderError: Its ``sweep.json`` is broken; the line names the file.
    """
    cells = [str(cell.get("run")) for cell in _cells(sweep / FILE)]
    place = {name: i for i, name in reversed(list(enumerate(cells)))}
    return sorted(names, key=lambda name: place.get(name, len(cells)))


def without_folders(line: str) -> str:
    """Return one line without the folders of the machine that it was written on."""
    return _FOLDERS.sub("…/", " ".join(line.split()))


def _left_out(sweep: Path, number: int, cell: dict[str, Any], base: Path, common: set[str]) -> LeftOut | None:
    """Return a cell that came to nothing, told by overrides that not every cell has; None if it is done."""
    status, run = cell.get("status"), cell.get("run")
    if status not in ("failed", "unfinished"):
        return None
    known = isinstance(run, str) and run not in ("", "..") and Path(run).name == run
    folder = sweep / str(run) if known else sweep
    asked = " ".join(override for override in _overrides(cell) if override not in common)
    error = str(cell.get("error") or "no reason given") if status == "failed" else ""
    return LeftOut(
        folder,
        folder.relative_to(base).as_posix(),
        "" if known else f", cell {number}",
        without_folders(asked),
        without_folders(error),
    )


def _overrides(cell: dict[str, Any]) -> list[str]:
    found = cell.get("overrides")
    return list(map(str, found)) if isinstance(found, list) else []


def _cells(path: Path) -> list[dict[str, Any]]:
    cells = parse_object(read_text(path), path).get("cells")
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise RunFolderError(f"{path}:1: 'cells' must be a list of objects")
    return cells
