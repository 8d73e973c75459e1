"""``audit.json``, the figure, the page and the table."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from expunge.core.files import write_atomically, write_json
from expunge.core.folders import writing
from expunge.core.screen import Page
from expunge.record.folders.findings import AUDIT, FORMAT, REFUTED
from expunge.record.summary import versions
from expunge.report.figures.audit import draw
from expunge.report.page import audits


def document(
    records: Sequence[Mapping[str, Any]],
    effort: Mapping[str, Any],
    only: Sequence[str] | None,
    of_run: bool,
    seconds: float,
) -> dict[str, Any]:
    """What ``audit.json`` holds: every number, the settings, and the command that repeats it."""
    options = [f"--{key.replace('_', '-')}={value}" for key, value in effort.items()]
    command = ["expunge-audit", *(["RUN"] if of_run else []), *options, *(["--only", *only] if only else [])]
    return {
        "format": FORMAT,
        "repeat": shlex.join(command),
        "settings": {**effort, "only": list(only) if only else None},
        "about": "lower bounds on epsilon at the claimed delta, each at its confidence for all attacks of a "
        "method together (Clopper-Pearson limits, split evenly); null above a bound is infinity",
        "methods": list(records),
        "seconds": round(seconds, 1),
        "versions": versions(),
    }


def refuted(found: Mapping[str, Any]) -> list[str]:
    """The methods whose claim does not hold, though they make it."""
    return [one["name"] for one in found["methods"] if one["verdict"] == REFUTED]


def as_text(found: Mapping[str, Any], page: Page | None = None) -> str:
    """The table for a terminal, how to read it, and what it comes to."""
    page = page or Page()
    wrong = refuted(found)
    head, cells = audits.table(found["methods"])
    page.table([(title, "") for title in head], cells)
    page.gap()
    page.text(audits.READING)
    page.text(f"REFUTED: {'; '.join(wrong)}" if wrong else "No claim that is made is exceeded.", "bold")
    return str(page)


def write(found: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write everything into ``folder``; return the paths."""
    paths = [folder / name for name in (AUDIT, "audit.md", "audit.html")]
    drawn = draw(found["methods"])
    with writing(folder):
        write_json(paths[0], found)
        write_atomically(paths[1], audits.as_markdown(found).encode())
        write_atomically(paths[2], audits.as_page(found, drawn).encode())
        return [*paths, *drawn.save(folder)]
