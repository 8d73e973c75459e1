"""Figures along the requests: numbers, running means, bounds and budgets, removed persons and the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from operator import methodcaller
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core import text
from expunge.core.text import finite
from expunge.record.folders import guarantees
from expunge.record.folders.runs import Run
from expunge.report.figures import chart, drawing, lines, style
from expunge.report.figures.drawing import Keyed
from expunge.report.figures.lines import Panel
from expunge.report.read.methods import Method, methods
from expunge.report.tables.table_rows import lasting

Draw = Callable[[Sequence[Run], Sequence[Keyed], str], style.Drawn | None]
_SHARE = 0.05  # of the requests: the window of the running mean
_LOG_FROM = 30.0  # a larger ratio of largest to smallest value gets a log axis
_BELOW = 100.0  # on a log axis single requests are shown down to the lowest mean over this
_MEASURED, _BOUND, _BUDGET = "measured", "bound by the certificate", "budget{}: what the noise covers"
_NAMED = 3  # budgets, of more the smallest and the largest
_SIDES = {"removed": "images of the removed persons", "rest": "images of everybody else"}
_AIM = "the retrained model"


def _finished(
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
    said += drawing.gaps(rows) + drawing.said(every) + drawing.thinned(rows)
    said += lines.beneath(panels, next(iter(used))) + drawing.missing(everyone, columns)
    return chart.rendered(lines.compose(panels, every, used), name, drawing.heading(columns), said)


def _able(runs: Sequence[Run], columns: Sequence[Keyed]) -> tuple[list[Keyed], list[Method], list[Method]]:
    """Return the numbers that some run has, all methods, and those with runs that have one of them."""
    known, everyone = [keyed for keyed in columns if any(run.has(keyed.key) for run in runs)], methods(runs)
    return known, everyone, drawing.having(everyone, lambda run: any(run.has(of.key) for of in known))


def draw_lines(runs: Sequence[Run], columns: Sequence[Keyed], name: str) -> style.Drawn | None:
    """Draw numbers along the requests, a panel each; None if no run has one that has a figure of its own."""
    columns, everyone, every = _able(runs, columns)
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
    return _finished(name, columns, everyone, every, panels, {"mean": lines.SOLID}, said)


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
    return Panel(plot.title, plot.unit, rows, log=log, share=share)


def _wide(values: Sequence[float]) -> bool:
    """Return whether a linear axis would hide the smaller ones of the positive values."""
    positive = [v for v in values if v > 0]
    return bool(positive) and max(positive) > _LOG_FROM * min(positive)


def draw_smoothed(runs: Sequence[Run], columns: Sequence[Keyed], name: str) -> style.Drawn | None:
    """Draw numbers of each request, with that before it, and their running means; None if no run has them."""
    columns, everyone, every = _able(runs, columns)
    if not every:
        return None
    window = _window(max(len(run.series(key)[0]) for run in runs for key, *_ in columns))
    strokes = [f"{when}{f', mean of {window}' * (window > 1)}" for when in ("after its removal", "before it")]
    panels = [_smoothed_panel(every, keyed, window, strokes) for keyed in columns]
    said = drawing.caption(columns, f"{drawing.heading(columns)}, at each request")
    if window > 1:
        said += f"; lines are running means over {window} requests (about {text.share(_SHARE)}), dots single "
        said += f"requests after their removal, {drawing.MOST_DOTS} at most, evenly picked; on a log axis "
        said += f"none more than {_BELOW:.0f} times below the lowest line"
    dashes = dict(zip(strokes, (lines.SOLID, lines.DASHED), strict=True))
    return _finished(name, columns, everyone, every, panels, dashes, f"{said}.")


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
        {**drawing.named(method), "x": x, "y": drawing.short(y)}
        for method in every
        for run in method.runs
        for x, y in drawing.thin(list(zip(*run.series(key), strict=True)), most)
        if y >= least and (y > 0 or not log)
    ]
    return Panel(plot.title, plot.unit, rows, dots=dots, log=log)


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


def draw_bounded(runs: Sequence[Run], columns: Sequence[Keyed], name: str) -> style.Drawn | None:
    """Draw a number and its bound against requests, with the budget; None if no run has a bound.

    Updates without a bound whose number was measured stand beside those that have one.
    """
    (keyed,) = columns
    key, bound = keyed.key, keyed.plot.against

    def has(run: Run) -> bool:
        # Of a training without a bound it is the training's own leftover, and no update left it.
        return run.has(bound) or (run.empirical and run.has(key))

    everyone = methods(runs)
    every = drawing.having(everyone, has)
    if not any(run.has(bound) for method in every for run in method.runs):
        return None
    budget = _BUDGET.format(_budgets([run for method in every for run in method.runs]))
    rows: list[dict[str, Any]] = []
    for method in every:
        fixed = _beforehand(method)
        of = {_MEASURED: key, **({budget: "budget"} if fixed else {_BOUND: bound})}
        for stroke, number in of.items():
            rows += drawing.rows(method, methodcaller("series", number), log=True, stroke=stroke)
        reads = [methodcaller("series", number) for number in (bound, key)]
        found = [dict(values) for read in reads for _, values in drawing.curves(method, read)]
        on = {x: fmean(values) for curve in found for x, values in curve.items()}
        for outcome in lines.OUTCOMES:
            rows += drawing.marked(method, outcome, on, log=True)
        known = {value for run in method.runs if (value := run.number("budget")) and value > 0}
        for value in sorted({min(known), max(known)}) if known and not fixed else ():
            rows += drawing.level(method, value, list(on), budget)
    panel = Panel(keyed.plot.title, keyed.plot.unit, rows, log=True)
    dashes = {_MEASURED: lines.SOLID, _BOUND: lines.DASHED, budget: lines.DOTTED}
    without = [m.label for m in everyone if not any(has(run) for run in m.runs)]
    return _finished(name, columns, [], every, [panel], dashes, _bounds(every, without, keyed))


def _beforehand(method: Method) -> bool:
    """Whether the bound is the budget, fixed before anything was measured."""
    return any(guarantees.noise(run, "releases") is not None for run in method.runs)


def _budgets(runs: Sequence[Run]) -> str:
    """Return the budgets in words, of many the smallest and the largest; what falls is named by its end."""
    known = sorted({value for run in runs if (value := run.number("budget")) and value > 0})
    words = list(dict.fromkeys(map(text.number, known)))
    return " " * bool(words) + (
        " to ".join([words[0], words[-1]]) if len(words) > _NAMED else ", ".join(words)
    )


def _bounds(every: Sequence[Method], without: Sequence[str], keyed: Keyed) -> str:
    """Return what bound and budget are, of the kinds of runs that are drawn."""
    runs = [run for method in every for run in method.runs]
    key, bound = keyed.key, keyed.plot.against
    kinds = []
    if any(not _beforehand(method) for method in every):
        kinds.append("A release as published counts as certified while its bound is at or below the budget")
    if planned := [run for method in filter(_beforehand, every) for run in method.runs]:
        kinds.append(
            "With noise at release the budget is the residual that the noise covers at the rows left"
        )
        kinds[-1] += ": it is fixed beforehand and falls with them"
        if any(not run.has(key) for run in planned):
            kinds[-1] += "; a protected run shows nothing that was measured"
    said = drawing.caption([keyed], ". ".join(kinds))
    if any(r["outcome"] == "retrained" for run in runs for r in run.records):
        said += "; retraining starts the sum again with a fresh perturbation"
    if any((both := run.series(bound))[0] and both == run.series(key) for run in runs):
        said += "; where there is only a solid line, the measured residual is itself the bound"
    if without:
        said += f"; without a bound, and so not drawn: {', '.join(without)}"
    if beyond := [method.label for method in every if not any(r.has(bound) for r in method.runs)]:
        said += f"; measured alone, without any bound: {', '.join(beyond)}"
    return f"{said}."


def draw_sides(runs: Sequence[Run], columns: Sequence[Keyed], name: str) -> style.Drawn | None:
    """Draw the two curves of every method beside the retrained model's values; None if no run has them."""
    removed, everyone, every = _able(runs, [keyed for keyed in columns if keyed.plot.kind == "removed"])
    if not every:
        return None
    # Seeds refuse different requests, and so have removed different numbers of images at the same one.
    asked = any(len(method.runs) > 1 for method in every)
    panels = []
    for title in dict.fromkeys(keyed.plot.title for keyed in removed):
        own = [keyed for keyed in columns if keyed.plot.title == title]
        rows = [row for method in every for keyed in own for row in _side(method, keyed, asked)]
        along = "images asked to be removed so far" if asked else "images removed so far"
        panels.append(Panel(title, own[0].plot.unit, rows, share=True, along=along, reach=(0.0, 1.0)))
    columns = [keyed for keyed in columns if keyed.plot.title in {panel.title for panel in panels}]
    said = drawing.caption(columns, "As the model stands after each request") + "."
    said += f" Images of refused requests {'count as asked for' if asked else 'do not count as removed'}."
    if any(row.get("stroke") == _AIM for panel in panels for row in panel.rows):
        said += " The aim for the removed persons is the retrained model's accuracy."
    looks = (lines.SOLID, lines.DASHED, lines.DOTTED)
    dashes = dict(zip((*_SIDES.values(), _AIM), looks, strict=True))
    return _finished(name, columns, everyone, every, panels, dashes, said)


