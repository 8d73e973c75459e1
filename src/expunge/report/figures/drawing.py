"""What the figures of runs share: what has a line of which colour, axes of requests, marks and keys."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from expunge.core.columns import Column, Plot
from expunge.record.columns import merged
from expunge.report.figures import style
from expunge.report.read import text
from expunge.report.read.run_settings import alike, labels
from expunge.report.read.runs import Run
from expunge.report.tables.over_seeds import interval

MARKS = {"retrained": "^", "refused": "X"}
MOST_MARKS = 120
MOST_DOTS = 300
WIDTH = 7.4
REQUESTS = "removal requests (number of the request)"
_LONGEST = 72

_WHO = ("removal.identity",)
_MEAN = "A line is the mean over runs that differ only in {}, the band its 95% bootstrap interval"
_BANDS = 60  # places along a line at which an interval is computed

Series = tuple[Sequence[float], Sequence[float]]


class Keyed(NamedTuple):
    """A number that is drawn: its key in the records, what is declared of it, and of how it is drawn."""

    key: str
    column: Column
    plot: Plot


def plotted(runs: Sequence[Run], kinds: Collection[str]) -> list[Keyed]:
    """Return the numbers of the runs that are drawn in one of these ways, in declared order."""
    return [
        Keyed(key, column, replace(column.plot, title=column.plot.title or column.head))
        for key, column in merged(run.columns for run in runs).items()
        if column.plot and column.plot.kind in kinds
    ]


class Line(NamedTuple):
    """What has one line of a kind: a run, or runs that differ only in seed, or in who is removed too."""

    runs: list[Run]
    label: str
    colour: str


@dataclass(frozen=True)
class DrawnLines:
    """What a figure draws.

    Attributes:
        lines: Up to as many as there are colours.
        every: How many there would be.
        runs: How many runs these are.
        alike: In what the runs of one line differ; empty where each run has its own.
    """

    lines: list[Line]
    every: int
    runs: int
    alike: str = ""

    def said(self, line: str = _MEAN) -> str:
        """Return the sentences that say what a line is, and what has no place in the figure, if any.

        Args:
            line: What several runs have in common there, which differ only in what ``{}`` stands for.
        """
        drawn = len(self.lines)
        if not self.alike:
            more = drawn < self.every
            return f" The first {drawn} of {self.every} runs are drawn; the table has them all." * more
        left = f"; the first {drawn} of {self.every} lines are drawn" * (drawn < self.every)
        return f" {line.format(self.alike)}: {self.runs} runs{left}; the table has each."


def shown(runs: Sequence[Run], has: Callable[[Run], bool]) -> DrawnLines:
    """Return the lines of the runs that have something to draw; of all ``runs`` a line keeps its colour.

    Where these are more runs than can be told apart, those that differ only in their seed are drawn as one;
    where that is not enough, those that differ in who is removed as well.
    """
    groups, names, which = [[run] for run in runs], text.labels(runs), ""
    for without, words in (((), "their seed"), (_WHO, "their seed and in who is removed")):
        if len(groups) > style.MOST and len(found := alike(runs, without)) < len(groups):
            groups, names, which = found, labels(found, without), words
    every = []
    for i, (group, name) in enumerate(zip(groups, names, strict=True)):
        if own := [run for run in group if has(run)]:
            short = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
            every.append(Line(own, short, style.SERIES[i % style.MOST]))
    return DrawnLines(every[: style.MOST], len(every), sum(len(line.runs) for line in every), which)


@dataclass(frozen=True)
class Curve:
    """Values of one or more runs, at every place where all of them have one: ``values[i]`` at ``x[i]``."""

    x: list[float]
    values: list[list[float]]

    @classmethod
    def of(cls, runs: Sequence[Run], read: Callable[[Run], Series]) -> Curve:
        """Return the curve of what ``read`` gives of each run."""
        found = [dict(zip(*read(run), strict=True)) for run in runs]
        x = sorted(set.intersection(*(set(values) for values in found)))
        return cls(x, [[values[at] for values in found] for at in x])

    @property
    def y(self) -> list[float]:
        """The means."""
        return [fmean(values) for values in self.values]

    def draw(self, ax: Axes, colour: str, log: bool = False, **stroke: Any) -> Line2D:
        """Draw the means, and of several runs the band of the intervals; return the line."""
        if self.x and len(self.values[0]) > 1:
            places = thin(list(range(len(self.x))), _BANDS)
            bands = [interval(self.values[place]) for place in places]
            low, high = ([band[side] for band in bands] for side in (1, 2))
            along = [self.x[place] for place in places]
            ax.fill_between(along, positive(low) if log else low, high, color=colour, alpha=0.15, lw=0)
        (line,) = ax.plot(self.x, positive(self.y) if log else self.y, color=colour, **stroke)
        return line


def thin(values: list[Any], most: int) -> list[Any]:
    """Return at most ``most`` values, evenly picked, the first and the last among them."""
    if len(values) <= most:
        return values
    return [values[i] for i in np.linspace(0, len(values) - 1, most).round().astype(int)]


def positive(values: Iterable[float]) -> list[float]:
    """Return values for a log axis, where one of zero has no place: a gap, not a line to the bottom."""
    return [v if v > 0 else math.nan for v in values]


def log_scale(ax: Axes) -> None:
    """Give the y axis a log scale with plain numbers."""
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: text.number(v)))


def dot(x: Sequence[float], mark: str = "o") -> str:
    """Return the mark that each of so few values gets, of which a line would show little or nothing."""
    return mark if len(x) < 3 else ""


def mark(ax: Axes, x: Sequence[float], y: Sequence[float], marker: str, colour: str) -> None:
    """Mark what became of some requests, on a line."""
    ax.plot(x, y, ls="none", marker=marker, ms=6, color=colour, mec=style.PAPER, mew=0.6)


def whole_requests(ax: Axes) -> None:
    """Tick whole requests only; a single one stands in the middle."""
    low, high = ax.get_xlim()
    if high - low < 1:
        ax.set_xlim((low + high) / 2 - 1, (low + high) / 2 + 1)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))


def room(ax: Axes, least: float = 0.02) -> None:
    """Show a span of at least two points, so that noise of single test rows does not look like a trend."""
    low, high = ax.get_ylim()
    if high - low < least:
        middle = (low + high) / 2
        low, high = middle - least / 2, middle + least / 2
    ax.set_ylim(max(low, -0.02), min(high, 1.02))


def key(label: str, colour: str, **more: Any) -> Line2D:
    """Return an entry of a legend."""
    return Line2D([], [], color=colour, label=label, **{"lw": 2.4, **more})


def dot_key(label: str, marker: str = "o", ms: float = 6, colour: str = style.MUTED, **more: Any) -> Line2D:
    """Return an entry of a legend that is a mark alone."""
    return key(label, colour, ls="none", marker=marker, ms=ms, **more)


def write(ax: Axes, words: str, at: tuple[float, float], off: tuple[float, float], **more: Any) -> None:
    """Write words beside a place, ``off`` in points."""
    ax.annotate(words, at, off, "data", "offset points", fontsize=8.5, **more)


def wrapped(label: str, width: int) -> str:
    """Return a label in lines of ``width`` characters, a setting on one line with its value."""
    return fill(text.unbroken(label), width, break_on_hyphens=False)


def run_rows(ax: Axes, names: Sequence[str]) -> None:
    """Give each run a row of the figure, from the top, with its name at the left."""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)


def run_keys(lines: Sequence[Line]) -> list[Line2D]:
    """Return an entry of the legend for each line."""
    return [key(line.label, line.colour) for line in lines]


def legend_columns(labels: Iterable[str]) -> int:
    """Return how many labels fit side by side."""
    return 2 if max(map(len, labels)) <= 40 else 1


def side_by_side(left: Sequence[Line2D], right: Sequence[Line2D]) -> list[Line2D]:
    """Return the entries of a legend of two columns, filled up with blanks."""
    rows = max(len(left), len(right))
    blank = [Line2D([], [], linestyle="none", label=" ")]
    return [entry for side in (left, right) for entry in [*side, *blank * (rows - len(side))]]


def is_share(column: Column) -> bool:
    """Whether a number is a share of rows: from 0 to 1, on a linear axis."""
    return column.format in ("accuracy", "share")


def heading(columns: Sequence[Keyed]) -> str:
    """Return the title of a figure: what its numbers say, else the titles of its panels."""
    said = next((keyed.plot.heading for keyed in columns if keyed.plot.heading), "")
    return said or " and ".join(dict.fromkeys(keyed.plot.title for keyed in columns))


def caption(columns: Sequence[Keyed], otherwise: str) -> str:
    """Return what the figure's numbers say of it, without a full stop; else ``otherwise``."""
    return next((keyed.plot.caption for keyed in columns if keyed.plot.caption), otherwise)
