"""What a report is made of, put together once for the terminal, the files and the page; and the files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from expunge.core.errors import RunFolderError
from expunge.report import layout, seeds_table, studies, table
from expunge.report.over_seeds import SeedGroup, over_seeds
from expunge.report.rows import Row, ordered, rows, warnings
from expunge.report.runs import FoundRuns, Run, StudyRun, find_runs
from expunge.report.sweeps import LeftOut


@dataclass(frozen=True)
class Contents:
    """What is said of runs, of studies, and what was left out.

    Attributes:
        lines: The rows of the table, in its order.
        notes: Warnings that belong under the table, beyond those that its rows give.
        groups: Runs that differ only in their seed.
        left_out: Cells of a sweep that failed, and runs that never finished.
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
        """Return what was left out under a heading each: what failed, and what never finished."""
        kinds: dict[str, list[LeftOut]] = {}
        for one in sorted(self.left_out, key=lambda one: not one.failed):
            kinds.setdefault("Failed" if one.failed else "Unfinished", []).append(one)
        return kinds


def write_report(
    folders: Iterable[str | os.PathLike[str]], out: str | os.PathLike[str] | None = None
) -> Path:
    """Write a report of what is in ``folders``: page, tables (Markdown, CSV) and figures (PNG, SVG).

    Args:
        folders: Folders of runs or studies, or folders that hold run folders at any depth.
        out: Where the files go; ``report`` in the folder if one was given, else ``./report``.

    Returns:
        The path of ``report.html``.

    Raises:
        RunFolderError: If a run folder is broken, there is no finished run, or ``out`` cannot be written.
    """
    folders = list(folders)
    contents = Contents.of(find_runs(folders))
    return write_contents(contents, default_out(folders) if out is None else Path(out))


def write_contents(contents: Contents, out: Path) -> Path:
    """Write the report of runs that have been read already; return the path of ``report.html``."""
    # Matplotlib is slow to import, and the table alone can do without.
    from expunge.report.figures import draw_all
    from expunge.report.html import page

    drawn = draw_all(contents.runs)
    links = {run.name: address for run in contents.runs if (address := link(run.folder, out))}
    try:
        out.mkdir(parents=True, exist_ok=True)
        _write(out / "table.md", contents.as_markdown())
        if contents.runs:
            _write(out / "table.csv", table.as_csv(contents.lines))
        if contents.groups:
            _write(out / "over_seeds.csv", seeds_table.as_csv(contents.groups))
        for name, content in studies.as_csv(contents.studies).items():
            _write(out / name, content)
        for figure in drawn:
            figure.save(out)
        _write(out / "report.html", page(contents, drawn, links))
    except OSError as e:
        raise RunFolderError(f"{out}: the report cannot be written ({e.strerror})") from None
    return out / "report.html"


def default_out(folders: list[str | os.PathLike[str]]) -> Path:
    """Return where a report of ``folders`` goes when nothing else is said."""
    return Path(folders[0] if len(folders) == 1 else ".") / "report"


def _write(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8", newline="\n")


def link(folder: Path, out: Path) -> str | None:
    """Return the address of ``folder`` for a page in ``out``, relative to it; None where there is none.

    There is none where the two have nothing in common but the root of the file system: the way from one to
    the other would be a machine's own path.
    """
    folder, out = folder.resolve(), out.resolve()
    try:
        common = Path(os.path.commonpath([folder, out]))
    except ValueError:  # on different drives
        return None
    if common == Path(common.anchor):
        return None
    return quote(Path(os.path.relpath(folder, out)).as_posix()) + "/"
