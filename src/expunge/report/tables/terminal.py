"""The tables as they are printed: one method one below the other, several side by side, as wide as fits."""

from __future__ import annotations

from collections.abc import Sequence

from expunge.core import text
from expunge.core.screen import Page
from expunge.record.columns import SIZES
from expunge.report.tables import studies
from expunge.report.tables.columns import BREAK_EVEN, LABEL, LIMITS, SERVICE, TIMES, TableColumn
from expunge.report.tables.contents import Contents
from expunge.report.tables.over_seeds import SeedGroup
from expunge.report.tables.table import Cell, body, heads

ARROWS = f"↑ more is better, ↓ less is better, {text.NONE} not measured or does not apply"
_ABOUT = ("Service", "Quality", "Guarantee", "Time", "Memory")


def of_contents(contents: Contents, page: Page, legend: bool = False) -> None:
    """What is printed of runs and studies: a table by method, and one a study.

    Args:
        contents: What there is.
        page: Where it goes.
        legend: Also say what every column means.
    """
    if contents.lines:
        _methods(contents, page, legend)
    for place, study in enumerate(contents.studies):
        if place or contents.lines:
            page.gap()
        page.text(studies.heading(study), "bold")
        page.gap()
        head, cells = studies.cells(study.summary["table"])
        page.table([(title, "") for title in head], cells, studies.telling(cells))


def _methods(contents: Contents, page: Page, legend: bool) -> None:
    """The numbers of every method, what is to be said of them, and on request what they are."""
    groups = contents.groups
    seeds = sorted({len(group.rows) for group in groups})
    shown = [c for c in heads(groups) if c.key != LABEL and (seeds[-1] > 1 or not c.less)]
    (_one if len(groups) == 1 else _several)(page, groups, shown)
    page.gap()
    if seeds[-1] > 1:
        many = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        page.text(f"Means over {many} seeds; in brackets the 95% interval of the mean.", "dim")
    for note in contents.said:
        page.text(note, "yellow" if note.startswith("Warning") else "")
    if legend:
        page.gap()
        page.facts({"": [(column.title, column.definition, "") for column in shown]})
        page.text(ARROWS, "dim")


def _one(page: Page, groups: Sequence[SeedGroup], shown: Sequence[TableColumn]) -> None:
    """A method's numbers one below the other, by what they are about."""
    parts: dict[str, list[tuple[str, str, str]]] = {about: [] for about in _ABOUT}
    for column, one in zip(shown, body(groups, shown)[0], strict=True):
        if one.words != text.NONE:
            parts[_about(column)].append((column.title, " ".join(_lines(one)), column.column.sub))
    page.text(groups[0].label, "bold cyan")
    page.facts({name: part for name, part in parts.items() if part})


def _several(page: Page, groups: Sequence[SeedGroup], shown: Sequence[TableColumn]) -> None:
    """A row a method; with several seeds means, and their intervals below them."""
    titles = [("method", ""), *((column.title, column.column.sub) for column in shown)]
    lines = [["\n".join(_lines(one)) for one in line] for line in body(groups, shown)]
    firsts = [[group.label] for group in groups]
    if len({len(group.rows) for group in groups}) > 1:
        titles.insert(1, ("seeds", ""))
        firsts = [[group.label, text.count(len(group.rows))] for group in groups]
    page.table(titles, [[*first, *line] for first, line in zip(firsts, lines, strict=True)])


def _lines(one: Cell) -> list[str]:
    """What is said of a method, and of several seeds the interval."""
    return [f"{one.words} {one.note}".strip(), *filter(None, [one.span])]


def _about(column: TableColumn) -> str:
    if column.key in SERVICE:
        return "Service"
    if column.format in TIMES or column.key == BREAK_EVEN:
        return "Time"
    if column.key in SIZES:
        return "Memory"
    plot = column.column.plot
    bound = column.key in LIMITS or (plot is not None and plot.kind == "bounded")
    return "Guarantee" if bound else "Quality"
