"""Where runs and sweeps are, in folders at any depth."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from expunge.core.errors import RunFolderError
from expunge.record.folders.sweeps import FILE, in_order


def walk(roots: Iterable[Path]) -> tuple[list[Path], list[Path], dict[Path, RunFolderError]]:
    """Return folders of runs at or under ``roots``, begun ones included, and folders of sweeps, each once.

    Folders of sweeps whose ``sweep.json`` is broken come apart, with the error. No run folder is searched
    further down, nor is a folder whose name begins with a dot.
    """
    found: dict[Path, None] = {}
    sweeps: dict[Path, None] = {}
    broken: dict[Path, RunFolderError] = {}
    for root in roots:
        for here, below, files in os.walk(root):
            below[:] = sorted((name for name in below if not name.startswith(".")), key=natural)
            if FILE in files:
                try:
                    below[:] = in_order(Path(here), below)
                    sweeps[Path(here)] = None
                except RunFolderError as error:
                    broken[Path(here)] = error
            if {"summary.json", "removals.jsonl", "results.jsonl"} & set(files) or os.path.isfile(
                f"{here}/.hydra/config.yaml"
            ):
                found[Path(here)] = None
                below.clear()
    return list(found), list(sweeps), broken


def natural(name: str) -> list[tuple[int, str]]:
    """Return what sorts names by the numbers in them: 2 before 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
