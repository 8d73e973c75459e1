"""The tables of the page: by method, with the runs folded in; of guarantees; and of settings that differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from expunge.report.read import guarantees, text
from expunge.report.read.begun import Begun
from expunge.report.read.run_settings import differing
from expunge.report.read.runs import Run
from expunge.report.tables import table
from expunge.report.tables.columns import TableColumn
from expunge.report.tables.contents import Contents
from expunge.report.tables.over_seeds import SeedGroup
from expunge.report.tables.table_rows import Row, rows

_FEW = 4  # runs that stand side by side in the table of settings; of more, each has a row


@dataclass(frozen=True)
class Heading:
    """A heading: its name in the page's address, words, tooltip, second line, and how it sorts at first."""

    key: str
    title: str
    tip: str = ""
    sub: str = ""
    first: str = "ascending"


@dataclass(frozen=True)
class Cell:
    """A cell: words, the number they are sorted by, a second line, and whether it is the best."""

    words: str
    value: float | None = None
    small: str = ""
    best: bool = False


@dataclass(frozen=True)
class Line:
    """A line of a table.

    Attributes:
        label: What it is called.
        cells: Those after the first, which holds the label.
        folder: The folder of its run, and ``href`` the way there.
        small: What stands after the label; a run that is ``unfinished`` says there how far it is.
        runs: The lines that are folded into it.
        colour: Of the method in the figures.
    """

    label: str
    cells: Sequence[Cell]
    folder: str = ""
    href: str = ""
    small: str = ""
    runs: Sequence[Line] = field(default_factory=list)
    colour: int | None = None
    unfinished: bool = False


@dataclass(frozen=True)
class Table:
    """A table; the name is that in the page's address, without one it cannot be sorted."""

    label: str
    heads: Sequence[Heading]
    lines: Sequence[Line]
    name: str = ""


def by_method(contents: Contents, links: Mapping[str, str]) -> Table:
    """Return the table by method; runs that are not finished stand with theirs, and are in no mean."""
    groups = contents.groups
    columns = table.heads(groups)
    marked = [table.best(groups, column) for column in columns]
    begun = list(zip(contents.begun, rows([one.run for one in contents.begun]), strict=True))
    lines = []
    for place, group in enumerate(groups):
        own = [one for one in begun if one[0].is_like(group.rows[0].of)]
        begun = [one for one in begun if one not in own]
        best = [place in some for some in marked]
        lines.append(_method(group, columns, best, own, links))
    lines += [_unfinished(one, row, row.unlearner, columns, links) for one, row in begun]
    return Table("Table by method", [_heading(c, table.sub(c)) for c in columns], lines, "methods")


def _method(
    group: SeedGroup,
    columns: Sequence[TableColumn],
    best: Sequence[bool],
    begun: Sequence[tuple[Begun, Row]],
    links: Mapping[str, str],
) -> Line:
    cells = []
    for column, marked in list(zip(columns, best, strict=True))[1:]:
        one, found = table.said(group, column), table.interval_of(group, column)
        small = f"{one.interval} {one.note}".strip()
        cells.append(Cell(one.words, None if found is None else found.mean, small, marked))
    runs = [Line(f"seed {row.seed}", _of_run(row, columns), *_place(row.of, links)) for row in group.rows]
    runs += [
        Line(f"seed {row.seed}", _of_run(row, columns), *_place(row.of, links), small="again: in no mean")
        for row in group.again
    ]
    runs += [_unfinished(one, row, f"seed {row.seed}", columns, links) for one, row in begun]
    if len(runs) > 1:
        seeds = "1 seed" if len(group.rows) == 1 else f"{len(group.rows)} seeds"
        more = f", {len(begun)} unfinished" if begun else ""
        return Line(group.label, cells, small=f"{seeds}{more}", runs=runs, colour=group.colour)
    return Line(group.label, cells, *_place(group.rows[0].of, links), colour=group.colour)


def _of_run(row: Row, columns: Sequence[TableColumn]) -> list[Cell]:
    """Return the cells of a single run; a difference paired by seed is said of its method."""
    return [Cell("") if c.less else Cell(c.cell(row), c.value(row)) for c in columns[1:]]


