"""What a report is made of, put together once for the terminal, the files and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from expunge.core import markdown, text
from expunge.record.folders.begun import Begun, read_begun
from expunge.record.folders.runs import FoundRuns, Run, StudyRun
from expunge.record.folders.sweeps import LeftOut
from expunge.report.tables import many, notes, studies, table, variance
from expunge.report.tables.over_seeds import SeedGroup, by_method
from expunge.report.tables.table_rows import Row, ordered, rows

_SHOWN = 3  # methods that a title names; of more, or of long names, it says the number
_LONG = 70  # characters
_KINDS = ("damaged", "failed", "unfinished")


@dataclass(frozen=True)
class Contents:
    """What is said of runs, of studies, and what was left out.

    Attributes:
        lines: The rows of the runs, in the table's order.
        notes: Warnings that belong under the table, beyond those that its rows give.
        groups: The methods: runs that differ only in their seed, one or several.
        left_out: Cells of a sweep that failed, and runs that never finished or are damaged.
        studies: The studies, which come after the runs.
        begun: Those of the unfinished runs that say what they are: they are in no average.
    """

    lines: Sequence[Row]
    notes: Sequence[str] = ()
    groups: Sequence[SeedGroup] = ()
    left_out: Sequence[LeftOut] = ()
    studies: Sequence[StudyRun] = field(default_factory=list)
    begun: Sequence[Begun] = ()

    @classmethod
    def of(cls, found: FoundRuns) -> Contents:
        """Return the contents of a report on what was found."""
        runs, begun = ordered(found.runs), read_begun(found.left_out)
        return cls(rows(runs), notes.warnings(runs), by_method(runs), found.left_out, found.studies, begun)

    @property
    def runs(self) -> list[Run]:
        """The runs, in the table's order."""
        return [row.of for row in self.lines]

    @property
    def named(self) -> list[Row]:
        """The rows of the runs, each called as its method is, without its seed."""
        return [row.but(unlearner=one.label) for one in self.groups for row in (*one.single, *one.again)]

    @property
    def said(self) -> list[str]:
        """All that is to be said below the table."""
        named = self.named
        return [*self.notes, *notes.guaranteed(named), *notes.besides(named)]

    @property
    def title(self) -> str:
        """What was run: the methods, by name or number, the seeds, and the data sets."""
        if not self.runs:
            return "Studies"
        names = [group.label for group in self.groups]
        what = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
        if len(names) > _SHOWN or len(what) > _LONG:
            what = f"{len(names)} methods" if len(names) > 1 else self.runs[0].unlearner
        seeds = {len(group.rows) for group in self.groups}
        many = "" if seeds == {1} else f" × {'up to ' if len(seeds) > 1 else ''}{max(seeds)} seeds"
        sets = list(dict.fromkeys(row.dataset for row in self.lines))
        where = " and ".join(sets) if len(sets) <= 2 else f"{len(sets)} data sets"
        return text.plain(f"{what}{many} on {where}")

    @cached_property  # page and tables show it, and of many runs it takes seconds
    def against_many(self) -> list[many.Many]:
        """What methods come to against many retrained models."""
        return many.many(self.groups)

    def as_markdown(self) -> str:
        """Return every table in Markdown, and what was left out."""
        tables = [table.as_markdown(self.groups, self.said)] if self.runs else []
        if several := variance.as_markdown(self.groups):
            tables.append(several)
        if against := many.as_markdown(self.against_many):
            tables.append(against)
        if len(self.groups) < len(self.lines):
            tables.append(table.runs_as_markdown(self.lines))
        tables += map(studies.as_markdown, self.studies)
        so_far = {one.run.folder: f": {one.so_far}" for one in self.begun}
        for title, some in self.missing().items():
            said = (f"{one.name}{one.why()}{so_far.get(one.folder, '')}" for one in some)
            items = "\n".join(f"- {markdown.escaped(line)}" for line in said)
            tables.append(f"## {title}\n\n{items}\n")
        return "\n".join(tables)

    def missing(self) -> dict[str, list[LeftOut]]:
        """Return what was left out under a heading each: what is damaged, failed, or never finished."""
        kinds = {kind.capitalize(): [one for one in self.left_out if one.kind == kind] for kind in _KINDS}
        return {title: some for title, some in kinds.items() if some}