def curve(run: Run, keyed: Keyed, asked: bool = False) -> tuple[list[float], list[float]]:
    """Return images removed so far and values; from no removal on where that value can be told.

    Args:
        run: The run.
        keyed: The column.
        asked: Count the images of refused requests too.
    """
    images = list(accumulate(len(record["rows"]) for record in run.records))
    counts = images if asked else [record.get("removed_total") for record in run.records]
    pairs = [(finite(x), finite(r.get(keyed.key))) for x, r in zip(counts, run.records, strict=True)]
    points = [(x, y) for x, y in pairs if x is not None and y is not None]
    kept = lasting(run, keyed.plot.against)
    # The share kept is of the value before any removal.
    if points and kept and points[0][0] > 0:
        points.insert(0, (0.0, points[-1][1] / kept))
    return [x for x, _ in points], [y for _, y in points]


def _side(method: Method, keyed: Keyed, asked: bool) -> list[dict[str, Any]]:
    """Return the places of one curve, and of the retrained model's last value, beside all of it."""
    stroke = _SIDES[keyed.plot.kind]
    rows = drawing.rows(method, partial(curve, keyed=keyed, asked=asked), stroke=stroke)
    found = (lasting(run, keyed.column.beside) for run in method.runs)
    aims = [value for value in found if value is not None]
    places = [row["x"] for row in rows]
    return rows + drawing.level(method, fmean(aims), places, _AIM) if rows and aims else rows
