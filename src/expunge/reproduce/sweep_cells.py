"""The cells of a sweep, and the numbers in them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from expunge.core.errors import RunFolderError
from expunge.core.text import setting
from expunge.record.folders.files import parse_object, read_lines, read_text
from expunge.record.folders.sweeps import FILE as FILE
from expunge.record.sums import require_sums
from expunge.reproduce.expected import Value


class NotMeasured(Exception):
    """A number is not in the sweep; the text says why."""


@dataclass(frozen=True)
class CellGroup:
    """Entries of ``sweep.json`` that differ in their seed alone; their override keys -> values without it."""

    settings: Mapping[str, Any]
    cells: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class FinishedSweep:
    """A sweep folder and the entries of its ``sweep.json``."""

    folder: Path
    cells: Sequence[Mapping[str, Any]]

    @property
    def done(self) -> list[Mapping[str, Any]]:
        """Cells that are done."""
        return [cell for cell in self.cells if cell["status"] == "done"]

    def groups(self) -> list[CellGroup]:
        """All cells, one group for each setting, in the sweep's order."""
        found: dict[str, CellGroup] = {}
        for cell in self.cells:
            settings = {key: value for key, value in cell["settings"].items() if key != "seed"}
            name = repr(sorted(settings.items()))
            found[name] = CellGroup(settings, [*(found[name].cells if name in found else ()), cell])
        return list(found.values())

    def name_of(self, settings: Mapping[str, Any]) -> str:
        """Settings of a cell in words, as far as they differ within the sweep."""
        keys = dict.fromkeys(key for cell in self.cells for key in cell["settings"] if key in settings)
        values = {key: {repr(cell["settings"].get(key)) for cell in self.cells} for key in keys}
        return described({key: settings[key] for key in keys if len(values[key]) > 1}) or "the only one"

    def failures(self) -> list[str]:
        """One line for each cell that is not done."""
        return [
            f"{self.name_of(cell['settings'])}: {cell.get('error') or 'did not finish'}"
            for cell in self.cells
            if cell["status"] != "done"
        ]

    def select(self, where: Mapping[str, Any]) -> list[CellGroup]:
        """The groups whose settings, or where they say nothing the summary, have these values.

        Raises:
            NotMeasured: There is none.
        """
        found = []
        for group in self.groups():
            said = {key: lookup(group.cells[0]["summary"], key) for key in where} | dict(group.settings)
            if all(_same(said[key], value) for key, value in where.items()):
                found.append(group)
        if not found:
            raise NotMeasured(f"no run with {described(where)}")
        return found

    def number(self, value: Value, group: CellGroup, free: Mapping[str, Any]) -> float:
        """The number that ``value`` names for ``group``, the mean over its seeds.

        Where ``value.where`` sends to other cells, those may differ in the settings ``free`` besides.

        Raises:
            NotMeasured: A cell failed, has no such number, or stopped before that request.
        """
        at = self._partner(group, value.where, free) if value.where else group
        if any(cell["status"] != "done" for cell in at.cells):
            raise NotMeasured(f"a run is not done ({self.name_of(at.settings)})")
        number = fmean(self._of_cell(value, cell) for cell in at.cells)
        if value.over is None:
            return number
        divisor = self.number(value.over, group, free)
        if divisor == 0:
            raise NotMeasured(f"{value.over.key} is 0")
        return number / divisor

    def _partner(self, group: CellGroup, where: Mapping[str, Any], free: Mapping[str, Any]) -> CellGroup:
        fixed = {key: value for key, value in group.settings.items() if key not in {*where, *free}}
        found = self.select({**fixed, **where})
        if len(found) > 1:
            raise NotMeasured(f"{len(found)} kinds of runs with {described(where)}")
        return found[0]

    def _of_cell(self, value: Value, cell: Mapping[str, Any]) -> float:
        if value.at is None:
            given, missing = [lookup(cell["summary"], value.key)], "is not in the summary"
        else:
            path = self.folder / cell["run"] / "removals.jsonl"
            records = [parse_object(line, path, number) for number, line in read_lines(path) if line.strip()]
            require_sums(path)
            if len(records) < value.at:
                raise NotMeasured(f"{len(records):,} requests of {value.at:,}")
            window = records[max(0, value.at - value.window) : value.at]
            given = [record.get(value.key) for record in window]
            missing = f"was not evaluated up to request {value.at:,}"
        numbers = [float(v) for v in given if isinstance(v, (int, float)) and math.isfinite(v)]  # true is 1
        if not numbers:
            raise NotMeasured(f"{value.key} {missing}")
        return fmean(numbers)


def read_sweep(folder: Path) -> FinishedSweep:
    """Read ``sweep.json``: the cells of the latest command, whatever others have been run in this folder.

    Raises:
        RunFolderError: It is missing or broken.
    """
    path = folder / FILE
    cells = parse_object(read_text(path), path).get("cells")
    if not isinstance(cells, list) or not all(
        isinstance(cell, dict) and {"run", "status", "settings", "summary"} <= cell.keys() for cell in cells
    ):
        raise RunFolderError(f"{path}:1: 'cells' must be a list of runs with their settings and summary")
    return FinishedSweep(folder, [cell for cell in cells if not cell.get("earlier")])


def described(settings: Mapping[str, Any]) -> str:
    """Settings as short as they are clear: the last part of each key, and its value."""
    return ", ".join(f"{key.rpartition('.')[2]} {setting(value)}" for key, value in settings.items())


def lookup(node: Any, dotted: str) -> Any:
    """The entry that a dotted key names, or None; of a list by number, or ``name=value`` the first such."""
    for part in dotted.split("."):
        name, _, value = part.partition("=")
        if isinstance(node, list) and value:
            node = next((e for e in node if isinstance(e, dict) and str(e.get(name)) == value), None)
        elif isinstance(node, list) and part.isdecimal() and int(part) < len(node):
            node = node[int(part)]
        elif isinstance(node, dict) and part in node:
            node = node[part]
        else:
            return None
    return node


def _same(one: Any, other: Any) -> bool:
    """Whether two settings are equal, numbers by their value."""
    try:
        return float(one) == float(other)
    except (TypeError, ValueError):
        return bool(one == other)
