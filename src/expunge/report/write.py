"""From folders to files: the tables, the figures and the page, all in one folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from expunge.core.files import write_atomically
from expunge.core.folders import writing
from expunge.core.homes import link
from expunge.core.spreadsheets import as_csv
from expunge.record.folders.differences import Differences
from expunge.record.folders.runs import find_runs
from expunge.record.folders.watched import NotWritten, reloading
from expunge.report.tables import studies, table, tex
from expunge.report.tables.contents import Contents


def write_report(
    folders: Iterable[str | os.PathLike[str]], out: str | os.PathLike[str] | None = None
) -> Path:
    """Write a report of what is in ``folders``: page, tables (.md, .csv, .tex), figures (.png, .svg, .pdf).

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


def write_contents(contents: Contents, out: Path, live: float | None = None) -> Path:
    """Write the report of runs that have been read; return its page, which reloads after ``live`` seconds."""
    # Matplotlib is slow to import, and the table alone can do without.
    from expunge.charts.rendering import converter
    from expunge.report.figures.draw import draw_all
    from expunge.report.page.page import page

    drawn = draw_all(contents.runs, contents.left_out)
    every = [*contents.runs, *(one.run for one in contents.begun)]
    links = {run.name: address for run in every if (address := link(run.folder, out))}
    try:
        with writing(out):
            for name, content in _texts(contents).items():
                write_atomically(out / name, content.encode())
            for figure in drawn:
                figure.save(out)
                write_atomically(out / f"{figure.name}.pdf", converter().svg_to_pdf(figure.svg))
            html = reloading(page(contents, drawn, links), live)
            write_atomically(out / "report.html", html.encode())
    except OSError as e:
        raise NotWritten(f"{out}: the report cannot be written ({e.strerror})") from None
    return out / "report.html"


def write_difference(found: Differences, both: Sequence[Path], out: Path) -> Path:
    """Write the page of what differs between the runs in two folders, ``diff.html``; return its path.

    Raises:
        RunFolderError: A folder is no finished run's, or ``out`` cannot be written.
    """
    from expunge.report.page.difference import page

    html = page(found, both, out)
    try:
        with writing(out):
            write_atomically(out / "diff.html", html.encode())
    except OSError as e:
        raise NotWritten(f"{out}: the page cannot be written ({e.strerror})") from None
    return out / "diff.html"


def default_out(folders: list[str | os.PathLike[str]]) -> Path:
    """Return where a report of ``folders`` goes when nothing else is said."""
    return Path(folders[0] if len(folders) == 1 else ".") / "report"


def _texts(contents: Contents) -> dict[str, str]:
    """The tables, by the names of their files."""
    found = {"table.md": contents.as_markdown()}
    if contents.runs:
        found["table.csv"] = as_csv(row.values for row in contents.lines)
        found["methods.csv"] = table.methods_as_csv(contents.groups)
        found["table.tex"] = tex.as_tex(contents.groups)
    return {**found, **studies.as_csv(contents.studies)}
