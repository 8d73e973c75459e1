"""What a report is made of, put together once for the terminal, the files and the page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from expunge.core.homes import resolved
from expunge.report import layout, seeds_table, studies, table
from expunge.report.over_seeds import SeedGroup, over_seeds
from expunge.report.runs import FoundRuns, Run, StudyRun
from expunge.report.sweeps import LeftOut
from expunge.report.table_rows import Row, ordered, rows, warnings


@dataclass(frozen=True)
class Contents:
    """What is said of runs, of studies, and what was left out.

    Attributes:
        lines: The rows of the table, in its order.
        notes: Warnings that belong under the table, beyond those that its rows give.
        groups: Runs that differ only in their seed.
        left_out: Cells of a sweep that failed, and runs that never finished or are damaged.
        studies: The studies, which come after the runs.
    """

    lines: Sequence[Row]
    notes: Sequence[str] = ()
    groups: Sequence[SeedGroup] = ()
    left_out: Sequence[LeftOut] = ()
    studies: Sequence[StudyRun] = field(default_factory=list)

    @classmethod
    def of(cls, found: FoundRuns) -> Contents:
        """Return the contents of a report on what was found."""
        runs = ordered(found.runs)
        return cls(rows(runs), warnings(runs), over_seeds(runs), found.left_out, found.studies)

    @property
    def runs(self) -> list[Run]:
        """The runs, in the table's order."""
        return [row.of for row in self.lines]

    def as_text(self) -> str:
        """Return every table, for a terminal."""
        tables = [table.as_text(self.lines, self.notes)] if self.runs else []
        if self.groups:
            tables.append(seeds_table.as_text(self.groups))
        return "\n".join([*tables, *map(studies.as_text, self.studies)])

    def as_markdown(self) -> str:
        """Return every table in Markdown, and what was left out."""
        tables = [table.as_markdown(self.lines, self.notes)] if self.runs else []
        if self.groups:
            tables.append(seeds_table.as_markdown(self.groups))
        tables += map(studies.as_markdown, self.studies)
        for title, some in self.missing().items():
            items = "\n".join(f"- {layout.escaped(one.name + one.why())}" for one in some)
            tables.append(f"## {title}\n\n{items}\n")
        return "\n".join(tables)

    def missing(self) -> dict[str, list[LeftOut]]:
        """Return what was left out under a heading each: what is damaged, failed, or never finished."""
        kinds: dict[str, list[LeftOut]] = {}
        for one in sorted(self.left_out, key=lambda one: ("damaged", "failed", "unfinished").index(one.kind)):
            kinds.setdefault(one.kind.capitalize(), []).append(one)
        return kinds


def link(folder: Path, out: Path) -> str | None:
    """Return the address of ``folder`` for a page in ``out``, relative to it; None where there is none.

    There is none where the two have nothing in common but the root of the file system: the way from one to
    the other would be a machine's own path.
    """
    folder, out = folder.resolve(), resolved(out)
    try:
        common = Path(os.path.commonpath([folder, out]))
    except ValueError:  # on different drives
        return None
    if common == Path(common.anchor):
        return None
    return quote(Path(os.path.relpath(folder, out)).as_posix()) + "/"
