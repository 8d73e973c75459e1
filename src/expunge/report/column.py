"""One column of the side-by-side table: what it says, which way is better, how its values are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from expunge.report import text
from expunge.report.row import Row
from expunge.report.runs import finite


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        key: The field (or property) of a row that it is sorted by and summarised over seeds.
        head: Its heading.
        sub: What its two or more values are.
        arrow: Which way is better; empty where neither is.
        definition: What it means, in a sentence.
        one: How a single value of ``key`` is written.
        several: What a cell says where that is more than the one value.
        beside: The field of a second value that is summarised over seeds next to that of ``key``.
    """

    key: str
    head: str
    sub: str
    arrow: str
    definition: str
    one: Callable[[float | None], str] = text.number
    several: Callable[[Row], str] | None = None
    beside: str = ""

    @property
    def title(self) -> str:
        """The heading with its arrow."""
        return f"{self.head} {self.arrow}".strip()

    def cell(self, row: Row) -> str:
        """Return what the table says of ``row``."""
        return self.one(getattr(row, self.key)) if self.several is None else self.several(row)

    def value(self, row: Row) -> float | None:
        """Return the unrounded number behind the cell; None where the cell says nothing, or holds words."""
        return None if self.cell(row) == text.NONE else finite(getattr(row, self.key))
