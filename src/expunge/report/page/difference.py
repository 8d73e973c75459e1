"""The page of two runs: in what they differ, and the curves of both in the same charts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from expunge.core import text
from expunge.core.columns import Columns
from expunge.core.homes import link, resolved
from expunge.record.columns import OWN, merged
from expunge.record.folders.differences import Differences, Pair, told
from expunge.record.folders.runs import Run, read_one
from expunge.report.figures.draw import draw_plots
from expunge.report.page.render import asset, rendered

Line = tuple[str, str, tuple[str, ...]]
_LONGEST = 160  # characters of a setting
_WHO = ("rows", "ids")  # of a record: whom a request was about


def page(found: Differences, both: Sequence[Path], out: Path) -> str:
    """Return the whole page.

    Args:
        found: In what the two differ.
        both: The folders of the two runs, or studies, the first of which is A.
        out: The folder that the page will be in, for the links to theirs.
    """
    from expunge.charts.libraries import libraries  # with it comes all that draws charts

    folders = [resolved(folder) for folder in both]
    base = os.path.commonpath([folder.parent for folder in folders])
    names = [folder.relative_to(base).as_posix() for folder in folders]
    read = [read_one(folder, name) for folder, name in zip(folders, names, strict=True)]
    runs = [run for run in read if isinstance(run, Run)]
    drawn = draw_plots([_as(letter, run) for letter, run in zip("AB", runs, strict=False)])
    live = any(one.chart is not None for one in drawn)
    columns = OWN | merged(run.columns for run in runs)
    lines = {
        name: lines_of(part.pairs, part.counted, columns if part.counted else {})
        for name, part in found.parts().items()
    }
    fields = {key: pair for key, pair in found.fields.items() if key not in _WHO}
    return rendered(
        "difference",
        title=f"{names[0]} and {names[1]}",
        scripts=[libraries() + asset("charts.js")] if live else [],
        **{"found": found, "lines": lines, "fields": lines_of(fields, True, columns)},
        others=len(fields) < len(found.fields),
        notes=[_placeless(note, both) for note in found.notes],
        **{"drawn": drawn, "live": live},
        sides=list(zip("AB", names, (link(folder, out) for folder in folders), read, strict=True)),
    )


def lines_of(
    pairs: Mapping[str, Pair], counted: bool, columns: Columns
) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return a line for each difference: what it is called, its key, both values, and B - A if ``counted``.

    Settings are shown without the places of the machine that they were made on, and lists of rows and ids by
    how many they hold.
    """
    found = list[Line]()
    for key, (one, other) in pairs.items():
        words = told(one, other) if counted else (_shown(key, one), _shown(key, other))
        found.append((columns[key].head if key in columns else "", text.plain(key), words))
    return found


def _shown(key: str, value: Any) -> str:
    if isinstance(value, list) and key.rpartition(".")[2] in _WHO:
        return f"{len(value):,} listed"
    said = text.shown(value)
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"


def _placeless(note: str, both: Sequence[Path]) -> str:
    """A note with the letters of the runs in the place of their folders on this machine."""
    for letter, folder in zip("AB", both, strict=True):
        note = note.replace(f"{folder}{os.sep}", f"{letter}: ")
    return note


def _as(letter: str, run: Run) -> Run:
    """The run as a method of its own, though it may be set like the other one."""
    return replace(run, summary={**run.summary, "unlearner": f"{letter}: {run.unlearner}"})
