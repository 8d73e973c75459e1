"""Figures along the requests: numbers, and running means of those that each request has of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import methodcaller

import numpy as np
from numpy.typing import NDArray

from expunge.charts import lines, style
from expunge.charts.lines import CROSS, Panel
from expunge.charts.places import short, thin, thinned
from expunge.charts.rendering import rendered
from expunge.core import text
from expunge.record.folders.runs import Run
from expunge.report.figures import drawing
from expunge.report.figures.drawing import Keyed
from expunge.report.read.methods import Method, methods

Draw = Callable[[Sequence[Run], Sequence[Keyed], str], style.Drawn | None]
_SHARE = 0.05  # of the requests: the window of the running mean
_LOG_FROM = 30.0  # a larger ratio of largest to smallest value gets a log axis
_AFTER = "after its removal"
_BELOW = 100.0  # on a log axis single requests are shown down to the lowest mean over this
OUTCOMES = {"retrained": "triangle-up", "refused": CROSS}
"""What became of a request -> its mark."""
along_requests = partial(Panel, along="removal requests", outcomes=OUTCOMES)


def finished(
    name: str,
    columns: Sequence[Keyed],
    everyone: Sequence[Method],
    every: Sequence[Method],
    panels: Sequence[Panel],
    dashes: Mapping[str, list[float]],
    said: str,
) -> style.Drawn:
    """Return the figure, its caption with what lines, bands and gaps are, and who is not in it."""
    rows = [row for panel in panels for row in panel.rows]
    used = {
        stroke: dash for stroke, dash in dashes.items() if any(row.get("stroke") == stroke for row in rows)
    }
    said += drawing.gaps(rows) + drawing.said(every) + thinned(rows)
    said += lines.beneath(panels, next(iter(used))) + drawing.missing(everyone, columns)
    return rendered(lines.compose(panels, every, used), name, drawing.heading(columns), said)


def able(runs: Sequence[Run], columns: Sequence[Keyed]) -> tuple[list[Keyed], list[Method], list[Method]]:
    """Return the numbers that some run has, all methods, and those with runs that have one of them."""
    known, everyone = [keyed for keyed in columns if any(run.has(keyed.key) for run in runs)], methods(runs)
    return known, everyone, drawing.having(everyone, lambda run: any(run.has(of.key) for of in known))


def draw_lines(runs: Sequence[Run], columns: Sequence[Keyed], name: str) -> style.Drawn | None:
    """Draw numbers along the requests, a panel each; None if no run has one that has a figure of its own."""
    columns, everyone, every = able(runs, columns)
    if all(keyed.plot.joins for keyed in columns):
        return None
    # What a method says of its own updates is also there where one was refused: taken back.
    updates = [keyed for keyed in columns if keyed.column.over_run == "served"]
    panels = [_line_panel(every, keyed, bool(updates)) for keyed in columns]
    titles = " and ".join(keyed.plot.title.lower() for keyed in columns).capitalize()
    said = drawing.caption(columns, f"{titles} after each request at which it was evaluated") + "."
    if updates:
        said += f" {updates[0].plot.title} is that after each update; a cross there stands for an update "
        said += "that was taken back."
    return finished(name, columns, everyone, every, panels, {"mean": lines.SOLID}, said)


def _line_panel(every: Sequence[Method], keyed: Keyed, marked: bool) -> Panel:
    """Return the panel of one number, with marks where a method's one run refused some requests."""
    key, column, plot = keyed
    update, share = column.over_run == "served", drawing.is_share(column)
    log = not share and _wide([v for method in every for run in method.runs for v in run.series(key)[1]])
    read = methodcaller("series", key, refused=not update)
    rows = []
    for method in every:
        rows += drawing.rows(method, read, log, stroke="mean")
        run, *others = method.runs
        if marked and not others and any(r["outcome"] != "refused" for r in run.records):
            # A number of the update itself is of that which was refused, off the line of what was released.
            on: dict[float, float] = dict(zip(*run.series(key), strict=True))
            found = drawing.marked(method, "refused", on, log)
            rows += [mark for mark in found if mark["x"] in on or not update]
    return along_requests(plot.title, plot.unit, rows, log=log, share=share)


def _wide(values: Sequence[float]) -> bool:
    """Return whether a linear axis would hide the smaller ones of the positive values."""
    positive = [v for v in values if v > 0]
    return bool(positive) and max(positive) > _LOG_FROM * min(positive)


def draw_smoothed(runs: Sequence[Run], columns: Sequence[Keyed], name: str) -> style.Drawn | None:
    """Draw numbers of each request, with that before it, and their running means; None if no run has them."""
    columns, everyone, every = able(runs, columns)
    if not every:
        return None
    window = _window(max(len(run.series(key)[0]) for run in runs for key, *_ in columns))
    strokes = [f"{when}{f', mean of {window}' * (window > 1)}" for when in (_AFTER, "before it")]
    panels = [_smoothed_panel(every, keyed, window, strokes) for keyed in columns]
    said = drawing.caption(columns, f"{drawing.heading(columns)}, at each request")
    if window > 1:
        said += f"; lines are running means over {window} requests (about {text.share(_SHARE)}), dots single "
        said += f"requests after their removal, {drawing.MOST_DOTS} at most, evenly picked; on a log axis "
        said += f"none more than {_BELOW:.0f} times below the lowest line"
    dashes = dict(zip(strokes, (lines.SOLID, lines.DASHED), strict=True))
    return finished(name, columns, everyone, every, panels, dashes, f"{said}.")


def _smoothed_panel(every: Sequence[Method], keyed: Keyed, window: int, strokes: Sequence[str]) -> Panel:
    key, _, plot = keyed
    runs = [run for method in every for run in method.runs]
    keys = (key, plot.against)
    log = _wide([v for run in runs for k in keys for v in run.series(k)[1]])
    rows = [
        row
        for method in every
        for k, stroke in zip(keys, strokes, strict=True)
        for row in drawing.rows(method, partial(_smoothed, key=k, window=window), log, stroke=stroke)
    ]
    least = min((row["y"] for row in rows if row["y"]), default=0.0) / _BELOW if log else -np.inf
    most = max(drawing.MOST_DOTS // len(runs), 1) if window > 1 else 0
    dots = [
        {**drawing.named(method), "x": x, "y": short(y)}
        for method in every
        for run in method.runs
        for x, y in thin(list(zip(*run.series(key), strict=True)), most)
        if y >= least and (y > 0 or not log)
    ]
    return along_requests(plot.title, plot.unit, rows, dots=dots, dot=f"{_AFTER}, one request", log=log)


def _smoothed(run: Run, key: str, window: int) -> tuple[list[int], list[float]]:
    x, y = run.series(key)
    return x, running_mean(y, window).tolist()


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


def _window(requests: int) -> int:
    """Return the odd number of requests that is closest to a twentieth of them."""
    return 2 * round((_SHARE * requests - 1) / 2) + 1
