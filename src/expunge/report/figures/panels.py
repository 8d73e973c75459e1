"""Panels of lines: axes, bands, marks, what a pointer is told; facets where there are many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, log
from typing import Any

import altair as alt

from expunge.report.figures import chart, style
from expunge.report.read.methods import COLOURS, Method

REQUESTS = "removal requests"
SOLID, DASHED, DOTTED = [1.0, 0.0], [5.0, 3.0], [1.5, 2.0]
_HALF = (chart.WIDTH - 50) // 2
_LOW = 170  # pixels; the height of a panel where there are many
_HUGE = 1e307  # what is larger by a margin is no number any more
_CROSS = "M-.5-.28L-.28-.5L0-.22L.28-.5L.5-.28L.22,0L.5,.28L.28,.5L0,.22L-.28,.5L-.5,.28L-.22,0Z"
_MARKS = {"retrained": "triangle-up", "refused": _CROSS}
_TIPS = {"y": "mean", "low": "from (95%)", "high": "to (95%)"}

Row = Mapping[str, Any]
Layers = list[alt.Chart]
Dashes = Mapping[str, list[float]]
"""What a stroke means -> its dashes."""


@dataclass(frozen=True)
class Frame:
    """Axes and size of a panel, the same in every facet.

    Attributes:
        x, y: From where to where.
        along, unit: What the axes are.
        log: Whether y has a log scale.
        width, height: In pixels.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    along: str
    unit: str
    log: bool
    width: int
    height: int

    @property
    def x_axis(self) -> alt.X:
        """Whole numbers."""
        axis = dict(values=chart.whole_ticks(*self.x), format=",d", grid=False)
        return alt.X("x:Q", title=self.along, axis=axis, scale=dict(domain=self.x, nice=False))

    def y_axis(self, field: str = "y:Q") -> alt.Y:
        """Numbers as tables have them."""
        ticks = {"values": chart.log_ticks(*self.y)} if self.log else {"tickCount": 6}
        scale = dict(domain=self.y, type="log" if self.log else "linear", nice=False, zero=False)
        return alt.Y(field, title=self.unit or None, axis=dict(labelExpr=chart.NUMBER, **ticks), scale=scale)


@dataclass(frozen=True)
class Panel:
    """What is drawn in one panel, of all methods.

    Attributes:
        title, unit, along: Words.
        rows: Places of lines, as ``drawing.rows`` has them, by ``stroke``.
        marks: What became of requests, as ``drawing.marked`` has it.
        dots: Single values, without a line.
        log: Whether y has a log scale.
        share: Whether y is a share of rows.
        reach: Further values of y that are to be seen.
        more: What else is drawn in a facet, given its title and the frame.
    """

    title: str
    unit: str
    rows: Sequence[Row]
    marks: Sequence[Row] = ()
    dots: Sequence[Row] = ()
    log: bool = False
    share: bool = False
    along: str = REQUESTS
    reach: Sequence[float] = ()
    more: Callable[[str, Frame], Layers] = field(default=lambda facet, frame: [])


def compose(panels: Sequence[Panel], every: Sequence[Method], dashes: Dashes) -> alt.TopLevelMixin:
    """Return the panels side by side, by facets; a panel that has nothing of a facet has no place in it."""
    facets = list(dict.fromkeys(method.panel for method in every))
    alone = len(panels) == len(facets) == 1
    size = {"width": chart.WIDTH if alone else _HALF, "height": chart.HEIGHT if len(facets) < 4 else _LOW}
    places = [row["x"] for panel in panels for row in panel.rows]
    x = _apart(min(places), max(places))
    cells: dict[str, list[Any]] = {}
    for panel in panels:
        frame = Frame(x, _reach(panel), panel.along, panel.unit, panel.log, **size)
        for facet in facets:
            if any(row["panel"] == facet for row in panel.rows):
                layers = _layers(panel, facet, frame, every, dashes)
                head = [words for words in (facet, panel.title if len(panels) > 1 else "") if words]
                told = {"title": alt.Title(head, fontSize=12, offset=6)} if head else {}
                cells.setdefault(facet, []).append(alt.layer(*layers).properties(**size, **told))
    blocks = [beside(own, 2) for own in cells.values()]
    whole = beside(blocks, 2 if len(panels) == 1 else 1)
    crowded = len(blocks) > 1 and len({method.name for method in every}) > COLOURS
    return whole.resolve_scale(color="independent") if crowded else whole


def colour_of(every: Sequence[Method]) -> alt.Color:
    """Return the colours of methods, by what they are called in their facet, with a legend."""
    names = {method.name: style.SERIES[method.colour] for method in every}
    scale = dict(domain=list(names), range=list(names.values()))
    return alt.Color("method:N", scale=scale, legend=chart.legend(list(names)))


def dash_of(dashes: Dashes) -> alt.StrokeDash:
    """Return the dashes of strokes, with a legend where there is more than one."""
    names = list(dashes)
    look = {"symbolStrokeColor": style.MUTED, "symbolSize": 400, "symbolStrokeWidth": 2}
    legend = chart.legend(names, **look) if len(names) > 1 else None
    return alt.StrokeDash("stroke:N", scale=dict(domain=names, range=list(dashes.values())), legend=legend)


