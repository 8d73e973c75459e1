"""What the figures of runs share: which runs are drawn in which colour, axes of requests, marks and keys."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from expunge.report import style, text
from expunge.report.runs import Run

MARKS = {"retrained": "^", "refused": "X"}
MOST_MARKS = 120
MOST_DOTS = 300
WIDTH = 7.4
REQUESTS = "removal requests (number of the request)"
_LONGEST = 72

Line = tuple[Run, str, str]  # a run, its label, its colour


def lines(runs: Sequence[Run]) -> list[Line]:
    """Return each run with its label and its colour; a run has the same colour in every figure."""
    names = [n if len(n) <= _LONGEST else f"{n[: _LONGEST - 1]}…" for n in text.labels(runs)]
    return [(r, n, style.SERIES[i % style.MOST]) for i, (r, n) in enumerate(zip(runs, names, strict=True))]


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


def along(ax: Axes, shown: Sequence[Line], column: str, log: bool = False, refused: bool = True) -> None:
    """Draw a column of every run against the requests, refused ones or not; few values get a dot each."""
    for place, (run, _, colour) in enumerate(shown):
        x, y = run.series(column, refused)
        ax.plot(
            x,
            positive(y) if log else y,
            color=colour,
            # Earlier lines are wider, so that one under another can still be seen.
            lw=1.3 + 0.45 * (len(shown) - 1 - place),
            marker=dot(x),
        )


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


def wrapped(label: str, width: int) -> str:
    """Return a label in lines of ``width`` characters, a setting on one line with its value."""
    return fill(text.unbroken(label), width, break_on_hyphens=False)


def run_rows(ax: Axes, names: Sequence[str]) -> None:
    """Give each run a row of the figure, from the top, with its name at the left."""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)


def run_keys(shown: Sequence[Line]) -> list[Line2D]:
    """Return an entry of the legend for each run."""
    return [key(label, colour) for _, label, colour in shown]


def legend_columns(shown: Sequence[Line]) -> int:
    """Return how many labels of runs fit side by side."""
    return 2 if max(len(label) for _, label, _ in shown) <= 40 else 1


def side_by_side(left: Sequence[Line2D], right: Sequence[Line2D]) -> list[Line2D]:
    """Return the entries of a legend of two columns, filled up with blanks."""
    rows = max(len(left), len(right))
    blank = [Line2D([], [], linestyle="none", label=" ")]
    return [entry for side in (left, right) for entry in [*side, *blank * (rows - len(side))]]


def not_drawn(drawn: int, all_: int) -> str:
    """Return the sentence that says how many runs have no place in a figure, if any."""
    return f" The first {drawn} of {all_} runs are drawn; the table has them all." if drawn < all_ else ""
