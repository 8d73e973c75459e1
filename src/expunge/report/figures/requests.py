"""Figures of numbers along the requests and after the last: lines, running means, distances."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from expunge.report.figures import drawing, style
from expunge.report.figures.drawing import Curve, Keyed, Line, Series
from expunge.report.read import text
from expunge.report.read.runs import Run, complete
from expunge.report.tables.over_seeds import Interval, interval
from expunge.report.tables.table_rows import lasting

_SHARE = 0.05  # of the requests: the window of the running mean
_LOG_FROM = 30.0  # a larger ratio of largest to smallest value gets a log axis
_BELOW = 100.0  # on a log axis single requests are shown down to the lowest mean over this
_DASHED = (0, (4, 2))
_MARKS = 30
_MEANS = "A mark is the mean over runs that differ only in {}, the bar its 95% bootstrap interval"


def running_mean(values: Sequence[float], window: int) -> NDArray[np.float64]:
    """Return the mean over up to ``window`` values around each; at the ends over those there are.

    Args:
        values: (k,), finite.
        window: An odd number >= 1.
    """
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at, half = np.arange(len(values)), window // 2
    first, last = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    means: NDArray[np.float64] = (sums[last] - sums[first]) / (last - first)
    return means


@style.styled()
def draw_smoothed(runs: Sequence[Run], columns: Sequence[Keyed], name: str) -> style.Drawn | None:
    """Draw numbers of each request, with that before it, and their running means; None if no run has them."""
    columns = [keyed for keyed in columns if any(run.has(keyed.key) for run in runs)]
    shown = drawing.shown(runs, lambda run: any(run.has(key) for key, *_ in columns))
    lines = shown.lines
    if not lines:
        return None
    drawn = [run for line in lines for run in line.runs]
    window = _window(max(len(run.series(key)[0]) for run in drawn for key, *_ in columns))
    height = 3.7 + 0.2 * max(len(lines), 2 + (window > 1))
    figure, axes = style.canvas(drawing.WIDTH, height, len(columns))
    cut = [_smoothed_panel(ax, lines, keyed, window) for ax, keyed in zip(axes, columns, strict=True)]
    before = any(run.has(keyed.plot.against) for run in drawn for keyed in columns)
    strokes = _smoothed_keys(window, before)
    style.legend(figure, drawing.side_by_side(drawing.run_keys(lines), strokes), columns=2)
    title = drawing.heading(columns)
    caption = drawing.caption(columns, f"{title}, at each request")
    if window > 1:
        caption += f"; lines are running means over {window} requests (about {text.share(_SHARE)})"
    if any(len(run.series(key)[0]) > drawing.MOST_DOTS for run in drawn for key, *_ in columns):
        caption += f"; dots are {drawing.MOST_DOTS} requests of a run at most, evenly picked"
    if any(cut):
        caption += f"; dots more than {_BELOW:.0f} times below the lowest line are outside of the frame"
    return style.render(figure, name, title, f"{caption}.{shown.said()}")


@style.styled()
def draw_lines(runs: Sequence[Run], columns: Sequence[Keyed], name: str) -> style.Drawn | None:
    """Draw numbers along the requests, a panel each; None if no run has one that has a figure of its own."""
    columns = [keyed for keyed in columns if any(run.has(keyed.key) for run in runs)]
    if all(keyed.plot.joins for keyed in columns):
        return None
    shown = drawing.shown(runs, lambda run: any(run.has(key) for key, *_ in columns))
    # What a method says of its own updates is also there where one was refused: taken back.
    updates = [keyed for keyed in columns if keyed.column.over_run == "served"]
    across = drawing.legend_columns(line.label for line in shown.lines)
    rows = [2] * (len(columns) // 2) + [1] * (len(columns) % 2)
    height = 3.0 if len(rows) == 1 else 2.3 * len(rows) + 0.4
    height += 0.2 * -(-len(shown.lines) // across)
    figure, axes = style.canvas(drawing.WIDTH, height, rows[0], rows[1:])
    for ax, keyed in zip(axes, columns, strict=True):
        _line_panel(ax, shown.lines, keyed, bool(updates))
    limits = [ax.get_xlim() for ax in axes]
    for ax in axes:
        ax.set_xlim(min(low for low, _ in limits), max(high for _, high in limits))
        drawing.whole_requests(ax)
    for ax in axes[-rows[-1] :]:
        ax.set_xlabel("removal requests")
    marked = [line.runs[0] for line in shown.lines if _refused(line)] if updates else []
    refused = drawing.dot_key("refused", drawing.MARKS["refused"])
    style.legend(figure, [*drawing.run_keys(shown.lines), *[refused] * bool(marked)], columns=across)
    titles = " and ".join(keyed.plot.title.lower() for keyed in columns).capitalize()
    caption = drawing.caption(columns, f"{titles} after each request at which it was evaluated") + "."
    if updates:
        caption += (
            f" {updates[0].plot.title} is that after each update; a cross there stands for an update "
            "that was taken back."
        )
    if any(len(_requests(run, "refused")) > _MARKS for run in marked):
        caption += f" Of the refused requests {_MARKS} of a run at most are marked on a line, evenly picked."
    return style.render(figure, name, drawing.heading(columns), caption + shown.said())


@style.styled()
def draw_distance(runs: Sequence[Run], columns: Sequence[Keyed], name: str) -> style.Drawn | None:
    """Draw last values alone or beside the retrained model's; None if no run has them."""
    columns = [keyed for keyed in columns if any(lasting(run, keyed.key) is not None for run in runs)]
    shown = drawing.shown(runs, lambda run: any(lasting(run, key) is not None for key, *_ in columns))
    stems = [keyed for keyed in columns if not keyed.plot.against]
    pairs = [keyed for keyed in columns if keyed not in stems]
    counts = [len(keys) for keys in (stems, pairs) if keys]
    if not counts:
        return None
    height = 0.9 + (0.65 + 0.42 * len(shown.lines)) * len(counts)
    figure, axes = style.canvas(drawing.WIDTH, height, counts[0], counts[1:])
    for ax, keyed in zip(axes, stems, strict=False):
        _stem_panel(ax, shown.lines, keyed)
    for ax, keyed in zip(axes[len(stems) :], pairs, strict=True):
        _pair_panel(ax, shown.lines, keyed)
    for place, ax in enumerate(axes):
        first = place in (0, counts[0])
        drawing.run_rows(ax, [drawing.wrapped(line.label, 26) if first else "" for line in shown.lines])
    if pairs:
        theirs = drawing.dot_key("retrained without the rows", "D", 7, style.INK, mfc="none")
        keys = [drawing.dot_key("the run", ms=7), theirs]
        style.legend(figure, keys, columns=2)
    title = drawing.heading(columns)
    caption = f"{drawing.caption(columns, 'After the last request')}.{shown.said(_MEANS)}"
    return style.render(figure, name, title, caption)


