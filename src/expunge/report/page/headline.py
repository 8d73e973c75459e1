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
        by: Heading of the number that it is the best by; empty for the first, which is accuracy.
        certified: Whether it is the best of the certified ones; else none of the methods is certified.
        scheme: The scheme of guarantee that its rivals were narrowed to; empty where all have the same.
        together: Whether they were narrowed to those with a guarantee of extractor and model together.
    """

    best: Row
    columns: Columns
    by: str = ""
    certified: bool = False
    scheme: str = ""
    together: bool = False


def headline(groups: Sequence[SeedGroup]) -> Headline:
    """Return the certified method that served most, most accurately; another if none is certified.

    Of those that removed nearly as many as any the best by the last number that runs are compared by and all
    of them have, so that no wreck comes first: accuracy, unless a metric knows better what removing is about.
    """
    every = [group.average for group in groups]
    columns = {k: c for k, c in merged(row.of.columns for row in every).items() if c.headline or c.main}
    certified = [row for row in every if row.of.certified]
    if not certified:
        most = max(row.removed or 0 for row in every)
        near = [row for row in every if (row.removed or 0) >= _NEARLY_AS_MANY * most]
        mains = [key for key, column in columns.items() if column.main]
        by = next((key for key in reversed(mains) if all(row.number(key) is not None for row in near)), "")
        best = max(near, key=lambda row: _good(row, columns, by))
        return Headline(best, columns, columns[by].head if by in mains[1:] else "")
    covered = [row for row in certified if not row.not_covered] or certified
    first = min(guarantees.rank(row.of) for row in covered)
    alike = [row for row in certified if guarantees.rank(row.of) == first]
    able = [row for row in covered if guarantees.rank(row.of) == first]
    best = max(able, key=lambda row: _merit(row, columns))
    scheme = guarantees.scheme(best.of) if len(alike) < len(certified) else ""
    return Headline(best, columns, "", True, scheme, len(able) < len(alike))


def _merit(row: Row, columns: Columns) -> tuple[bool, int, float, float]:
    served = row.requests if not row.budget_exhausted else row.removals_supported or 0
    first = next((key for key, column in columns.items() if column.main), "")
    return not row.budget_exhausted, served, _good(row, columns, first), row.speed_up or 0.0


def _good(row: Row, columns: Columns, key: str) -> float:
    """Return the number of a column so that more is better."""
    value = row.number(key) or 0.0
    return -value if key in columns and columns[key].arrow == "↓" else value
