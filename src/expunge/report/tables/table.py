"""The table by method: one row a method, mean and interval over its seeds; and the runs, one row each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from expunge.core.columns import Column
from expunge.report.read import guarantees, text
from expunge.report.read.runs import complete
from expunge.report.tables import layout, table_rows
from expunge.report.tables.columns import LABEL, TableColumn, columns, formatted, in_one_cell
from expunge.report.tables.over_seeds import RESAMPLES, Interval, SeedGroup, interval
from expunge.report.tables.table_rows import Row

CAPTION = (
    "Mean over the seeds and, in brackets, its 95% interval: scipy's bootstrap (BCa, the percentile method "
    f"where BCa has no answer; {RESAMPLES:,} resamples from a fixed seed); with two seeds the two values. "
    "Differences are taken within a seed, against the retraining that was asked the very same requests."
)
BEST = "In bold: the best of a column with an arrow, of the methods on one data set."
_PAIRED = "against_retrain"


class Said(NamedTuple):
    """A cell of the table by method: number or numbers, the interval of the one, a note."""

    words: str
    interval: str = ""
    note: str = ""


def heads(groups: Sequence[SeedGroup]) -> list[TableColumn]:
    """Return the columns of the table by method: those of the runs, and the differences paired by seed."""
    names = _names(groups)
    shown = []
    for column in columns([row for group in groups for row in group.rows]):
        paired = [_against(column, names[column.key])] if column.key in names else []
        shown += [c for c in (column, *paired) if c.key == LABEL or any(_said(g, c) for g in groups)]
    return shown


def said(group: SeedGroup, column: TableColumn) -> Said:
    """Return what the table says of a method in a column: of one run as it stands, of several their mean."""
    values = _values(group, column)
    if len(group.rows) == 1 and not column.less:
        return Said(column.cell(group.rows[0]))
    cells = set() if column.less else {column.cell(row) for row in group.rows}
    if len(cells) == 1 and (in_one_cell(column.key) or not values):
        return Said(cells.pop())  # they all say the same, in words
    if not values:
        return Said(text.NONE)
    found = interval(values)
    words, note = number(found.mean, column.format), ""
    if column.key == "removals_supported" and any(row.budget_exhausted is False for row in group.rows):
        words = f"≥ {words}"
    if not in_one_cell(column.key):
        other = group.values.get(column.column.beside)
        words = column.words(words, text.NONE if other is None else number(other.mean, column.beside))
    if len(values) < len(group.rows):
        note = f"({len(values)} of {len(group.rows)} pairs)"
    elif in_one_cell(column.key) and any(one.endswith(guarantees.MARK) for one in cells):
        note = guarantees.MARK
    return Said(words, _range(found, column.format), note)


def cell(group: SeedGroup, column: TableColumn) -> str:
    """Return the same in one line, with the interval of either number of a cell."""
    one, values = said(group, column), _values(group, column)
    if column.key == LABEL:
        return group.title
    if not one.interval:
        return f"{one.words} {one.note}".strip()
    words = f"{number(interval(values).mean, column.format)} {one.interval}"
    words = f"≥ {words}" if one.words.startswith("≥") else words
    if not in_one_cell(column.key):
        other = group.values.get(column.column.beside)
        shown = "" if other is None else f"{number(other.mean, column.beside)} {_range(other, column.beside)}"
        words = column.words(words, shown.strip() or text.NONE)
    return f"{words} {one.note}".strip()


def interval_of(group: SeedGroup, column: TableColumn) -> Interval | None:
    """Return the mean and the interval that a cell shows; None where it shows none."""
    values = _values(group, column)
    return interval(values) if values else None


def best(groups: Sequence[SeedGroup], column: TableColumn) -> set[int]:
    """Return the places of the methods that are best in a column; none where nothing tells them apart.

    Methods are compared within a data set. What is written alike is equally good.
    """
    sign = {"↑": 1, "↓": -1}.get(column.column.arrow)
    sets: dict[str, dict[int, float]] = {}
    for place, group in enumerate(groups):
        if sign and (shown := interval_of(group, column)) is not None:
            sets.setdefault(str(group.rows[0].dataset), {})[place] = sign * shown.mean
    marked: set[int] = set()
    for means in sets.values():
        top = max(means.values())
        like = {place for place, mean in means.items() if _signed(mean, column) == _signed(top, column)}
        marked |= like if len(like) < len(means) else set()
    return marked


def _signed(mean: float, column: TableColumn) -> tuple[bool, str]:
    return mean < 0, number(abs(mean), column.format)


def sub(column: TableColumn) -> str:
    """Return what the heading's second line says where a cell holds the one value that is summarised."""
    return "" if in_one_cell(column.key) else column.sub