def _window(requests: int) -> int:
    """Return the odd number of requests that is closest to a twentieth of them."""
    return 2 * round((_SHARE * requests - 1) / 2) + 1


def _wide(values: Sequence[float]) -> bool:
    """Return whether a linear axis would hide the smaller ones of the positive values."""
    positive = [v for v in values if v > 0]
    return bool(positive) and max(positive) > _LOG_FROM * min(positive)


def _smoothed_panel(ax: Axes, lines: Sequence[Line], keyed: Keyed, window: int) -> bool:
    """Draw one number; return whether some dots are outside of the frame."""
    key, plot = keyed.key, keyed.plot
    before = plot.against
    values = [v for line in lines for run in line.runs for k in (before, key) for v in run.series(k)[1]]
    log = _wide(values)
    if log:
        drawing.log_scale(ax)
    for line in lines if window > 1 else ():
        for run in line.runs:
            x, y = run.series(key)
            most = max(drawing.MOST_DOTS // len(line.runs), 1)  # of the runs of a line together
            dots = drawing.thin(list(zip(x, drawing.positive(y) if log else y, strict=True)), most)
            (points,) = ax.plot(*zip(*dots, strict=True), ls="none", marker="o", ms=2.6, color=line.colour)
            points.set(mew=0, alpha=0.25)
    lowest = math.inf
    for line in lines:
        for k, dash, width in ((before, _DASHED, 1.2), (key, "solid", 1.9)):
            found = Curve.of(line.runs, _smoothed(k, window))
            few = drawing.dot(found.x) if k == key else ""
            found.draw(ax, line.colour, log, lw=width, ls=dash, marker=few)
            lowest = min([lowest, *(mean for mean in found.y if mean > 0)])
    cut = log and min(v for v in values if v > 0) < lowest / _BELOW
    if cut:
        ax.set_ylim(lowest / _BELOW, 1.6 * max(values))
    ax.set(title=plot.title, xlabel=drawing.REQUESTS, ylabel=plot.unit)
    drawing.whole_requests(ax)
    return cut


def _smoothed(key: str, window: int) -> Callable[[Run], Series]:
    def read(run: Run) -> Series:
        x, y = run.series(key)
        return x, running_mean(y, window).tolist()

    return read


def _smoothed_keys(window: int, before: bool) -> list[Line2D]:
    mean = f", mean of {window}" if window > 1 else ""
    keys = [drawing.key(f"after its removal{mean}", style.MUTED, lw=1.9)]
    if before:
        keys.append(drawing.key(f"before it{mean}", style.MUTED, lw=1.2, ls=_DASHED))
    if window > 1:
        keys.append(drawing.dot_key("after, one request", ms=3.5, alpha=0.6))
    return keys


def _line_panel(ax: Axes, lines: Sequence[Line], keyed: Keyed, marked: bool) -> None:
    key, column, plot = keyed
    update = column.over_run == "served"
    log = not drawing.is_share(column) and _wide(
        [v for line in lines for run in line.runs for v in run.series(key)[1]]
    )
    if log:
        drawing.log_scale(ax)
    for place, line in enumerate(lines):
        found = Curve.of(line.runs, lambda run: run.series(key, refused=not update))
        # Earlier lines are wider, so that one under another can still be seen.
        width = 1.3 + 0.45 * (len(lines) - 1 - place)
        found.draw(ax, line.colour, log, lw=width, marker=drawing.dot(found.x))
    for line in lines if marked else ():
        at, on = _refused_marks(line, key, log, update)
        drawing.mark(ax, at, on, drawing.MARKS["refused"], line.colour)
    ax.set(title=plot.title, ylabel=plot.unit)
    if drawing.is_share(column):
        drawing.room(ax)


def _refused(line: Line) -> list[int]:
    """Return the requests that were refused; none of a run that refuses every one, which marks nothing.

    Nor are there any of several runs, which refuse different ones.
    """
    at = _requests(line.runs[0], "refused")
    return at if len(line.runs) == 1 and len(at) < len(line.runs[0].records) else []


def _requests(run: Run, outcome: str) -> list[int]:
    return [int(r["request"]) for r in run.records if r["outcome"] == outcome]


def _refused_marks(line: Line, key: str, log: bool, update: bool) -> tuple[list[int], list[float]]:
    """Return where to mark refused requests: between two evaluations, where the line passes.

    A number of the ``update`` itself is of that which was refused, off the line of what was released.
    """
    series = line.runs[0].series(key)
    if update:
        own = dict(zip(*series, strict=True))
        at = drawing.thin([r for r in _refused(line) if r in own], drawing.MOST_MARKS)
        return at, [own[r] for r in at]
    pairs = [(x, y) for x, y in zip(*series, strict=True) if y > 0 or not log]
    at = [r for r in drawing.thin(_refused(line), _MARKS) if pairs and pairs[0][0] <= r <= pairs[-1][0]]
    if not at:
        return [], []
    x, y = np.array(pairs, dtype=np.float64).T
    on = np.exp(np.interp(at, x, np.log(y))) if log else np.interp(at, x, y)
    return at, on.tolist()


def _last(line: Line, read: Callable[[Run], float | None]) -> Interval | None:
    """Return mean and interval of a line's values; None where a run has none."""
    values = complete(map(read, line.runs))
    return interval(values) if values else None


def _stem_panel(ax: Axes, lines: Sequence[Line], keyed: Keyed) -> None:
    """Draw one distance, a stem a line from zero, with its number."""
    key, column, plot = keyed
    for place, line in enumerate(lines):
        if (value := _last(line, lambda run: lasting(run, key))) is None:
            continue
        ax.plot([0, value.mean], [place] * 2, color=line.colour, lw=1.6)
        ax.plot([value.mean], [place], ls="none", marker="o", ms=7, color=line.colour, clip_on=False)
        _span(ax, value, place, line.colour)
        number = text.share(value.mean) if column.format == "share" else text.number(value.mean, 2)
        drawing.write(ax, number, (value.high, place), (7, 0), va="center")
    ax.set(title=plot.title, xlabel=plot.unit)
    ax.set_xlim(0, ax.get_xlim()[1] * 1.22)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=4))
    if column.format == "share":
        ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: text.share(v) if v else "0"))


