"""The end of a sweep: its files, its table on the terminal, what failed, and the exit code."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from expunge.core.errors import complain, say
from expunge.core.screen import Page, command
from expunge.record.folders.runs import FoundRuns
from expunge.record.folders.sweeps import left_out
from expunge.sweep.aggregate import DAMAGED, collect, mixed, write
from expunge.sweep.held import end_watch
from expunge.sweep.jobs import read, tidy


def finish(sweep: Path, figures: bool = True, stopped: bool = False) -> int:
    """Put together what there is; print the table; name every cell that is not done.

    With ``figures`` heat maps and trade-off curves are drawn, where the cells have values for them. Where
    the sweep was ``stopped`` only the cells that failed are named.

    Returns:
        0, 2 where all that failed is bad input, else 1.
    """
    end_watch()
    found, runs = collect(sweep)
    write(sweep, found)
    page = Page()
    _show(sweep, runs, figures, page)
    say(f"{page}", styled=True)
    latest = [cell for cell in found["cells"] if not cell.get("earlier")]
    for number, cell in enumerate(found["cells"]):
        if cell["status"] in ("failed", DAMAGED) or (cell["status"] != "done" and not stopped):
            damaged = "damaged, the command that made it does it again: " * (cell["status"] == DAMAGED)
            complain(f"{_called(number, cell)}: {damaged}{cell['error'] or 'did not finish'}")
    others = len(found["cells"]) - len(latest)
    more = f", and {others} of earlier commands in this folder" if others else ""
    if names := mixed(latest, sweep):
        what = "; ".join(names)
        complain(f"{what}: changed while the sweep was running; the same command does older cells again")
    tidy(sweep)
    bad_input = {job.number: job.bad_input for job in read(sweep)}
    left = [bad_input[number] for number, cell in enumerate(latest) if cell["status"] != "done"]
    page = Page()
    page.text(f"{_counted(latest)}{more}")
    page.whole(f"Sweep folder: {page.near(sweep)}", "bold")
    page.whole(f"Next: {_next(sweep, page, bool(left))}")
    say(f"{page}", styled=True)
    if not left:
        return 1 if any(cell["status"] == DAMAGED for cell in found["cells"]) else 0
    return 2 if all(left) else 1


def _show(sweep: Path, found: FoundRuns, figures: bool, page: Page) -> None:
    """Draw the figures, and put the tables of runs and studies on the page."""
    from expunge.report.tables import terminal
    from expunge.report.tables.contents import Contents

    if figures and found.runs:
        from expunge.report.figures.grid import write_grid

        there = [run.folder for run in found.runs]
        write_grid(found.runs, sweep / "figures", [*found.left_out, *left_out([sweep], sweep, there)])
    if found.runs or found.studies:
        page.gap()
        terminal.of_contents(Contents.of(found), page)
        page.gap()


def _next(sweep: Path, page: Page, left: bool) -> str:
    """The command that comes next: the same, where cells are not done, else that for the report."""
    return command("expunge", *sys.argv[1:]) if left else command("expunge-report", page.near(sweep))


def _called(number: int, cell: Mapping[str, Any]) -> str:
    asked = " ".join(f"{key}={value}" for key, value in cell["settings"].items())
    return f"cell {number + 1} ({asked})" if asked else f"cell {number + 1}"


def _counted(cells: Sequence[Mapping[str, Any]]) -> str:
    some = ("failed", "unfinished", DAMAGED)
    counts = {status: sum(cell["status"] == status for cell in cells) for status in some}
    rest = "".join(f", {count} {status}" for status, count in counts.items() if count)
    return f"{len(cells) - sum(counts.values())} of {len(cells)} cell{'s' * (len(cells) != 1)} done{rest}"
