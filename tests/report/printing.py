"""What is said of rows: printed, on a screen so wide that nothing of a line is wrapped, and on the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from expunge.core.screen import Page
from expunge.record.folders.runs import FoundRuns, find_runs
from expunge.report.page.page import page as rendered
from expunge.report.tables import terminal
from expunge.report.tables.contents import Contents
from expunge.report.tables.table_rows import Row


def printed(lines: Sequence[Row], columns: int = 4000, legend: bool = False) -> str:
    """The table of the rows' runs, as plain text."""
    page = Page(columns, colours=False)
    terminal.of_contents(Contents.of(FoundRuns([row.of for row in lines])), page, legend)
    return str(page)


def promises(folder: Path) -> list[str]:
    """The parts of the page on what is not promised, of the runs in ``folder``."""
    parts = rendered(Contents.of(find_runs([folder]))).split("<h2 ")
    return [part for part in parts if part.startswith(('id="limits"', 'id="no-certificate"'))]
