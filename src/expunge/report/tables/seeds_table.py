"""The table over seeds: one row a group of runs that differ only in their seed."""

from __future__ import annotations

from collections.abc import Sequence

from expunge.core.columns import Column
from expunge.report.read import text
from expunge.report.read.runs import complete
from expunge.report.tables import layout
from expunge.report.tables.columns import LABEL, TableColumn, columns, formatted, in_one_cell
from expunge.report.tables.over_seeds import RESAMPLES, Interval, SeedGroup, interval

CAPTION = (
    "Mean over the seeds and, in brackets, its 95% interval: scipy's bootstrap (BCa, the percentile method "
    f"where BCa has no answer; {RESAMPLES:,} resamples from a fixed seed); with two seeds the two values. "
    "Differences are taken within a seed, against the retraining that was asked the very same requests."
)
_PAIRED = "against_retrain"


def heads(groups: Sequence[SeedGroup]) -> list[TableColumn]:
    """Return the columns of the table over seeds: those of the table of runs, and the paired differences."""
    names = _names(groups)
    shown = []
    for column in columns([row for group in groups for row in group.rows]):
        paired = [_against(column, names[column.key])] if column.key in names else []
        shown += [c for c in (column, *paired) if c.key == LABEL or any(_values(g, c) for g in groups)]
    return shown


def cell(group: SeedGroup, column: TableColumn) -> str:
    """Return what the table over seeds says of a group."""
    if column.key == LABEL:
        return f"{group.label} · {len(group.rows)} seeds"
    values = _values(group, column)
    if not values:
        return text.NONE
    said = _of(interval(values), column.format)
    if column.key == "removals_supported":
        said = f"≥ {said}" if any(row.budget_exhausted is False for row in group.rows) else said
    elif not in_one_cell(column.key):
        other = group.values.get(column.column.beside)
        said = column.words(said, text.NONE if other is None else _of(other, column.beside))
    return said if len(values) == len(group.rows) else f"{said} ({len(values)} of {len(group.rows)} pairs)"


def value(group: SeedGroup, column: TableColumn) -> float | None:
    """Return the mean that the cell shows; None where it shows none."""
    values = _values(group, column)
    return interval(values).mean if values else None


def _against(column: TableColumn, name: str) -> TableColumn:
    """Return the column of the differences in another one."""
    said = f"{column.head} after the last request less that of the retraining of the same seed and requests"
    declared = Column("against retraining", column.column.arrow, said, sub=f"{column.head}, paired")
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


def as_markdown(groups: Sequence[SeedGroup]) -> str:
    """Return the table in Markdown under its heading, with how it was made."""
    head = heads(groups)
    body = layout.markdown([c.title for c in head], [[cell(group, c) for c in head] for group in groups])
    return f"## Over seeds\n\n{body}\n\n{CAPTION}\n"


def as_csv(groups: Sequence[SeedGroup]) -> str:
    """Return one line a group and value, unrounded."""
    from expunge.report.tables import frames  # slow to import, and the table alone can do without

    names = _names(groups)
    lines = []
    for group in groups:
        paired = {names[key]: values for key, values in group.paired.items() if values}
        found = {key: (len(group.rows), one) for key, one in group.values.items()}
        found |= {name: (len(values), interval(values)) for name, values in paired.items()}
        own = {"unlearner": group.label, "seeds": " ".join(group.seeds)}
        lines += [{**own, "value": name, "n": n, **one._asdict()} for name, (n, one) in found.items()]
    return frames.as_csv(lines)


def _of(found: Interval, how: str) -> str:
    words = [formatted("number" if how == "count" else how, v) for v in found]  # a mean need not be whole
    return words[0] if words[1] == words[2] else f"{words[0]} [{words[1]}, {words[2]}]"


def sub(column: TableColumn) -> str:
    """Return what the heading's second line says where a cell holds the one value that is summarised."""
    return "" if in_one_cell(column.key) else column.sub
