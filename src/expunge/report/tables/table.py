"""The table by method: what it says in every cell, from which it is written in every form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from expunge.core import markdown, text
from expunge.core.columns import Column
from expunge.core.intervals import RESAMPLES, Interval, of_all
from expunge.core.spreadsheets import as_csv
from expunge.record.folders import guarantees
from expunge.report.tables.columns import LABEL, SUPPORTED, TableColumn, columns, formatted
from expunge.report.tables.over_seeds import SeedGroup
from expunge.report.tables.table_rows import Row

CAPTION = (
    "Mean over the seeds and, in brackets, its 95% interval: scipy's bootstrap (BCa, the percentile method "
    f"where BCa has no answer; {RESAMPLES:,} resamples from a fixed seed); with two seeds the two values. "
    "Differences are taken within a seed, against the retraining that was asked the very same requests."
)
NESTED = "Repeats and evaluations of one seed are not independent: their mean counts once."
BEST = "In bold: the best of a column with an arrow, of the methods on one data set."
_PAIRED = "against_retrain"


@dataclass(frozen=True)
class Cell:
    """What the table says of a method in a column.

    Attributes:
        words: What a run says itself, if all runs of the method do; else the mean, or the means of two
            numbers.
        found: Mean and interval of the number that is summarised; None where words are all there is.
        span: The interval in brackets; empty where its ends are written alike.
        whole: The words with the interval of either number.
        note: What is to be known of it besides.
        best: Whether it is the best of its column.
    """

    words: str
    found: Interval | None = None
    span: str = ""
    whole: str = ""
    note: str = ""
    best: bool = False

    @property
    def line(self) -> str:
        """All of it in one line."""
        return f"{self.whole or self.words} {self.note}".strip()


def heads(groups: Sequence[SeedGroup]) -> list[TableColumn]:
    """Return the columns of the table by method: those of the runs, and the differences paired by seed."""
    names = _names(groups)
    shown = []
    for column in columns([row for group in groups for row in group.rows]):
        paired = [_against(column, names[column.key])] if column.key in names else []
        shown += [c for c in (column, *paired) if any(cell(g, c).words != text.NONE for g in groups)]
    return shown


def cell(group: SeedGroup, column: TableColumn) -> Cell:
    """Return what the table says of a method in a column: of one run as it stands, of several their mean."""
    if column.key == LABEL:
        return Cell(group.title)
    said = [] if column.less else list(dict.fromkeys(map(column.cell, group.single)))
    # Of several runs the numbers of every run, or none; of differences those of every pair.
    known = group.paired.get(column.less, []) if column.less else list(map(column.value, group.rows))
    found = of_all(known)
    if len(said) == 1 or found is None:
        return Cell(said[0] if len(said) == 1 else text.NONE, found)
    first = number(found.mean, column.format)
    if column.key == SUPPORTED and any(row.budget_exhausted is False for row in group.rows):
        first = f"≥ {first}"
    span, other = _span(found, column.format), group.values.get(column.column.beside)
    second, its = (
        ("", "") if other is None else (number(other.mean, column.beside), _span(other, column.beside))
    )
    words = column.words(first, second or text.NONE)
    whole = column.words(f"{first} {span}".strip(), f"{second} {its}".strip() or text.NONE)
    pairs = f"({len(known)} of {len(group.rows)} pairs)" if len(known) < len(group.rows) else ""
    mark = guarantees.MARK if any(one.endswith(guarantees.MARK) for one in said) else ""
    return Cell(words, found, span, whole, pairs or mark)


def body(groups: Sequence[SeedGroup], head: Sequence[TableColumn]) -> list[list[Cell]]:
    """Return the cells of every method, the best of each column marked."""
    marked = [best(groups, column) for column in head]
    return [
        [replace(cell(group, c), best=place in some) for c, some in zip(head, marked, strict=True)]
        for place, group in enumerate(groups)
    ]


def best(groups: Sequence[SeedGroup], column: TableColumn) -> set[int]:
    """Return the places of the methods that are best in a column; none where nothing tells them apart.

    Methods are compared within a data set. What is written alike is equally good.
    """
    sign = {"↑": 1, "↓": -1}.get(column.column.arrow)
    sets: dict[str, dict[int, float]] = {}
    for place, group in enumerate(groups):
        if sign and (found := cell(group, column).found) is not None:
            sets.setdefault(str(group.rows[0].dataset), {})[place] = sign * found.mean
    marked: set[int] = set()
    for means in sets.values():
        top = _signed(max(means.values()), column)
        like = {place for place, mean in means.items() if _signed(mean, column) == top}
        marked |= like if len(like) < len(means) else set()
    return marked


def _signed(mean: float, column: TableColumn) -> tuple[bool, str]:
    return mean < 0, number(abs(mean), column.format)


def as_markdown(groups: Sequence[SeedGroup], notes: Sequence[str] = ()) -> str:
    """Return the table by method in Markdown, the best in bold, with notes and legend below."""
    head = heads(groups)
    cells = body(groups, head)
    words = [[f"**{one.line}**" if one.best else one.line for one in line] for line in cells]
    terms = "\n".join(f"- **{markdown.escaped(c.title)}**: {markdown.escaped(c.definition)}" for c in head)
    said = [markdown.escaped(note) for note in notes]
    said += [CAPTION] * any(len(group.rows) > 1 for group in groups)
    said += [NESTED] * any(group.is_nested for group in groups)
    said += [BEST] * any(one.best for line in cells for one in line)
    return "\n\n".join([markdown.table([c.titles for c in head], words), *said, terms]) + "\n"


def runs_as_markdown(table: Sequence[Row]) -> str:
    """Return the single runs in Markdown under their heading, without notes."""
    head = columns(table)
    cells = [[c.cell(row) for c in head] for row in table]
    return f"## Single runs\n\n{markdown.table([c.titles for c in head], cells)}\n"


def methods_as_csv(groups: Sequence[SeedGroup]) -> str:
    """Return one line a method, unrounded: its seeds, and of every number mean, low and high end."""
    names, lines = _names(groups), []
    for group in groups:
        own = {key: getattr(group.rows[0], key) for key in ("dataset", "extractor", "model", "role")}
        line = {"unlearner": group.label, **own, "runs": len(group.single), "seeds": " ".join(group.seeds)}
        paired = {names[key]: of_all(values) for key, values in group.paired.items()}
        for key, found in (group.values | paired).items():
            line |= dict(zip((key, f"{key}_low", f"{key}_high"), found or (), strict=False))
        lines.append(line)
    return as_csv(lines)


def _against(column: TableColumn, name: str) -> TableColumn:
    """Return the column of the differences in another one."""
    told = f"{column.head} after the last request less that of the retraining of the same seed and requests"
    declared = Column("against retraining", column.column.arrow, told, sub=f"{column.head}, paired")
    return TableColumn(name, declared, "difference", less=column.key)


def _names(groups: Sequence[SeedGroup]) -> dict[str, str]:
    """Return what the differences are called, by the number that they are taken in."""
    every = dict.fromkeys(key for group in groups for key in group.paired)
    return {key: f"{_PAIRED}_{key}" if place else _PAIRED for place, key in enumerate(every)}


def number(value: float, how: str) -> str:
    """Return a mean as its column's ``format`` says; that of counts need not be whole."""
    return formatted("number" if how == "count" else how, value)


def _span(found: Interval, how: str) -> str:
    """Return an interval in brackets; empty where its ends are written alike."""
    low, high = number(found.low, how), number(found.high, how)
    return "" if low == high else f"[{low}, {high}]"
