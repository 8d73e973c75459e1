"""One kind of chart: lines over x in few colours, with intervals, dashes, outcomes, and facets where many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from typing import Any, Protocol

import numpy as np

from expunge.charts import chart, style
from expunge.charts.chart import Spec

SOLID, DASHED, DOTTED = [1.0, 0.0], [5.0, 3.0], [1.5, 2.0]
CROSS = "M-.5-.28L-.28-.5L0-.22L.28-.5L.5-.28L.22,0L.5,.28L.28,.5L0,.22L-.28,.5L-.5,.28L-.22,0Z"
_WIDE = {1: chart.WIDTH, 2: (chart.WIDTH - 50) // 2, 3: 180}
"""Panels side by side -> the pixels of each."""
_LOW = 170  # pixels; the height of a panel where there are many
_LEAST_SHARE = 0.02  # that an axis of shares spans: noise of single test rows does not look like a trend
_UNSEEN = 0.006  # of the height of a panel: lines that are closer lie on one another
_HEIGHTS = ("y", "low", "high", "least", "most")
_BAR: Spec = {"strokeWidth": 3}
_DOTS: dict[str, Spec] = {"full": {"filled": True}, "open": {"filled": False, "strokeWidth": 1.5}}
_STEPS = 2.5  # by which the first of the methods is larger at the most
_MARK: Spec = {"filled": True, "stroke": style.PAPER, "strokeWidth": 0.6}
_MARK_KEY: Spec = {"symbolFillColor": style.MUTED, "symbolStrokeColor": style.MUTED, "symbolStrokeWidth": 0}
_DOT_KEY: Spec = {"symbolSize": 30, "symbolOpacity": 0.5}
_DASH_KEY: Spec = {"symbolStrokeColor": style.MUTED, "symbolSize": 400, "symbolStrokeWidth": 2}
_TOLD = {"method": "method", "stroke": "what", "x": "at", "value": "value [95%]", "seeds": "seeds"}

Row = Mapping[str, Any]


class Series(Protocol):
    """What has lines in one colour, and a place in the legend."""

    @property
    def name(self) -> str:
        """What it is called in its facet: no two of one facet are called the same, or have one colour."""

    @property
    def colour(self) -> int:
        """Its place in ``style.SERIES``."""

    @property
    def panel(self) -> str:
        """Title of the facet it is drawn in; empty where all are in one."""


@dataclass(frozen=True)
class Panel:
    """What is drawn in one panel, of all methods.

    Attributes:
        title, unit, along: Words: of the panel, of y, of x.
        rows: Places of lines: ``method``, ``panel`` (the facet), ``stroke``, ``line``, ``x``, ``y``, and as
            known the interval ``low``, ``high``, that along x ``left``, ``right``, the values ``least`` to
            ``most`` of a stretch; ``mark`` for a dot, an open one where the stroke is not the first;
            ``alone`` for an interval as a bar, not as part of a band; ``outcome`` for a mark, which needs no
            line.
        dots: Single values, without a line.
        dot: What one of them is called in the legend.
        log: Whether y has a log scale.
        share: Whether y is a share of rows.
        scale: Of x: ``linear`` for whole numbers, ``log`` or ``symlog``.
        reach: Further values of y that are to be seen.
        steps: Whether up to a place a line has the place's value.
        outcomes: What a mark means -> its shape.
        told: What a pointer is told of a place: field -> its title.
    """

    title: str
    unit: str
    rows: Sequence[Row]
    along: str
    dots: Sequence[Row] = ()
    dot: str = ""
    log: bool = False
    share: bool = False
    scale: str = "linear"
    reach: Sequence[float] = ()
    steps: bool = False
    outcomes: Mapping[str, str] = field(default_factory=dict)
    told: Mapping[str, str] = field(default_factory=lambda: _TOLD)


def compose(panels: Sequence[Panel], every: Sequence[Series], dashes: Mapping[str, list[float]]) -> Spec:
    """Return the panels side by side, by facets; a panel that has nothing of a facet has no place in it.

    Args:
        panels: The panels.
        every: The methods that are drawn.
        dashes: What a stroke means -> its dashes.
    """
    facets, panels = list(dict.fromkeys(m.panel for m in every)), [panel for panel in panels if panel.rows]
    wide = _WIDE[chart.columns(len(panels) if len(panels) > 1 else len(facets))]
    size = {"width": wide, "height": chart.HEIGHT if len(facets) < 4 else _LOW}
    crowded = len(facets) > 1 and len({method.name for method in every}) > style.COLOURS
    cells: dict[str, list[Spec]] = {}
    for panel in panels:
        x, y = _x(panel, panels), _y(panel)
        x["title"] = wrap(panel.along, wide // 6)
        for facet in facets:
            if any(row["panel"] == facet for row in panel.rows):
                # Where every facet has a legend of its own it is of the facet's methods.
                known = [method for method in every if method.panel == facet or not crowded]
                cell = {**size, **_cell(panel, facet, x, y, known, dashes)}
                head = [*wrap(facet, wide // 7), *([panel.title] if len(panels) > 1 and panel.title else [])]
                if head:
                    cell["title"] = chart.head(*head)
                cells.setdefault(facet, []).append(cell)
    whole = chart.beside([chart.beside(own) for own in cells.values()], 0 if len(panels) == 1 else 1)
    return {**whole, "resolve": {"scale": {"color": "independent"}}} if crowded else whole


def beneath(panels: Sequence[Panel], *strokes: str) -> str:
    """Return the sentence that says which lines of these strokes lie under another; none where none do.

    Of many facets, whose lines are many, it says nothing.
    """
    found: dict[str, list[str]] = {}
    several = len({row["panel"] for panel in panels for row in panel.rows}) > 1
    panels = [] if several else [panel for panel in panels if panel.rows]
    for panel in panels:
        bend = np.log10 if panel.log else np.asarray
        unseen = _UNSEEN * np.ptp(bend(_y(panel)["scale"]["domain"]))
        every: dict[str, Any] = {}
        for row in panel.rows:
            if row.get("stroke") in strokes and row["y"] is not None:
                every.setdefault(row.get("said", row["method"]), []).append((row["x"], bend(row["y"])))
        every = {name: np.array(sorted(line)).T for name, line in every.items()}
        under: dict[str, list[str]] = {}
        for i, (name, (x, y)) in enumerate(every.items()):
            later = list(every.items())[i + 1 :]
            offs = [(o, np.interp(x, along, up, np.inf, np.inf) - y) for o, (along, up) in later]
            if over := [other for other, off in offs if np.abs(off).max() <= unseen]:
                under.setdefault(over[-1], []).append(name)
        for other, own in under.items():
            found.setdefault(f"{' and '.join(own)} under {other}", []).append(panel.title)
    known = (f"{who} ({', '.join(on)})" if len(on) < len(panels) else who for who, on in found.items())
    return f" Lines that lie under another: {'; '.join(known)}." if found else ""


def _cell(
    panel: Panel, facet: str, x: Spec, y: Spec, every: Sequence[Series], dashes: Mapping[str, list[float]]
) -> Spec:
    """Return bands and bars of intervals, lines, dots of few places, outcomes, and what a pointer is told."""
    rows, dots = ([row for row in found if row["panel"] == facet] for found in (panel.rows, panel.dots))
    first = next(iter(dashes))
    rows = [{**row, "mark": "open"} if "mark" in row and row["stroke"] != first else row for row in rows]
    hues = {method.name: style.SERIES[method.colour] for method in every}
    # Earlier lines and marks are larger, so that one under another can still be seen.
    last = [name for name in reversed(hues) if any(row["method"] == name for row in rows)]
    more = min(0.8, _STEPS / max(len(last) - 1, 1))
    sizes = [{n: a + b * more * i for i, n in enumerate(last)} for a, b in ((1.5, 1), (34, 40), (60, 50))]
    wide, dot, large = ({**chart.coded("method", of, False), "type": "ordinal"} for of in sizes)
    low: Spec = {"y": {**y, "field": "low"}, "y2": {"field": "high"}}
    right: Spec = {"x": {**x, "field": "left"}, "x2": {"field": "right"}}
    dash: Spec = {"strokeDash": chart.coded("stroke", dashes, len(dashes) > 1, **_DASH_KEY)}
    layers = []
    if any("least" in row for row in rows):
        whole: Spec = {"y": {**y, "field": "least"}, "y2": {"field": "most"}}
        layers.append(chart.layer("area", None, "isValid(datum.least)", **whole, opacity=chart.picked(0.15)))
    if any("low" in row for row in rows):
        band = "isValid(datum.low) && !datum.alone"
        layers.append(chart.layer("area", None, band, **low, opacity=chart.picked(0.2)))
        layers.append(chart.layer("rule", _BAR, "datum.alone", **low, opacity=chart.picked(0.45)))
    if any("left" in row for row in rows):
        layers.append(chart.layer("rule", _BAR, **right, opacity=chart.picked(0.45)))
    bent: Spec = {"strokeJoin": "round", **({"interpolate": "step-before"} if panel.steps else {})}
    layers.append(chart.layer("line", bent, "isValid(datum.line)", **dash, size=wide))
    for kind, look in _DOTS.items():
        if any(row.get("mark") == kind for row in rows):
            layers.append(chart.layer("point", look, f"datum.mark == '{kind}'", size=dot))
    told = chart.tips(panel.told, [row for row in rows if "line" in row])
    layers.append(chart.layer("point", {"style": chart.HOVER}, opacity={"value": 0}, tooltip=told))
    if dots:
        scale = {"domain": [panel.dot], "range": ["circle"]}
        key = chart.legend([panel.dot], symbolType="circle", **_MARK_KEY, **_DOT_KEY)
        own: Spec = {
            "shape": {"datum": panel.dot, "type": "nominal", "scale": scale, "legend": key},
            "detail": [],
        }
        single = chart.layer("point", {"filled": True, "size": 9}, opacity=chart.picked(0.3), **own)
        layers.append({**single, "data": chart.inline(dots)})
    if any("outcome" in row for row in rows):
        shapes = {
            name: at for name, at in panel.outcomes.items() if any(r.get("outcome") == name for r in rows)
        }
        shape = chart.coded("outcome", shapes, symbolType="circle", **_MARK_KEY)
        titles = {"outcome": "outcome", **panel.told}
        told = chart.tips(titles, [row for row in rows if "outcome" in row])
        own = {"shape": shape, "size": large, "tooltip": told, "detail": []}
        layers.append(chart.layer("point", _MARK, "isValid(datum.outcome)", **own))
    detail = [{"field": name, "type": "nominal"} for name in ("stroke", "line")]
    bottom = [
        {"calculate": f"isValid(datum.{end}) ? max(datum.{end}, {y['scale']['domain'][0]}) : null", "as": end}
        for end in ("low", "least")
    ]
    return {
        "data": chart.inline(rows),
        "transform": [chart.valued("y"), *(bottom if panel.log else [])],
        "encoding": {"x": x, "y": y, "color": chart.coded("method", hues, symbolSize=100), "detail": detail}
        | {"opacity": chart.picked()},
        "layer": layers,
        "resolve": {"scale": {"size": "independent"}},
    }


def _x(panel: Panel, panels: Sequence[Panel]) -> Spec:
    """Return the axis along which the lines run, the same in panels that run along the same."""
    rows = [row for one in panels if one.along == panel.along for row in one.rows]
    known = [row[key] for row in rows for key in ("x", "left", "right") if key in row]
    low, high = min(known), max(known)
    if panel.scale == "log":
        return chart.log_axis("x", panel.along, known)
    if panel.scale == "symlog":
        return chart.axis("x", panel.along, (0.0, 1.15 * max(1.0, high)), "symlog")
    # A single place stands in the middle.
    ends = (low - 1, low + 1) if high - low < 1 else (0.0 if low < 0.1 * high else low, high)
    return chart.axis("x", panel.along, ends, labels=chart.WHOLE, tickCount=6, grid=False)


def _y(panel: Panel) -> Spec:
    """Return the axis of the values, with some room."""
    found = [row.get(key) for row in (*panel.rows, *panel.dots) for key in _HEIGHTS]
    known = [value for value in (*found, *panel.reach) if value is not None and (value > 0 or not panel.log)]
    if panel.log:
        return chart.axis("y", panel.unit, chart.log_ends(known or [1.0], 1.3), "log")
    low, high = min(known, default=1.0), max(known, default=1.0)
    least = _LEAST_SHARE if panel.share else (0.2 * abs(low) or 1.0) * (low == high)
    more = max(0.1 * (high / 2 - low / 2), (least - (high - low)) / 2)
    first, last = low - more if low < 0 else max(low - more, 0.0), high + more
    if panel.share:
        last = min(last, max(high, 1.0) + 0.04 * (last - first))
    return chart.axis("y", panel.unit, (first, last), tickCount=6)
