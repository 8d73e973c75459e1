"""The table over seeds: one row a group of runs that differ only in their seed."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from textwrap import fill

from expunge.report import layout, text
from expunge.report.column import Column
from expunge.report.columns import columns
from expunge.report.over_seeds import RESAMPLES, Interval, SeedGroup, interval

CAPTION = (
    "Mean over the seeds and, in brackets, its 95% interval: scipy's bootstrap (BCa, the percentile method "
    f"where BCa has no answer; {RESAMPLES:,} resamples from a fixed seed); with two seeds the two values. "
    "Differences are taken within a seed, against the retrain run that was asked the very same requests."
)
_AGAINST = Column(
    "against_retrain",
    "against retrain",
    "test accuracy, paired",
    "↑",
    "Test accuracy after the last request less that of the retrain run of the same seed and requests.",
)


def heads(groups: Sequence[SeedGroup]) -> list[Column]:
    """Return the columns of the table over seeds: those of the table of runs, and the paired difference."""
    own = columns([row for group in groups for row in group.rows])
    shown = [c for c in own[1:] if any(_values(group, c) for group in groups)]
    paired = [_AGAINST] if any(group.against_retrain for group in groups) else []
    at = 1 + next((i for i, c in enumerate(shown) if c.key == "test_accuracy_after"), -1)
    return [own[0], *shown[:at], *paired, *shown[at:]]


def cell(group: SeedGroup, column: Column) -> str:
    """Return what the table over seeds says of a group."""
    if column.key == "unlearner":
        return f"{group.label} · {len(group.runs)} seeds"
    values = _values(group, column)
    if not values:
        return text.NONE
    said = _of(interval(values), _one(column))
    if column.key == "removals_supported":
        said = _at_least(group) + said
    if column.beside:
        other = group.values.get(column.beside)
        said += f" / {text.NONE if other is None else _of(other, _one(column))}"
    return said if len(values) == len(group.runs) else f"{said} ({len(values)} of {len(group.runs)} pairs)"


def value(group: SeedGroup, column: Column) -> float | None:
    """Return the mean that the cell shows; None where it shows none."""
    values = _values(group, column)
    return interval(values).mean if values else None


def _values(group: SeedGroup, column: Column) -> list[float]:
    """Return the numbers behind a cell: those of every run, or none."""
    if column is _AGAINST:
        return group.against_retrain
    known = [v for row in group.rows if (v := column.value(row)) is not None]
    return known if len(known) == len(group.rows) else []


def as_text(groups: Sequence[SeedGroup]) -> str:
    """Return the table as aligned plain text under its heading, with how it was made."""
    head = heads(groups)
    titles = [[c.title for c in head], [sub(c) for c in head]]
    body = layout.aligned(titles, [[cell(group, c) for c in head] for group in groups])
    return f"Over seeds\n\n{body}\n\n{fill(CAPTION, 100)}\n"


def as_markdown(groups: Sequence[SeedGroup]) -> str:
    """Return the table in Markdown under its heading, with how it was made."""
    head = heads(groups)
    body = layout.markdown([c.title for c in head], [[cell(group, c) for c in head] for group in groups])
    return f"## Over seeds\n\n{body}\n\n{CAPTION}\n"


def as_csv(groups: Sequence[SeedGroup]) -> str:
    """Return one line a group and value, unrounded."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["unlearner", "seeds", "value", "n", "mean", "low", "high"])
    for group in groups:
        paired = {_AGAINST.key: interval(group.against_retrain)} if group.against_retrain else {}
        for name, found in {**group.values, **paired}.items():
            n = len(group.against_retrain if name == _AGAINST.key else group.runs)
            writer.writerow([group.label, " ".join(group.seeds), name, n, *found])
    return out.getvalue()


def sub(column: Column) -> str:
    """Return what the heading's second line says where a cell holds the one value that is summarised."""
    kept = column.several is None or column.beside or column.key == "unlearner"
    return column.sub if kept else ""


def _of(found: Interval, one: Callable[[float | None], str]) -> str:
    words = [one(v) for v in found]
    return words[0] if words[1] == words[2] else f"{words[0]} [{words[1]}, {words[2]}]"


def _one(column: Column) -> Callable[[float | None], str]:
    """Return how a mean is written: that of counts need not be whole."""
    if column is _AGAINST:
        return _signed
    return text.number if column.one is text.count else column.one


def _signed(value: float | None) -> str:
    return text.NONE if value is None else f"{value:+.4f}"


def _at_least(group: SeedGroup) -> str:
    return "≥ " if any(row.budget_exhausted is False for row in group.rows) else ""
