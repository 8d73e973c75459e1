"""The columns of the side-by-side table: those that the runs declare, and those of the run's own record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from expunge.core import text
from expunge.core.columns import Column
from expunge.record.columns import OWN, merged
from expunge.record.folders import guarantees
from expunge.report.tables.table_rows import Row

LABEL, SUPPORTED, TOTAL = "unlearner", "removals_supported", "epsilon_total"
BREAK_EVEN = "break_even"
SERVICE = {key: OWN[key] for key in (SUPPORTED, "retrained", "refused")}
LIMITS = {
    "used": Column(
        "budget used",
        "↓",
        "by the published method: the residual's bound at the last release, as a share of the budget std·ε/c",
        "share",
        sub="bound, last",
    ),
    **{key: OWN[key] for key in ("released", "epsilon_spent", TOTAL, "seconds_removal_median")},
    "seconds_retrain": Column(
        "retraining time",
        "",
        "median of a run here that trains again at every request, on the same problem and device",
        "seconds",
    ),
    "speed_up": Column("speed-up", "↑", "retraining time over median time of a removal", "times"),
    BREAK_EVEN: Column(
        "break-even",
        "↑",
        "requests that together take no longer than training again once: retraining time, less what the fit "
        "took longer than that of the run that does, over the mean time of one removal; 0: it takes longer",
        "count",
    ),
}
TIMES = ("seconds", "times")  # formats
_METHOD = {LABEL: Column("unlearner", "", "the method, with the settings that tell the rows apart")}
_MARKED = ("epsilon_spent", TOTAL)  # an ε that may protect nobody, or not as it stands
_FORMATS = {"epsilon": "setting"}  # of what has no column of its own


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
        return self.column.head

    @property
    def title(self) -> str:
        """The heading with its arrow."""
        return f"{self.head} {self.column.arrow}".strip()

    @property
    def titles(self) -> str:
        """The heading with its arrow, and in brackets what its two or more values are."""
        return f"{self.title} ({self.column.sub})" if self.column.sub else self.title

    @property
    def definition(self) -> str:
        """What it means, as a sentence."""
        words = text.capital(self.column.definition)
        return f"{words}." if words else ""

    @property
    def out_of(self) -> bool:
        """Whether the second value says out of what the first is, and nothing alone."""
        return self.key in (SUPPORTED, "released", *_MARKED)

    def cell(self, row: Row) -> str:
        """Return what the table says of ``row``."""
        if self.key == LABEL:
            return str(row.unlearner)
        if self.key == TOTAL and row.not_covered:
            return "none"
        if self.key == SUPPORTED and not row.budget_exhausted:
            return text.NONE if row.budget_exhausted is None else f"all {text.count(row.requests)}"
        values = row.number(self.key), row.number(self.column.beside)
        words = self.words(*map(formatted, (self.format, self.beside), values))
        marked = self.key in _MARKED and words != text.NONE and guarantees.marked(row.of)
        return f"{words} {guarantees.MARK}" if marked else words

    def value(self, row: Row) -> float | None:
        """Return the unrounded number behind the cell; None where the cell says nothing, or holds words."""
        return None if self.cell(row) == text.NONE else row.number(self.key)

    def words(self, value: str, beside: str) -> str:
        """Return a cell of one or two values that are written already; out of what may be unknown."""
        unknown = [one for one in (value, beside) if one == text.NONE]
        if not self.column.beside or len(unknown) == 2 or (unknown and self.out_of):
            return value
        return self.column.cell.replace("{value}", value).replace("{beside}", beside)


def columns(table: Sequence[Row]) -> list[TableColumn]:
    """Return the columns that say something of a row of ``table``.

    What is declared for methods of one role alone is shown where there is a run of that role, the total of
    extractor and model where it is not the model's own everywhere. What runs are compared by comes first.
    """
    declared = merged(row.of.columns for row in table)
    own = {key: column for key, column in declared.items() if key not in SERVICE | LIMITS | _METHOD}
    first = {key: column for key, column in own.items() if column.main}
    roles = {"", *(row.of.role for row in table)}
    every = {**_METHOD, **first, **SERVICE, **own, **LIMITS}
    if not any(row.not_covered or row.epsilon_total not in (None, row.epsilon) for row in table):
        del every[TOTAL]
    formats = _FORMATS | {key: column.format for key, column in every.items()}
    shown = [
        TableColumn(key, c, c.format, formats.get(c.beside, c.format))
        for key, c in every.items()
        if c.shown and c.over_run and c.only in roles
    ]
    return [column for column in shown if any(column.cell(row) != text.NONE for row in table)]


def formatted(how: str, value: float | None) -> str:
    """Return a number as a column's ``format`` says that it is shown: each is a function of ``text``."""
    words: str = getattr(text, how)(value)
    return words
