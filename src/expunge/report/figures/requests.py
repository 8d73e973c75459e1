"""Figures of numbers along the requests and after the last: lines, running means, distances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from expunge.report.figures import chart, drawing, panels, strips, style
from expunge.report.figures.drawing import Keyed, Series
from expunge.report.figures.panels import Panel, compose
from expunge.report.read import text
from expunge.report.read.methods import Method, methods
from expunge.report.read.runs import Run
from expunge.report.tables.over_seeds import Interval, interval
from expunge.report.tables.table_rows import lasting

_SHARE = 0.05  # of the requests: the window of the running mean
_LOG_FROM = 30.0  # a larger ratio of largest to smallest value gets a log axis
_BELOW = 100.0  # on a log axis single requests are shown down to the lowest mean over this
_ALONE = {"mean": panels.SOLID}
_OURS, _THEIRS = "the run", "the model retrained without the rows"
_WIDE = 200  # pixels


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


def draw_lines(runs: Sequence[Run], columns: Sequence[Keyed], name: str) -> style.Drawn | None:
    """Draw numbers along the requests, a panel each; None if no run has one that has a figure of its own."""
    columns = [keyed for keyed in columns if any(run.has(keyed.key) for run in runs)]
    if all(keyed.plot.joins for keyed in columns):
        return None
    everyone = methods(runs)
    every = drawing.having(everyone, lambda run: any(run.has(keyed.key) for keyed in columns))
    # What a method says of its own updates is also there where one was refused: taken back.
    updates = [keyed for keyed in columns if keyed.column.over_run == "served"]
    drawn = [_line_panel(every, keyed, bool(updates)) for keyed in columns]
    titles = " and ".join(keyed.plot.title.lower() for keyed in columns).capitalize()
    said = drawing.caption(columns, f"{titles} after each request at which it was evaluated") + "."
    if updates:
        said += (
            f" {updates[0].plot.title} is that after each update; a cross there stands for an update "
            "that was taken back."
        )
    said += drawing.gaps(row for panel in drawn for row in panel.rows)
    said += drawing.said(every) + drawing.missing(everyone, columns)
    return chart.rendered(compose(drawn, every, _ALONE), name, drawing.heading(columns), said)


def _line_panel(every: Sequence[Method], keyed: Keyed, marked: bool) -> Panel:
    key, column, plot = keyed
    update = column.over_run == "served"
    share = drawing.is_share(column)
    log = not share and _wide([v for method in every for run in method.runs for v in run.series(key)[1]])
    rows, marks = [], []
    for method in every:
        rows += drawing.rows(method, lambda run: run.series(key, refused=not update), log, stroke="mean")
        if marked:
            on = _refused_marks(method, key, log, update)
            marks += drawing.marked(method, "refused", on, on)
    return Panel(plot.title, plot.unit, rows, marks, log=log, share=share)


def draw_smoothed(runs: Sequence[Run], columns: Sequence[Keyed], name: str) -> style.Drawn | None:
    """Draw numbers of each request, with that before it, and their running means; None if no run has them."""
    columns = [keyed for keyed in columns if any(run.has(keyed.key) for run in runs)]
    everyone = methods(runs)
    every = drawing.having(everyone, lambda run: any(run.has(keyed.key) for keyed in columns))
    if not every:
        return None
    drawn = [run for method in every for run in method.runs]
    window = _window(max(len(run.series(key)[0]) for run in drawn for key, *_ in columns))
    mean = f", mean of {window}" if window > 1 else ""
    strokes = {True: f"after its removal{mean}"}
    if any(run.has(keyed.plot.against) for run in drawn for keyed in columns):
        strokes[False] = f"before it{mean}"
    found = [_smoothed_panel(every, keyed, window, strokes) for keyed in columns]
    dashes = {said: panels.SOLID if after else panels.DASHED for after, said in strokes.items()}
    title = drawing.heading(columns)
    said = drawing.caption(columns, f"{title}, at each request")
    if window > 1:
        said += f"; lines are running means over {window} requests (about {text.share(_SHARE)}), dots single "
        said += f"requests after their removal, {drawing.MOST_DOTS} at most, evenly picked"
    if any(cut for _, cut in found):
        said += f"; dots more than {_BELOW:.0f} times below the lowest line are outside of the frame"
    said += "." + drawing.gaps(row for panel, _ in found for row in panel.rows)
    said += drawing.said(every) + drawing.missing(everyone, columns)
    return chart.rendered(compose([panel for panel, _ in found], every, dashes), name, title, said)


def _smoothed_panel(
    every: Sequence[Method], keyed: Keyed, window: int, strokes: dict[bool, str]
) -> tuple[Panel, bool]:
    """Return the panel of one number, and whether some dots are outside of the frame."""
    key, plot = keyed.key, keyed.plot
    keys = {plot.against: False, key: True}
    runs = [run for method in every for run in method.runs]
    log = _wide([v for run in runs for k in keys for v in run.series(k)[1]])
    rows = [
        row
        for method in every
        for k, after in keys.items()
        for row in drawing.rows(method, _smoothed(k, window), log, stroke=strokes.get(after, ""))
    ]
    most = max(drawing.MOST_DOTS // len(runs), 1)
    single = [
        {**drawing.named(method), "x": x, "y": drawing.short(y)}
        for method in every
        for run in method.runs
        for x, y in drawing.thin(list(zip(*run.series(key), strict=True)), most)
        if window > 1 and (y > 0 or not log)
    ]
    least = min((row["y"] for row in rows if row["y"] is not None and row["y"] > 0), default=0.0) / _BELOW
    dots = [dot for dot in single if not log or dot["y"] >= least]
    panel = Panel(plot.title, plot.unit, rows, dots=dots, log=log)
    return panel, len(dots) < len(single)


def _smoothed(key: str, window: int) -> Callable[[Run], Series]:
    def read(run: Run) -> Series:
        x, y = run.series(key)
        return x, running_mean(y, window).tolist()

    return read


def _window(requests: int) -> int:
    """Return the odd number of requests that is closest to a twentieth of them."""
    return 2 * round((_SHARE * requests - 1) / 2) + 1


def _wide(values: Sequence[float]) -> bool:
    """Return whether a linear axis would hide the smaller ones of the positive values."""
    positive = [v for v in values if v > 0]
    return bool(positive) and max(positive) > _LOG_FROM * min(positive)


def _refused_marks(method: Method, key: str, log: bool, update: bool) -> dict[float, float]:
    """Return where to mark refused requests: between two evaluations, where the line passes.

    A number of the ``update`` itself is of that which was refused, off the line of what was released. Nothing
    is marked of a run that refuses every request, nor of several runs, which refuse different ones.
    """
    run, *others = method.runs
    at = [float(r["request"]) for r in run.records if r["outcome"] == "refused"]
    series = run.series(key)
    pairs = [(x, y) for x, y in zip(*series, strict=True) if y > 0 or not log]
    if others or not pairs or len(at) == len(run.records):
        return {}
    if update:
        own = dict(pairs)
        return {x: own[x] for x in map(int, at) if x in own}
    x, y = np.array(pairs, dtype=np.float64).T
    at = [r for r in at if x[0] <= r <= x[-1]]
    on = np.exp(np.interp(at, x, np.log(y))) if log else np.interp(at, x, y)
    return dict(zip(at, on.tolist(), strict=True))


def draw_distance(runs: Sequence[Run], columns: Sequence[Keyed], name: str) -> style.Drawn | None:
    """Draw last values alone or beside the retrained model's; None if no run has them."""
    columns = [keyed for keyed in columns if any(lasting(run, keyed.key) is not None for run in runs)]
    every = drawing.having(
        methods(runs), lambda run: any(lasting(run, keyed.key) is not None for keyed in columns)
    )
    if not every:
        return None
    stems, pairs = ([k for k in columns if bool(k.plot.against) is paired] for paired in (False, True))
    what = (_OURS, _THEIRS) if pairs else (_OURS,)
    shown = [
        _last_panel(every, keyed, place % 2 == 0, what)
        for group in (stems, pairs)
        for place, keyed in enumerate(group)
    ]
    said = f"{drawing.caption(columns, 'After the last request')}.{drawing.said(every, 'A mark', 'the bar')}"
    if pairs:
        said += f" Diamonds are {_THEIRS}."
    title = drawing.heading(columns)
    return chart.rendered(
        alt.vconcat(*(panels.beside(own, 2) for own in (shown[: len(stems)], shown[len(stems) :]) if own)),
        name,
        title,
        said,
    )


