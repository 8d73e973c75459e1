"""The columns of the side-by-side table: those that the runs declare, and those of the run's own record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from expunge.core.columns import Column
from expunge.record.columns import merged
from expunge.report.read import guarantees, text
from expunge.report.tables.table_rows import Row

LABEL = "unlearner"
SERVICE = {
    "removals_supported": Column(
        "supported",
        "↑",
        "removal requests that a certified method served before its first retraining or refusal; 'all' if "
        "neither ever came",
        "count",
        sub="of N requests",
    ),
    "retrained": Column("retrained", "↓", "requests answered by training again", "count"),
    "refused": Column("refused", "↓", "requests not carried out", "count"),
}
_LIMITS = {
    "used": Column(
        "budget used",
        "↓",
        "by the published method: the residual's bound at the last release, as a share of the budget std·ε/c",
        "share",
        sub="bound, last",
    ),
    "released": Column(
        "releases",
        "",
        "models that have left, the first and one for each request served, of those that the noise covers "
        "together",
        "count",
        sub="out of those covered",
    ),
    "epsilon_spent": Column(
        "ε spent",
        "↓",
        "the ε, at δ, of what has been released: with noise at release that of all releases so far together, "
        "by count alone; by the published method c·bound/std of the last; †: see below the table",
        sub="of ε",
    ),
    "epsilon_total": Column(
        "ε total",
        "↓",
        "guarantee of extractor and model together, for each removed row taken alone: the two ε summed, the "
        "two δ summed; 'none': there is no guarantee, and it is said why",
        sub="ε, δ",
    ),
    "seconds_removal_median": Column(
        "time / removal",
        "↓",
        "wall time of one removal alone, without evaluation: the median, and what 95% stay below; a request "
        "that was refused or trained again for is none, nor is the first of several, which may compile",
        "seconds",
        beside="seconds_removal_p95",
        sub="median, p95",
        cell="{value}, {beside}",
    ),
    "seconds_retrain": Column(
        "retraining time",
        "",
        "median of a run here that trains again at every request, on the same problem and device",
        "seconds",
    ),
    "speed_up": Column("speed-up", "↑", "retraining time over median time of a removal", "times"),
}
_METHOD = {LABEL: Column("unlearner", "", "the method, with the settings that tell the rows apart")}


@dataclass(frozen=True)
class TableColumn:
    """A column of a table: how its heading and its cells are written.

    Attributes:
        key: The value of a row that it shows, is sorted by and summarised over seeds.
        column: What is declared of it.
        format: How a value is written, one of the names of ``FORMATS`` or ``difference``.
        beside: How the second value of a cell is written.
        less: Key of the number in which this is a difference paired by seed; empty: it is none.
    """

    key: str
    column: Column
    format: str
    beside: str = ""
    less: str = ""

    @property
    def head(self) -> str:
        """The heading."""
        return text.plain(self.column.head)

    @property
    def title(self) -> str:
        """The heading with its arrow."""
        return f"{self.head} {self.column.arrow}".strip()

    @property
    def sub(self) -> str:
        """What its two or more values are."""
        return text.plain(self.column.sub)

    @property
    def definition(self) -> str:
        """What it means, as a sentence."""
        words = text.capital(text.plain(self.column.definition))
        return f"{words}." if words else ""

    def cell(self, row: Row) -> str:
        """Return what the table says of ``row``."""
        if (say := _SAID.get(self.key)) is not None:
            return say(row)
        beside = formatted(self.beside, row.number(self.column.beside))
        return self.words(formatted(self.format, row.number(self.key)), beside)

    def value(self, row: Row) -> float | None:
        """Return the unrounded number behind the cell; None where the cell says nothing, or holds words."""
        return None if self.cell(row) == text.NONE else row.number(self.key)

    def words(self, value: str, beside: str) -> str:
        """Return a cell of one or two values that are written already."""
        if not self.column.beside or value == beside == text.NONE:
            return value
        return text.plain(self.column.cell).replace("{value}", value).replace("{beside}", beside)


def columns(table: Sequence[Row]) -> list[TableColumn]:
    """Return the columns that say something of a row of ``table``.

    What is declared for methods of one role alone is shown where there is a run of that role, the total of
    extractor and model where it is not the model's own everywhere. What runs are compared by comes first.
    """
    declared = merged(row.of.columns for row in table)
    own = {key: column for key, column in declared.items() if key not in SERVICE | _LIMITS | _METHOD}
    first = {key: column for key, column in own.items() if column.main}
    roles = {"", *(row.of.role for row in table)}
    every = {**_METHOD, **first, **SERVICE, **own, **_LIMITS}
    if not any(row.not_covered or row.epsilon_total not in (None, row.epsilon) for row in table):
        del every["epsilon_total"]
    able = {key: c for key, c in every.items() if c.shown and c.over_run and c.only in roles}
    formats = {key: column.format for key, column in every.items()}
    shown = [TableColumn(key, c, c.format, formats.get(c.beside, c.format)) for key, c in able.items()]
    return [column for column in shown if any(column.cell(row) != text.NONE for row in table)]


def formatted(how: str, value: float | None) -> str:
    """Return a number as a column's ``format`` says that it is shown: each is a function of ``text``."""
    words: str = getattr(text, how)(value)
    return words


def _supported(row: Row) -> str:
    if row.budget_exhausted is None:
        return text.NONE
    served, asked = text.count(row.removals_supported), text.count(row.requests)
    return f"{served} of {asked}" if row.budget_exhausted else f"all {asked}"


def _epsilon(row: Row) -> str:
    if row.epsilon_spent is None:
        return text.NONE
    spent = text.number(row.epsilon_spent)
    return _marked(row, spent if row.epsilon is None else f"{spent} of {text.setting(row.epsilon)}")


def _released(row: Row) -> str:
    if row.releases is None:
        return text.NONE
    return f"{text.count(row.released)} of {text.count(row.releases)}"


def _total(row: Row) -> str:
    if row.not_covered:
        return "none"
    if row.epsilon_total is None:
        return text.NONE
    return _marked(row, f"{text.number(row.epsilon_total)}, {text.number(row.delta_total)}")


def _marked(row: Row, words: str) -> str:
    return f"{words} {guarantees.MARK}" if guarantees.marked(row.of) else words


_SAID: dict[str, Callable[[Row], str]] = {
    LABEL: lambda row: str(row.unlearner),
    "removals_supported": _supported,
    "released": _released,
    "epsilon_spent": _epsilon,
    "epsilon_total": _total,
}


def in_one_cell(key: str) -> bool:
    """Whether the cells of a column hold words of their own, more than the number that is summarised."""
    return key in _SAID and key != LABEL
