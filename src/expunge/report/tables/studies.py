"""Studies in the report: their own tables and pictures, as Markdown and CSV."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from expunge.core import markdown, text
from expunge.core.groups import grouped
from expunge.core.spreadsheets import as_csv as csv
from expunge.core.text import finite
from expunge.record.folders.runs import StudyRun
from expunge.report.read import names

_OWN = ("study", "seed", "cells", "seconds", "table", "versions")


def telling(cells: Sequence[Sequence[str]]) -> int:
    """Return how many columns, from the first on, tell all rows apart; 1 where none do."""
    most = len(cells[0]) if cells else 1
    return next((n for n in range(1, most) if len({tuple(row[:n]) for row in cells}) == len(cells)), 1)


def as_markdown(study: StudyRun) -> str:
    """Return a heading and a table in Markdown."""
    return f"## {markdown.escaped(heading(study))}\n\n{markdown.table(*cells(study.summary['table']))}\n"


def as_csv(studies: Sequence[StudyRun]) -> dict[str, str]:
    """Return file names and their contents: one for each kind of study, with the folder's name in front."""
    lines = ((s.summary["study"], {"run": s.name, **row}) for s in studies for row in s.summary["table"])
    kinds = grouped(lines).items()
    return {f"study_{re.sub(r'[^A-Za-z0-9_-]', '_', kind)}.csv": csv(own) for kind, own in kinds}


def heading(study: StudyRun) -> str:
    """Return what the study is called, with its seed, size and time."""
    s = study.summary
    size, time = text.count(finite(s.get("cells"))), text.seconds(finite(s.get("seconds")))
    return text.plain(f"{s['study']} ({study.name}: seed {s.get('seed')}, {size} cells, {time})")


def cells(table: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return the headings and the cells as a reader wants them."""
    keys = list(dict.fromkeys(key for row in table for key in row))
    return [text.plain(key) for key in keys], [[_cell(row.get(key)) for key in keys] for row in table]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return text.count(value)
    if value is None or isinstance(value, float):
        return text.number(value)
    return text.plain(value)


def facts(study: StudyRun) -> list[tuple[str, str]]:
    """Return headline numbers, settings and versions; the places of a machine are left out of them."""
    s = study.summary
    facts = [pair for key, value in s.items() if key not in _OWN for pair in names.flat({key: value})]
    facts += list(names.flat(study.config.get("study"), "study"))
    facts += [(f"version of {name}", value) for name, value in names.flat(s.get("versions"))]
    return [(text.plain(key), text.shown(value)) for key, value in facts if value is not None]