def notes(table: Sequence[Row], more: Sequence[str] = ()) -> list[str]:
    """Return all that is to be said below a table of these rows."""
    return [*more, *table_rows.guaranteed(table), *table_rows.notes(table)]


def as_markdown(groups: Sequence[SeedGroup], named: Sequence[Row], more: Sequence[str] = ()) -> str:
    """Return the table by method in Markdown, the best in bold, with notes, legend and the single runs below.

    Args:
        groups: The methods.
        named: The rows of the runs, called as their methods.
        more: What is to be said beyond what the rows themselves give.
    """
    head, several = heads(groups), any(len(group.rows) > 1 for group in groups)
    marked = [best(groups, c) for c in head]
    cells = [
        [
            ("**{}**" if place in some else "{}").format(cell(group, c))
            for c, some in zip(head, marked, strict=True)
        ]
        for place, group in enumerate(groups)
    ]
    titles = [f"{c.title} ({sub(c)})" if sub(c) else c.title for c in head]
    terms = "\n".join(f"- **{layout.escaped(c.title)}**: {layout.escaped(c.definition)}" for c in head)
    lines = [layout.escaped(note) for note in notes(named, more)]
    lines += [CAPTION] * several + [BEST] * any(marked)
    return "\n\n".join([layout.markdown(titles, cells), *lines, terms]) + "\n"


def runs_as_markdown(table: Sequence[Row]) -> str:
    """Return the single runs in Markdown under their heading, without notes."""
    head = columns(table)
    titles = [f"{c.title} ({c.sub})" if c.sub else c.title for c in head]
    cells = [[c.cell(row) for c in head] for row in table]
    return f"## Single runs\n\n{layout.markdown(titles, cells)}\n"


def as_csv(table: Sequence[Row]) -> str:
    """Return the runs' values unrounded, one line a run; what is not known is an empty cell."""
    from expunge.report.tables import frames  # slow to import, and the table alone can do without

    return frames.as_csv(row.values for row in table)


def methods_as_csv(groups: Sequence[SeedGroup]) -> str:
    """Return one line a method, unrounded: its seeds, and of every number mean, low and high end."""
    from expunge.report.tables import frames

    names, lines = _names(groups), []
    for group in groups:
        first = group.rows[0]
        own = {key: getattr(first, key) for key in ("dataset", "extractor", "model", "role")}
        found = dict(group.values) | {
            names[key]: interval(values) for key, values in group.paired.items() if values
        }
        line = {"unlearner": group.label, **own, "runs": len(group.rows), "seeds": " ".join(group.seeds)}
        for key, one in found.items():
            line |= {key: one.mean, f"{key}_low": one.low, f"{key}_high": one.high}
        lines.append(line)
    return frames.as_csv(lines)


def _against(column: TableColumn, name: str) -> TableColumn:
    """Return the column of the differences in another one."""
    told = f"{column.head} after the last request less that of the retraining of the same seed and requests"
    declared = Column("against retraining", column.column.arrow, told, sub=f"{column.head}, paired")
    return TableColumn(name, declared, "difference", less=column.key)


def _names(groups: Sequence[SeedGroup]) -> dict[str, str]:
    """Return what the differences are called, by the number that they are taken in."""
    every = dict.fromkeys(key for group in groups for key in group.paired)
    return {key: f"{_PAIRED}_{key}" if place else _PAIRED for place, key in enumerate(every)}


def _values(group: SeedGroup, column: TableColumn) -> list[float]:
    """Return the numbers behind a cell: those of every run, or none; of differences those of every pair."""
    if column.less:
        return group.paired.get(column.less, [])
    return complete(map(column.value, group.rows))


def _said(group: SeedGroup, column: TableColumn) -> bool:
    return said(group, column).words != text.NONE


def number(value: float, how: str) -> str:
    """Return a mean as its column's ``format`` says; that of counts need not be whole."""
    return formatted("number" if how == "count" else how, value)


def _range(found: Interval, how: str) -> str:
    """Return an interval in brackets; empty where its ends are written alike."""
    low, high = number(found.low, how), number(found.high, how)
    return "" if low == high else f"[{low}, {high}]"
