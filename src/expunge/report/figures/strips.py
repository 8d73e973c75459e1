"""Panels in which each method, or whatever is compared, has a row: a label at its left, and marks along x."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from expunge.report.figures import chart, style
from expunge.report.read.methods import Method

Row = Mapping[str, Any]
LANE = 15  # pixels of a line of words


def step(names: Sequence[str], least: int = 28) -> int:
    """Return the height of a row that the labels need, in pixels."""
    longest = min(max(map(len, names)), chart.LONGEST)
    return max(least, LANE * -(-longest // 25) + 6)


def rows_axis(names: Sequence[str], labelled: bool = True) -> alt.Y:
    """Return the axis of the rows, from the top, with their names or without."""
    axis = dict(
        labelExpr=chart.LINES,
        domain=False,
        ticks=False,
        grid=True,
        labels=labelled,
        labelLimit=240,
        labelOverlap=False,
    )
    return alt.Y("row:N", title=None, axis=axis, scale=dict(domain=list(names)))


def colours(every: Sequence[Method]) -> alt.Color:
    """Return the colours of the methods by their labels; the rows say which is which."""
    names = {method.label: style.SERIES[method.colour] for method in every}
    return alt.Color("row:N", scale=dict(domain=list(names), range=list(names.values())), legend=None)


def along(title: str, ends: tuple[float, float], log: bool = False, labels: str = chart.NUMBER) -> alt.X:
    """Return the axis along which the marks stand."""
    ticks = {"values": chart.log_ticks(*ends)} if log else {"tickCount": 4}
    scale = dict(domain=ends, type="log" if log else "linear", nice=False, zero=False)
    return alt.X("x:Q", title=title or None, axis=dict(labelExpr=labels, **ticks), scale=scale)


def marks(names: Sequence[str]) -> alt.Shape:
    """Return the shapes of what is marked, a second one a diamond, with a legend."""
    shapes = dict(zip(names, ("circle", "diamond"), strict=False))
    look = {"symbolStrokeColor": style.INK, "symbolType": "circle", "symbolStrokeWidth": 1.4}
    scale = dict(domain=list(shapes), range=list(shapes.values()))
    return alt.Shape(
        "what:N", scale=scale, legend=chart.legend(list(shapes), **look) if len(names) > 1 else None
    )


def points(
    rows: Sequence[Row], x: alt.X, y: alt.Y, colour: alt.Color, what: Sequence[str]
) -> list[alt.Chart]:
    """Return the layers of means with their intervals, joined with what they are compared with, and numbers.

    Args:
        rows: ``row``, ``x``, ``what`` (one of ``what``), and as known ``low``, ``high``, ``to``, ``said``,
            ``seeds``.
        x: Along which they stand.
        y: The rows.
        colour: Of the rows.
        what: What is marked.
    """
    base = alt.Chart(chart.data(rows)).encode(y=y, color=colour)
    tips = [alt.Tooltip("row:N", title="method"), alt.Tooltip("what:N"), alt.Tooltip("x:Q", title="mean")]
    tips += [alt.Tooltip("low:Q", title="from (95%)"), alt.Tooltip("high:Q", title="to (95%)")]
    tips += [alt.Tooltip("seeds:N")]
    layers = []
    if any("to" in row for row in rows):
        joined = base.transform_filter("isValid(datum.to)").mark_rule(strokeWidth=1.6)
        layers.append(joined.encode(x=x, x2="to:Q"))
    if any("low" in row for row in rows):
        low = x.copy()
        low.shorthand = "low:Q"
        spread = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=6, opacity=0.3)
        layers.append(spread.encode(x=low, x2="high:Q"))
    shape = marks(what)
    own = base.transform_filter(f"datum.what == '{what[0]}'").mark_point(filled=True, size=60, opacity=1)
    layers.append(own.encode(x=x, shape=shape, tooltip=tips))
    for other in what[1:]:
        theirs = base.transform_filter(f"datum.what == '{other}'").mark_point(
            size=80, strokeWidth=1.4, opacity=1
        )
        layers.append(theirs.encode(x=x, shape=shape, color=alt.value(style.INK), tooltip=tips))
    if any("said" in row for row in rows):
        words = base.transform_filter("isValid(datum.said)").mark_text(align="left", dx=9, fontSize=11)
        right = x.copy()
        right.shorthand = "end:Q"
        layers.append(
            words.transform_calculate(end="isValid(datum.high) ? datum.high : datum.x").encode(
                x=right, text="said:N", color=alt.value(style.INK)
            )
        )
    return layers
