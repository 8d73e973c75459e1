"""Trade-off curves: what runs are compared by against removals supported, with the Pareto front."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import altair as alt

from expunge.core.columns import Column
from expunge.record.columns import main_column
from expunge.report.figures import chart, curves, panels, style
from expunge.report.read import guarantees, text
from expunge.report.read.runs import Run
from expunge.report.tables.columns import formatted
from expunge.report.tables.grids import SWEPT, Cell, SweptMethod, swept
from expunge.report.tables.over_seeds import Interval

_FEWEST = 3  # points of a curve
_FADED = 0.35
_WIDER = 3.0  # pixels by which the first of many curves is wider than the last
_KINDS = {
    (True, False): "on the Pareto front",
    (True, True): "on the front, all requests served: at least",
    (False, False): "another of the curve is better",
    (False, True): "another is better, all requests served: at least",
}
"""By whether a point is on the front, and whether it might lie further to the right."""

_TOLD = {"said": "method", "at": "at", "supported": "supported", "value": "value", "seeds": "seeds"}


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the places of the points that no other one beats, in ascending order of a.

    A point is beaten by one that has at least as much of both and more of one; of equal points all stay.

    Args:
        points: (a, b) each; of both more is better. Finite.
    """
    beaten = {(a, b) for a, b in points for c, d in points if c >= a and d >= b and (c, d) != (a, b)}
    return sorted((i for i, point in enumerate(points) if point not in beaten), key=lambda i: (points[i], i))


def draw_tradeoff(runs: Sequence[Run]) -> style.Drawn | None:
    """Draw one curve a method and epsilon; None unless one has three points over lam or std.

    Noise at release has no budget that ends: where there is nothing else, there is nothing to trade.
    """
    main = main_column(run.columns for run in runs)
    shown = [method for method in swept(runs, *SWEPT) if _known(method)]
    if main is None or all(len(_known(method)) < _FEWEST for method in shown):
        return None
    column = main[1]
    cells = [point.cell for method in shown for point in _known(method)]
    endless = all(guarantees.noise(run, "releases") is not None for run in runs if run.certified)
    if endless and all(cell.served_all == cell.seeds for cell in cells):
        return None
    panels = [method.of.panel for method in shown]
    places = [panels[:i].count(panel) / panels.count(panel) for i, panel in enumerate(panels)]
    rows = [row for method, place in zip(shown, places, strict=True) for row in _rows(method, column, place)]
    title = f"{text.capital(column.head)} against removals supported"
    return chart.rendered(_curves(shown, rows, column), "tradeoff", title, _caption(cells, column.head))


class _Point(NamedTuple):
    """A cell that has both numbers, and the values of the settings that it is at."""

    at: str
    cell: Cell
    supported: Interval
    main: Interval


def _known(method: SweptMethod) -> list[_Point]:
    names = [key.rpartition(".")[2] for key in SWEPT]
    return [
        _Point(
            ", ".join(f"{key} {text.setting(value)}" for key, value in zip(names, at, strict=True)),
            cell,
            cell.supported,
            cell.main,
        )
        for at, cell in method.cells.items()
        if cell.supported and cell.main
    ]


def _rows(method: SweptMethod, column: Column, place: float) -> list[dict[str, Any]]:
    """Return the points of a curve; those on the front have ``step``, their place along it."""
    known = _known(method)
    sign = -1 if column.arrow == "↓" else 1
    front = pareto([(point.supported.mean, sign * point.main.mean) for point in known])
    every: list[dict[str, Any]] = []
    for i, (at, cell, supported, main) in enumerate(known):
        value = _words(main, lambda v: formatted(column.format, v))
        least = "≥ " * cell.at_least + _words(supported, text.number)
        every.append(
            {
                **curves.of(method.of),
                **{"x": supported.mean, "left": supported.low, "right": supported.high},
                **{"y": main.mean, "low": main.low, "high": main.high},
                **{"kind": _KINDS[i in front, cell.at_least], "step": front.index(i) if i in front else None},
                **{"at": at, "value": value, "supported": least, "seeds": cell.seeds},
                # Earlier curves are wider, so that one under another can still be seen.
                **{"wide": 1.6 + _WIDER * (1 - place), "area": 50 + 90 * (1 - place)},
            }
        )
    return every


def _words(found: Interval, said: Callable[[float], str]) -> str:
    """Return a number as a tooltip has it: with its interval, where there is one."""
    ends = said(found.low), said(found.high)
    return said(found.mean) + (f" [{', '.join(ends)}]" if ends[0] != ends[1] else "")


def _curves(
    shown: Sequence[SweptMethod], rows: Sequence[dict[str, Any]], column: Column
) -> alt.LayerChart | alt.FacetChart:
    """Return the front as steps, the intervals as bars, and the points."""
    colour = panels.colour_of([method.of for method in shown])
    ends = curves.span([row[key] for row in rows for key in ("low", "high")], column)
    up = alt.Y("y:Q", title=f"{column.head} after the last request", scale=alt.Scale(domain=ends, zero=False))
    of = alt.Chart().encode(
        x=_across([row[key] for row in rows for key in ("left", "right")]), y=up, color=colour
    )
    there = chart.picked()
    # Up to a point's number of removals its value can be had: the step before it.
    front = of.mark_line(interpolate="step-before").encode(
        order="step:Q", strokeWidth=alt.StrokeWidth("wide:Q", scale=None), opacity=there
    )
    several = of.mark_rule().encode(opacity=there).transform_filter("datum.seeds > 1")
    kinds = [kind for kind in _KINDS.values() if any(row["kind"] == kind for row in rows)]
    shapes = ["triangle-right" if "at least" in kind else "circle" for kind in kinds]
    faded = [1.0 if "front" in kind else _FADED for kind in kinds]
    legend = chart.legend(kinds)
    points = of.mark_point(filled=True).encode(
        shape=alt.Shape("kind:N", scale=alt.Scale(domain=kinds, range=shapes), legend=legend),
        opacity=alt.Opacity("kind:N", scale=alt.Scale(domain=kinds, range=faded), legend=legend),
        fillOpacity=there,
        size=alt.Size("area:Q", scale=None),
        tooltip=[alt.Tooltip(f"{key}:N", title=title) for key, title in _TOLD.items()],
    )
    layers = (
        front.transform_filter("isValid(datum.step)"),
        several.encode(x2="right", x="left:Q"),
        several.encode(y2="high", y="low:Q"),
        points,
    )
    return curves.faceted(layers, rows)


def _across(counts: Sequence[float]) -> alt.X:
    """Return an axis on a log scale of plain numbers, with a place for none at all where that came about."""
    none = min(counts) < 1
    low, high = 0.0 if none else min(counts) / 1.3, 1.15 * max(1.0, *counts)
    ticks = [0.0] * none + chart.log_ticks(max(low, 1.0), high)
    scale = alt.Scale(type="symlog" if none else "log", domain=[low, high], nice=False)
    axis = alt.Axis(values=ticks, labelExpr=chart.NUMBER)
    title = "requests served before a retraining or refusal (log scale)"
    return alt.X("x:Q", title=title, scale=scale, axis=axis)


def _caption(cells: Sequence[Cell], head: str) -> str:
    seeds = max(cell.seeds for cell in cells)
    caption = "Each point is a run with its own lam and std"
    caption += f", the mean over up to {seeds} seeds, bars its 95% interval" if seeds > 1 else ""
    caption += (
        f". The line is the Pareto front: the best {head} of the runs that supported at least so many "
        "removals."
    )
    if any(cell.at_least for cell in cells):
        caption += " At an arrow all requests were served: it might have supported more."
    return caption