def _unfinished(
    one: Begun, row: Row, label: str, columns: Sequence[TableColumn], links: Mapping[str, str]
) -> Line:
    cells = _of_run(row, columns)
    return Line(label, cells, *_place(one.run, links), small=f"unfinished: {one.so_far}", unfinished=True)


def of_guarantees(groups: Sequence[SeedGroup]) -> tuple[Table, list[tuple[str, str]]] | None:
    """Return what each certified method guarantees, and the words with whose they are; None for none."""
    able = [group for group in groups if group.rows[0].guarantee]
    if not able:
        return None
    heads = [Heading(f"guarantees.{key}", title, tip) for key, title, tip in _GUARANTEES]
    lines = [
        Line(group.label, [Cell(*cell) for cell in _guarantee(group.average)], colour=group.colour)
        for group in able
    ]
    every = [(row.guarantee, group.label) for group in groups for row in group.rows if row.guarantee]
    said = guarantees.grouped(dict.fromkeys(every))
    named = {
        what: guarantees.named(names, len(groups)) if len(said) > 1 else "" for what, names in said.items()
    }
    return Table("Guarantees", heads, lines, "guarantees"), list(named.items())


_GUARANTEES = (
    ("run", "unlearner", ""),
    ("scheme", "guarantee", ""),
    ("releases", "releases covered", "Models that may leave, seen together: the first, and one a request"),
    ("released", "of them out", "Models that have left"),
    ("spent", "ε so far", "At δ; with noise at release that of all that are out together"),
    ("epsilon", "ε", "Promised in all; as published that of one model"),
    ("delta", "δ", "Promised in all; as published that of one model"),
    ("std", "std of the noise", "Standard deviation of the noise in each weight of a release"),
    ("hidden", "distance hidden", "How far the model inside may be from exact retraining, at most"),
)


def _guarantee(row: Row) -> list[tuple[str, float | None]]:
    """Return the cells of a method in the table of guarantees: words, and the numbers behind them."""
    mark = f" {guarantees.MARK}" if guarantees.marked(row.of) else ""
    counts = [row.releases, row.released]
    numbers = [row.epsilon_spent, row.epsilon, row.of.number("delta"), row.std, row.sensitivity]
    shown = [*map(text.count, counts), *map(text.number, numbers)]
    return [(guarantees.scheme(row.of) + mark, None), *zip(shown, [*counts, *numbers], strict=True)]


def differences(runs: Sequence[Run], links: Mapping[str, str]) -> Table | None:
    """Return the settings in which the runs differ; None for a single run, or where they differ in none."""
    found = differing(runs)
    if not found:
        return None
    if len(runs) <= _FEW:
        heads = [Heading("", title) for title in ("setting", *(text.plain(run.name) for run in runs))]
        return Table(
            "Settings that differ", heads, [Line(key, list(map(Cell, v))) for key, v in found.items()]
        )
    heads = [Heading("settings.folder", "run folder"), *(Heading(f"settings.{key}", key) for key in found)]
    cells = zip(*map(_numbered, found.values()), strict=True)
    lines = [Line("", line, *_place(run, links)) for run, line in zip(runs, cells, strict=True)]
    return Table("Settings that differ", heads, lines, "settings")


def _place(run: Run, links: Mapping[str, str]) -> tuple[str, str]:
    return text.plain(run.name), links.get(run.name, "")


def _heading(column: TableColumn, sub: str) -> Heading:
    """Return the heading of a column, sorted so at first that the best is on top."""
    way = "descending" if column.column.arrow == "↑" else "ascending"
    return Heading(f"methods.{column.key}", column.title, column.definition, sub, way)


def _numbered(values: Sequence[str]) -> Iterable[Cell]:
    """Return cells with their numbers where all that is set are numbers."""
    numbers = [_number(value) for value in values]
    known = all(n is not None for n, v in zip(numbers, values, strict=True) if v != text.NONE)
    return [Cell(v, n if known else None) for n, v in zip(numbers, values, strict=True)]


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None
