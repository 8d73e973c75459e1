"""The tables as they are printed: one method one below the other, several side by side, as wide as fits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from expunge.core.screen import Page
from expunge.report.read import text
from expunge.report.read.runs import Run, StudyRun
from expunge.report.tables import columns as of_runs
from expunge.report.tables import studies, table_rows
from expunge.report.tables.columns import LABEL, TableColumn, columns, formatted
from expunge.report.tables.contents import Contents
from expunge.report.tables.over_seeds import Interval, SeedGroup, by_method, interval
from expunge.report.tables.table import heads
from expunge.report.tables.table_rows import Row, rows

ARROWS = f"↑ more is better, ↓ less is better, {text.NONE} not measured or does not apply"
_TIME = ("seconds", "times")
_GUARANTEE = ("used", "released", "epsilon_spent", "epsilon_total")


def of_run(run: Run, page: Page) -> None:
    """What is printed of a run when it is complete: its numbers, one below the other."""
    _methods(page, rows([run]), by_method([run]))


def of_contents(contents: Contents, page: Page, legend: bool = False) -> None:
    """What is printed of runs and studies: a table by method, and one a study.

    Args:
        contents: What there is.
        page: Where it goes.
        legend: Also say what every column means.
    """
    if contents.lines:
        _methods(page, contents.lines, by_method(contents.runs), contents.notes, legend)
    for place, study in enumerate(contents.studies):
        if place or contents.lines:
            page.gap()
        of_study(study, page)


def of_study(study: StudyRun, page: Page) -> None:
    """What is printed of a study: its heading and its table."""
    heading, head, cells = studies.shown(study)
    page.text(heading, "bold")
    page.gap()
    page.table([(title, "") for title in head], cells, studies.telling(cells))


def _methods(
    page: Page,
    table: Sequence[Row],
    groups: Sequence[SeedGroup],
    notes: Iterable[str] = (),
    legend: bool = False,
) -> None:
    """The numbers of every method, what is to be said of them, and on request what they are."""
    shown = [c for c in (heads(groups) if _seeds(groups) else columns(table)) if c.key != LABEL]
    if len(groups) == 1:
        _one(page, groups[0], shown)
    else:
        _several(page, groups, shown)
    page.gap()
    if said := _over(groups):
        page.text(said, "dim")
    named = [Row(row.of, {**row.values, LABEL: group.label}) for group in groups for row in group.rows]
    for note in [*notes, *table_rows.guaranteed(named), *table_rows.notes(named)]:
        page.text(note, "yellow" if note.startswith("Warning") else "")
    if legend:
        page.gap()
        page.facts({"": [(column.title, column.definition, "") for column in shown]})
        page.text(ARROWS, "dim")


def _one(page: Page, group: SeedGroup, shown: Sequence[TableColumn]) -> None:
    """A method's numbers one below the other, by what they are about."""
    parts: dict[str, list[tuple[str, str, str]]] = {}
    for column in shown:
        value, _, span = _cell(group, column).partition("\n")
        words = f"{value} {span}".strip()
        if value != text.NONE:
            parts.setdefault(_about(column), []).append((column.title, words, column.sub))
    page.text(group.label, "bold cyan")
    page.facts({name: parts[name] for name in ("Service", "Quality", "Guarantee", "Time") if name in parts})


def _several(page: Page, groups: Sequence[SeedGroup], shown: Sequence[TableColumn]) -> None:
    """A row a method; with several seeds means, and their intervals below them."""
    seeds = [("seeds", "")] if len({len(group.rows) for group in groups}) > 1 else []
    titles = [("method", ""), *seeds, *((column.title, column.sub) for column in shown)]
    body = [
        [
            group.label,
            *([text.count(len(group.rows))] if seeds else []),
            *(_cell(group, column) for column in shown),
        ]
        for group in groups
    ]
    page.table(titles, body)


def _cell(group: SeedGroup, column: TableColumn) -> str:
    """What is said of a method: of several seeds the mean, and on a second line its interval."""
    if len(group.rows) == 1 and not column.less:
        return column.cell(group.rows[0])
    if column.less:
        differences = group.paired.get(column.less)
        if not differences:
            return text.NONE
        found = interval(differences)
        some = "" if len(differences) == len(group.rows) else f" ({len(differences)} pairs)"
        return f"{formatted(column.format, found.mean)}{some}{_span(found, column.format)}"
    said = column.cell(group.average)
    known = group.values.get(column.key)
    return said if said == text.NONE or known is None else f"{said}{_span(known, column.format)}"


def _span(found: Interval, how: str) -> str:
    how = "number" if how == "count" else how  # the mean of counts need not be whole
    low, high = formatted(how, found.low), formatted(how, found.high)
    return f"\n[{low}, {high}]" if low != high else ""


def _about(column: TableColumn) -> str:
    if column.key in of_runs.SERVICE:
        return "Service"
    if column.format in _TIME:
        return "Time"
    plot = column.column.plot
    bound = column.key in _GUARANTEE or (plot is not None and plot.kind == "bounded")
    return "Guarantee" if bound else "Quality"


def _seeds(groups: Sequence[SeedGroup]) -> bool:
    return any(len(group.rows) > 1 for group in groups)


def _over(groups: Sequence[SeedGroup]) -> str:
    """How many seeds the numbers are means over; nothing where there is one of each."""
    counts = sorted({len(group.rows) for group in groups})
    if counts[-1] == 1:
        return ""
    many = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"Means over {many} seeds; in brackets the 95% interval of the mean."
