"""What the commands print of rows, on a screen so wide that nothing of a line is wrapped."""

from __future__ import annotations

from collections.abc import Sequence

from expunge.core.screen import Page
from expunge.report.read.runs import FoundRuns
from expunge.report.tables import terminal
from expunge.report.tables.contents import Contents
from expunge.report.tables.table_rows import Row


def printed(lines: Sequence[Row], columns: int = 4000, legend: bool = False) -> str:
    """The table of the rows' runs, as plain text."""
    page = Page(columns, colours=False)
    terminal.of_contents(Contents.of(FoundRuns([row.of for row in lines])), page, legend)
    return str(page)
