"""Where the variance comes from: the shares of original, unlearning and evaluation, of each method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from expunge.core import markdown, text
from expunge.core.columns import Column
from expunge.core.variance import Component, Decomposition, Draws, decomposed
from expunge.record.chance import LEVELS
from expunge.record.columns import merged
from expunge.report.tables.columns import formatted
from expunge.report.tables.over_seeds import SeedGroup

TITLE = "Where the variance comes from"
HEADS = ("method", "number", "runs", "mean", "95% interval", "sd", *LEVELS.values())
SAID = (
    "Variance of one run's number, and the shares of it due to chance in the original (its training, and "
    "all else that follows its seed), in the unlearning of one and the same original (order of rows, "
    "selection, noise), and in the evaluation of one and the same model (rows and splits of attacks, the "
    "retrained network beside it): nested analysis of variance, method of moments. sd is the root of the "
    "whole. The interval of the mean is Student's t over the originals; one alone has none. "
    f"{text.NONE}: not varied, or nothing varies."
)
NEGATIVE = (
    "0*: the estimate is below 0, as it may be by chance where the variance is small, and is taken for 0."
)
PARTLY = "Of runs that failed, or lack the number, there is none; the estimates allow for cells of any size."

_LEAST = 0.001  # share of which the digits say something


@dataclass(frozen=True)
class Sources:
    """Where the variance of one number of one method comes from."""

    method: str
    column: Column
    sizes: str
    found: Decomposition
    complete: bool

    @property
    def cells(self) -> list[str]:
        """A line of the table, by ``HEADS``."""
        found, of = self.found, self.column.format
        ends = [text.NONE if end is None else formatted(of, end) for end in (found.low, found.high)]
        span = text.NONE if found.low is None else f"[{', '.join(ends)}]"
        mean = formatted(of, found.mean)
        return [
            self.method,
            self.column.head,
            self.sizes,
            mean,
            span,
            self.spread,
            *map(_share, found.components),
        ]

    @property
    def spread(self) -> str:
        """The standard deviation of one run's number."""
        return text.number(sqrt(sum(one.variance for one in self.found.components if one)), 2)


def sources(groups: Sequence[SeedGroup]) -> list[Sources]:
    """Return them for the numbers that runs are compared by, of methods with several runs of one seed."""
    found = []
    for group in (group for group in groups if group.is_nested):
        for key, column in merged(row.of.columns for row in group.single).items():
            own = {draws: row.number(key) for draws, row in group.draws.items()}
            known = {draws: number for draws, number in own.items() if number is not None}
            if column.main and known:
                sizes, complete = _sizes(list(known))
                found.append(Sources(group.label, column, sizes, decomposed(known), complete))
    return found


def notes(every: Sequence[Sources]) -> list[str]:
    """Return what is to be said below the table."""
    negative = any(one and one.estimate < 0 for of in every for one in of.found.components)
    partly = not all(of.complete for of in every)
    return [SAID, *[NEGATIVE] * negative, *[PARTLY] * partly] if every else []


def as_markdown(groups: Sequence[SeedGroup]) -> str:
    """Return the table in Markdown under its heading; empty where no method has such runs."""
    if not (every := sources(groups)):
        return ""
    said = "\n\n".join(map(markdown.escaped, notes(every)))
    return f"## {TITLE}\n\n{markdown.table(HEADS, [one.cells for one in every])}\n\n{said}\n"


def _share(one: Component | None) -> str:
    if one is None or one.share is None:
        return text.NONE
    if one.estimate < 0:
        return "0*"
    return text.share(one.share) if not 0 < one.share < _LEAST else f"< {text.share(_LEAST)}"


def _sizes(known: Sequence[Draws]) -> tuple[str, bool]:
    """How many there are of each level, and whether that is all."""
    within = [{draws[level] for draws in known} for level in range(len(LEVELS))]
    most = [len(members) for members in within]
    whole = " × ".join(map(str, most))
    complete = len(known) == most[0] * most[1] * most[2]
    return (whole if complete else f"{len(known)} of {whole}"), complete