def _last_panel(every: Sequence[Method], keyed: Keyed, labelled: bool, what: Sequence[str]) -> Any:
    """Return the rows of one number: the runs' last, and joined with it the retrained model's if there is."""
    key, column, plot = keyed
    rows: list[dict[str, Any]] = []
    for method in every:
        theirs = _last(method, lambda run: lasting(run, key))
        mine = _last(method, lambda run: run.last(plot.against)) if plot.against else theirs
        if mine is not None:
            said = text.share(mine.mean) if column.format == "share" else text.number(mine.mean, 2)
            joined = {"to": theirs.mean} if theirs and plot.against else {"said": said}
            rows.append(_place(method, _OURS, mine) | joined)
        if theirs is not None and plot.against:
            rows.append(_place(method, _THEIRS, theirs))
    found = [row[k] for row in rows for k in ("x", "low", "high") if k in row]
    low, high = min(found), max(found)
    if plot.against:
        # Never so narrow that noise looks like a difference.
        middle, half = (low / 2 + high / 2), max(0.56 * (high - low), 0.01)
        ends = middle - half, middle + half
    else:
        ends = min(0.0, low), 1.25 * high or 1.0  # room for the numbers
    names = [method.label for method in every]
    labels = chart.SHARE if column.format == "share" else chart.NUMBER
    x = strips.along(plot.unit, ends, labels=labels)
    layers = strips.points(rows, x, strips.rows_axis(names, labelled), strips.colours(every), what)
    height = strips.step(names) * len(names)
    return alt.layer(*layers).properties(width=_WIDE, height=height, title=alt.Title(plot.title, fontSize=12))


def _last(method: Method, read: Callable[[Run], float | None]) -> Interval | None:
    known = [value for value in map(read, method.runs) if value is not None]
    return interval(known) if known else None


def _place(method: Method, what: str, found: Interval) -> dict[str, Any]:
    spread = {"low": found.low, "high": found.high} if found.low < found.high else {}
    return {"row": method.label, "what": what, "x": found.mean, **spread, "seeds": drawing.seeds(method.runs)}