def _layers(panel: Panel, facet: str, frame: Frame, every: Sequence[Method], dashes: Dashes) -> Layers:
    rows, marks, dots = (
        [row for row in found if row["panel"] == facet] for found in (panel.rows, panel.marks, panel.dots)
    )
    own = [method for method in every if method.panel == facet]
    # Where every facet has a legend of its own it is of the facet's methods.
    colour = colour_of(every if len({method.name for method in every}) <= COLOURS else own)
    layers = [*_lines(rows, frame, colour, dashes), *panel.more(facet, frame)]
    if dots:
        dot = alt.Chart(chart.data(dots)).mark_point(filled=True, size=9)
        layers.append(dot.encode(x=frame.x_axis, y=frame.y_axis(), color=colour, opacity=chart.picked(0.3)))
    return layers + _outcomes(marks, frame, colour)


def _lines(rows: Sequence[Row], frame: Frame, colour: alt.Color, dashes: Dashes) -> Layers:
    """Bands and bars of intervals, lines, marks of few places, and what a pointer is told."""
    first = next(iter(dashes))
    rows = [{**row, "mark": "open"} if "mark" in row and row["stroke"] != first else row for row in rows]
    # Earlier lines are wider, so that one under another can still be seen.
    later = list(dict.fromkeys(row["method"] for row in rows))[::-1]
    rows = [{**row, "width": 1.5 + 0.5 * later.index(row["method"])} for row in rows]
    base = alt.Chart(chart.data(rows)).encode(x=frame.x_axis, color=colour, detail=["stroke:N", "line:N"])
    y, low = frame.y_axis(), frame.y_axis("low:Q")
    layers = []
    if any("low" in row for row in rows):
        least = f"max(datum.low, {frame.y[0]})" if frame.log else "datum.low"
        spread = base.transform_filter("isValid(datum.low)").transform_calculate(low=least)
        bar = spread.transform_filter("datum.alone").mark_rule(strokeWidth=5)
        layers.append(spread.mark_area().encode(y=low, y2="high:Q", opacity=chart.picked(0.15)))
        layers.append(bar.encode(y=low, y2="high:Q", opacity=chart.picked(0.35)))
    width = alt.Size("width:Q", scale=None, legend=None)
    line = base.mark_line().encode(y=y, strokeDash=dash_of(dashes), size=width, opacity=chart.picked())
    layers.append(line)
    for kind, filled in {"full": True, "open": False}.items():
        if any(row.get("mark") == kind for row in rows):
            dot = base.transform_filter(f"datum.mark == '{kind}'")
            dot = dot.mark_point(filled=filled, size=34 if filled else 60, strokeWidth=1.5)
            layers.append(dot.encode(y=y, opacity=chart.picked()))
    tips = [alt.Tooltip("method:N"), alt.Tooltip("stroke:N", title="what"), alt.Tooltip("x:Q", title="at")]
    tips += [alt.Tooltip(f"{key}:Q", title=said) for key, said in _TIPS.items()]
    return [*layers, base.mark_point(style=chart.HOVER).encode(y=y, tooltip=[*tips, alt.Tooltip("seeds:N")])]


def _outcomes(marks: Sequence[Row], frame: Frame, colour: alt.Color) -> Layers:
    """What became of requests, marked on their lines; the legend has what there is."""
    if not marks:
        return []
    shapes = {name: shape for name, shape in _MARKS.items() if any(row["outcome"] == name for row in marks)}
    look = {"symbolFillColor": style.MUTED, "symbolStrokeColor": style.MUTED, "symbolStrokeWidth": 0}
    scale = dict(domain=list(shapes), range=list(shapes.values()))
    mark = alt.Chart(chart.data(marks)).mark_point(filled=True, size=56, stroke=style.PAPER, strokeWidth=0.6)
    tips = [alt.Tooltip("method:N"), alt.Tooltip("x:Q", title="at"), alt.Tooltip("outcome:N")]
    shape = alt.Shape(
        "outcome:N", scale=scale, legend=chart.legend(list(shapes), symbolType="circle", **look)
    )
    where = {"x": frame.x_axis, "y": frame.y_axis(), "color": colour}
    return [mark.encode(**where, shape=shape, opacity=chart.picked(), tooltip=tips)]


def beside(charts: Sequence[Any], columns: int) -> Any:
    """Return charts in so many columns, one alone as it is."""
    return charts[0] if len(charts) == 1 else alt.concat(*charts, columns=columns)


def _apart(low: float, high: float) -> tuple[float, float]:
    """A single place stands in the middle."""
    return (low, high) if high - low >= 1 else ((low + high) / 2 - 1, (low + high) / 2 + 1)


def _reach(panel: Panel) -> tuple[float, float]:
    """From where to where y goes, with some room.

    Of shares a span of at least two points is shown, so that noise of single test rows does not look like a
    trend.
    """
    found = [row.get(key) for row in (*panel.rows, *panel.dots) for key in ("y", "low", "high")]
    known = [value for value in (*found, *panel.reach) if value is not None and (value > 0 or not panel.log)]
    low, high = min(known, default=1.0), max(known, default=1.0)
    if panel.log:
        room = max(exp(0.04 * log(high / low)), 1.3) if high / low < _HUGE else 10.0
        return low / room or low, min(high * room, _HUGE)
    least = 0.02 if panel.share else (0.2 * abs(low) or 1.0) * (low == high)
    more = max(0.1 * (high / 2 - low / 2), (least - (high - low)) / 2)
    first, last = low - more if low < 0 else max(low - more, 0.0), high + more
    return max(first, -_HUGE), min(last, max(high, 1.0) if panel.share else _HUGE)