def _span(ax: Axes, found: Interval, place: int, colour: str) -> None:
    """Draw the interval of a mean over several runs."""
    if found.low < found.high:
        ax.plot([found.low, found.high], [place] * 2, color=colour, lw=6, alpha=0.3, solid_capstyle="butt")


def _pair_panel(ax: Axes, lines: Sequence[Line], keyed: Keyed) -> None:
    """Draw a number of the run and of the retrained model, joined by a line."""
    key, plot = keyed.key, keyed.plot
    for place, line in enumerate(lines):
        mine = _last(line, lambda run: run.last(plot.against))
        theirs = _last(line, lambda run: lasting(run, key))
        known = [found.mean for found in (mine, theirs) if found is not None]
        ax.plot(known, [place] * len(known), color=line.colour, lw=1.6)
        if theirs is not None:
            ax.plot([theirs.mean], [place], ls="none", marker="D", ms=8, mfc="none", mec=style.INK, mew=1.2)
        if mine is not None:
            ax.plot([mine.mean], [place], ls="none", marker="o", ms=6, color=line.colour)
            _span(ax, mine, place, line.colour)
    ax.set(title=plot.title, xlabel=plot.unit)
    low, high = ax.get_xlim()
    # A little wider, so that no diamond is cut, and never so narrow that noise looks like a difference.
    middle, half = (low + high) / 2, max(1.12 * (high - low), 0.02) / 2
    ax.set_xlim(middle - half, middle + half)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=3))
