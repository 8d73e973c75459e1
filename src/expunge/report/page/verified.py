"""What ``expunge-verify`` found of the runs, from the ``verified.json`` that it left in their folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from expunge.core.errors import RunFolderError
from expunge.report.page.render import rendered
from expunge.report.read import text
from expunge.report.read.run_files import parse_object, read_text
from expunge.report.tables.table_rows import Row

FILE = "verified.json"
_FORMAT = 1
_CHECKED = (".hydra/config.yaml", "summary.json", "removals.jsonl", "model.safetensors", "inputs.json")
_FEW = 1  # runs that are shown unfolded
_MARKS = {True: "✓", False: "✗", None: "–"}


@dataclass(frozen=True)
class Verified:
    """One run's verdict.

    Attributes:
        name: Of the run.
        said: What the file holds.
        changed: Files that are not as they were when they were checked.
    """

    name: str
    said: Mapping[str, Any]
    changed: Sequence[str]

    @property
    def title(self) -> str:
        """Whether it was accepted, when, and what has changed since."""
        lines = [line for line in self.said["lines"] if isinstance(line, dict)]
        held = sum(line.get("holds") is True for line in lines)
        verdict = f"accepted, {held} lines hold" if self.said["accepted"] else "rejected"
        first = "" if self.said["accepted"] else f": {self.said.get('first')}"
        since = f"; changed since: {', '.join(self.changed)}" if self.changed else ""
        return f"{_MARKS[bool(self.said['accepted'])]} {verdict}{first}, {self.said['when']}{since}"


def read_verified(folder: Path, name: str) -> Verified | None:
    """Return the verdict on a run; None where nobody has checked it.

    Raises:
        RunFolderError: The file is not one of ``expunge-verify``.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    said = parse_object(read_text(path), path)
    kinds: dict[str, type] = {"accepted": bool, "when": str, "claim": dict, "lines": list, "files": dict}
    known = all(isinstance(said.get(key), kind) for key, kind in kinds.items())
    if said.get("format") != _FORMAT or not known:
        raise RunFolderError(f"{path}:1: not what expunge-verify writes (format {_FORMAT})")
    changed = [file for file in _CHECKED if _digest(folder / file) != said["files"].get(file)]
    return Verified(name, said, changed)


def verified(lines: Sequence[Row]) -> Markup | None:
    """Return the section of the page; None where no run was checked."""
    found = [(row, read_verified(row.of.folder, row.of.name)) for row in lines]
    known = [(row, one) for row, one in found if one is not None]
    if not known:
        return None
    checked = [
        {
            "row": row,
            "one": one,
            "shown": len(known) <= _FEW or not one.said["accepted"] or bool(one.changed),
            "claim": [(about, str(words)) for about, words in one.said["claim"].items()],
            "lines": [_line(line) for line in one.said["lines"] if isinstance(line, dict)],
        }
        for row, one in known
    ]
    return rendered("verified", checked=checked, rest=len(lines) - len(known))


def _line(line: Mapping[str, Any]) -> dict[str, Any]:
    holds = line.get("holds")
    mark = _MARKS.get(holds if isinstance(holds, bool) else None, "–")
    cells = [_figure(line.get(key)) for key in ("claimed", "recomputed", "note")]
    return {"name": f"{mark} {line.get('name')}", "cells": cells, "fault": holds is False}


def _figure(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    said = value if isinstance(value, str) else json.dumps(value)
    return text.plain(said)


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
    except OSError:
        return None
