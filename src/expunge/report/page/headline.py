"""The method whose numbers are the page's first lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from expunge.core.columns import Columns
from expunge.record.columns import merged
from expunge.record.folders import guarantees
from expunge.report.tables.over_seeds import SeedGroup
from expunge.report.tables.table_rows import Row

_NEARLY_AS_MANY = 0.9


class Headline(NamedTuple):
    """The method that did best, and of which methods it is the best.

    Attributes:
        best: Its means over the seeds: the best of many seeds would look better than the method is.
        columns: The numbers that are said of it.
        certified: Whether it is the best of the certified ones; else none of the methods is certified.
        scheme: The scheme of guarantee that its rivals were narrowed to; empty where all have the same.
        together: Whether they were narrowed to those with a guarantee of extractor and model together.
    """

    best: Row
    columns: Columns
    certified: bool = False
    scheme: str = ""
    together: bool = False


def headline(groups: Sequence[SeedGroup]) -> Headline:
    """Return the certified method that served most, most accurately; another if none is certified.

    Of those that removed nearly as many as any the most accurate, so that no wreck comes first.
    """
    every = [group.average for group in groups]
    columns = {k: c for k, c in merged(row.of.columns for row in every).items() if c.headline or c.main}
    certified = [row for row in every if row.of.certified]
    if not certified:
        most = max(row.removed or 0 for row in every)
        near = [row for row in every if (row.removed or 0) >= _NEARLY_AS_MANY * most]
        return Headline(max(near, key=lambda row: _good(row, columns)), columns)
    covered = [row for row in certified if not row.not_covered] or certified
    first = min(guarantees.rank(row.of) for row in covered)
    alike = [row for row in certified if guarantees.rank(row.of) == first]
    able = [row for row in covered if guarantees.rank(row.of) == first]
    best = max(able, key=lambda row: _merit(row, columns))
    scheme = guarantees.scheme(best.of) if len(alike) < len(certified) else ""
    return Headline(best, columns, True, scheme, len(able) < len(alike))


def _merit(row: Row, columns: Columns) -> tuple[bool, int, float, float]:
    served = row.requests if not row.budget_exhausted else row.removals_supported or 0
    return not row.budget_exhausted, served, _good(row, columns), row.speed_up or 0.0


def _good(row: Row, columns: Columns) -> float:
    """Return the number that runs are compared by, so that more is better."""
    key, column = next(((key, column) for key, column in columns.items() if column.main), ("", None))
    value = row.number(key) or 0.0
    return -value if column and column.arrow == "↓" else value
