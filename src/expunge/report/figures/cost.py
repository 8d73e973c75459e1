"""Time of every removal, a strip a line, beside that of training again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from expunge.report.figures import drawing, style
from expunge.report.figures.drawing import Line
from expunge.report.read import text
from expunge.report.read.runs import Run
from expunge.report.tables.table_rows import removal_seconds, retrain_seconds

_STRIP = "A strip has the requests of all runs that differ only in {}"


@style.styled()
def draw_cost(runs: Sequence[Run]) -> style.Drawn | None:
    """Draw the time of every removal, a strip a line, against retraining; None if nothing was removed."""
    shown = drawing.shown(runs, lambda run: bool(removal_seconds(run)))
    lines = shown.lines
    if not lines:
        return None
    figure, (ax,) = style.canvas(drawing.WIDTH, 1.35 + 0.5 * len(lines))
    for place, line in enumerate(lines):
        _strip(ax, place, line, runs)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: text.seconds(v)))
    ax.xaxis.set_minor_formatter(NullFormatter())
    low, high = ax.get_xlim()
    narrow = high < 40 * low
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,), numticks=10))
    drawing.run_rows(ax, [drawing.wrapped(line.label, 34) for line in lines])
    ax.set(title="Time of one removal", xlabel="wall time of a request (log scale; evaluation not included)")
    style.legend(figure, _keys(lines), columns=3)
    caption = _caption(lines) + shown.said(_STRIP)
    return style.render(figure, "cost", "Time of one removal", caption)


def _times(line: Line) -> list[float]:
    return sorted(time for run in line.runs for time in removal_seconds(run))


def _strip(ax: Axes, place: int, line: Line, runs: Sequence[Run]) -> None:
    """Draw a line's times as a strip of dots, their median as a bar, the time of retraining as a diamond."""
    times = [time for time in _times(line) if time > 0]
    drawn = drawing.thin(times, drawing.MOST_DOTS)
    # Multiples of the golden ratio spread evenly and come out the same every time.
    height = place + 0.44 * ((np.arange(len(drawn)) * 0.6180339887) % 1 - 0.5)
    ax.plot(drawn, height, ls="none", marker="o", ms=3, mew=0, color=line.colour, alpha=0.45)
    if times:
        middle = float(np.median(times))
        ax.plot([middle] * 2, [place - 0.3, place + 0.3], color=style.INK, lw=2, solid_capstyle="butt")
        drawing.write(ax, text.seconds(middle), (middle, place - 0.3), (0, 1), ha="center")
    again = [found.seconds for run in line.runs if (found := retrain_seconds(run, runs)) is not None]
    if again and line.runs[0].role != "reference":
        middle = float(np.median(again))
        ax.plot([middle], [place], ls="none", marker="D", ms=9, mfc="none", mec=style.INK, mew=1.2)


def _keys(lines: Sequence[Line]) -> list[Line2D]:
    keys = [
        drawing.dot_key("one request", ms=4),
        drawing.dot_key("median", "|", 11, style.INK, mew=2),
    ]
    if any(line.runs[0].role != "reference" for line in lines):
        keys.append(drawing.dot_key("retraining instead", "D", 8, style.INK, mfc="none", mew=1.2))
    return keys


def _caption(lines: Sequence[Line]) -> str:
    thinned = any(len(_times(line)) > drawing.MOST_DOTS for line in lines)
    which = f", {drawing.MOST_DOTS} of a run at most, evenly picked from fastest to slowest" * thinned
    return f"Each dot is one request{which}; refused requests are left out."
