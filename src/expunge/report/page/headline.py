"""The page's first lines: a few numbers of the method that did best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from expunge.core.columns import Columns
from expunge.record.columns import merged
from expunge.report.read import guarantees, text, totals
from expunge.report.tables.columns import formatted
from expunge.report.tables.over_seeds import SeedGroup
from expunge.report.tables.table_rows import Row

_NEARLY_AS_MANY = 0.9
_TOGETHER = ", of those with a guarantee of extractor and model together"
_OF_THOSE = {
    guarantees.RELEASE: ", of those whose guarantee holds for who sees every release",
    guarantees.FIGURES: ", of those with noise at release",
    guarantees.PUBLISHED: ", of those as published",
    "": "",
}
_HOLDS = {
    guarantees.RELEASE: "holds for who sees every release",
    guarantees.FIGURES: "the noise can be known: it protects nobody",
    guarantees.PUBLISHED: "what does not hold of it is said below",
}


class Card(NamedTuple):
    """A number of the headline: what it is, how much, and of what."""

    name: str
    value: str
    of: str


def headline(groups: Sequence[SeedGroup]) -> tuple[list[Card], str, str]:
    """Return the numbers of the certified method that served most, most accurately; of another if none is.

    They are means over the seeds: the best of many seeds would look better than the method is.

    Returns:
        The cards, how the method was chosen (empty where it is the only one), and what it is called.
    """
    every = [group.average for group in groups]
    columns = {k: c for k, c in merged(row.of.columns for row in every).items() if c.headline or c.main}
    certified = [row for row in every if row.of.certified]
    if certified:
        covered = [row for row in certified if not row.not_covered]
        first = min(guarantees.rank(row.of) for row in covered or certified)
        able = [row for row in covered or certified if guarantees.rank(row.of) == first]
        best = max(able, key=lambda row: _merit(row, columns))
        cards, which = _of_certified(best, columns), "The certified method that served most, most accurately"
        alike = [row for row in certified if guarantees.rank(row.of) == first]
        which += _OF_THOSE[guarantees.scheme(best.of)] * (len(alike) < len(certified))
        which += _TOGETHER * (len(able) < len(alike))
    else:
        best = _most_accurate(every, columns)
        cards = _of_other(best, columns)
        which = "No run here carries a certificate. Of those that removed most, the most accurate"
    if (total := totals.worded(best.of)) is not None:
        cards.append((totals.TOGETHER, *total))
    only = "" if certified else "; it carries no certificate"
    several = len(groups) > 1
    return (
        [Card(*card) for card in cards],
        which if several else "",
        best.unlearner + ("" if several else only),
    )


def _of_certified(best: Row, columns: Columns) -> list[tuple[str, str, str]]:
    cards = [
        ("removals before a retraining or refusal", *_served(best)),
        *_measured(best, columns, main=True),
        ("time of one removal (median)", *_time(best)),
    ]
    if best.epsilon_spent is not None:
        budget = f"of ε {text.setting(best.epsilon)}, δ {text.setting(best.of.number('delta'))}"
        which = "ε spent at the last release" if best.releases is None else "ε of all releases so far"
        cards.append((which, text.number(best.epsilon_spent), budget))
    if scheme := guarantees.scheme(best.of):
        cards.append(("guarantee", scheme, _HOLDS[scheme]))
    return cards


def _of_other(best: Row, columns: Columns) -> list[tuple[str, str, str]]:
    counts = ((best.retrained, "retrained"), (best.refused, "refused"))
    other = "".join(f"; {text.count(n)} {what}" for n, what in counts if n)
    return [
        ("requests removed", text.count(best.removed), f"of {text.count(best.requests)}{other}"),
        *_measured(best, columns, main=True),
        ("time of one removal (median)", *_time(best)),
        *_measured(best, columns, main=False),
    ]


def _measured(row: Row, columns: Columns, main: bool) -> list[tuple[str, str, str]]:
    """Return the cards of what runs are compared by, or of the other numbers that the row has."""
    cards = []
    for key, column in columns.items():
        value, beside = row.number(key), row.number(column.beside)
        if column.main is main and (main or value is not None):
            name = column.headline or f"{column.head} after the last request"
            words = column.headline_of.replace("{beside}", formatted(column.format, beside))
            cards.append((name, formatted(column.format, value), words))
    return cards


def _most_accurate(every: Sequence[Row], columns: Columns) -> Row:
    """Return the most accurate of those that removed nearly as many as any, so that no wreck comes first."""
    most = max(row.removed or 0 for row in every)
    near = [row for row in every if (row.removed or 0) >= _NEARLY_AS_MANY * most]
    return max(near, key=lambda row: _good(row, columns))


def _merit(row: Row, columns: Columns) -> tuple[bool, int, float, float]:
    served = row.requests if not row.budget_exhausted else row.removals_supported or 0
    return not row.budget_exhausted, served, _good(row, columns), row.speed_up or 0.0


def _good(row: Row, columns: Columns) -> float:
    """Return the number that runs are compared by, so that more is better."""
    key, column = next(((key, column) for key, column in columns.items() if column.main), ("", None))
    value = row.number(key) or 0.0
    return -value if column and column.arrow == "↓" else value


def _served(row: Row) -> tuple[str, str]:
    if row.budget_exhausted:
        return text.count(row.removals_supported), f"of {text.count(row.requests)} requests"
    if row.releases is not None:
        out = f"requests; {text.count(row.released)} of {text.count(row.releases)} releases are out"
        return f"all {text.count(row.requests)}", out
    never = "; the budget never ran out" if row.budget else ""
    return f"all {text.count(row.requests)}", f"requests{never}"


def _time(row: Row) -> tuple[str, str]:
    if row.speed_up is None or row.role == "reference":
        return text.seconds(row.seconds_removal_median), ""
    return text.seconds(row.seconds_removal_median), (
        f"{text.times(row.speed_up)} the speed of retraining ({text.seconds(row.seconds_retrain)})"
    )
