"""One kind of chart: a row for each of what is compared, and marks along x."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from expunge.charts import chart, style
from expunge.charts.chart import Spec

Row = Mapping[str, Any]
Looks = Mapping[str, Mapping[str, Any]]
"""What is marked -> its mark's properties, with a ``shape`` for the legend; ``color`` if not its row's."""

_LANE = 15  # pixels of a line of words
_LINE = 34  # characters of a line of a row's name
_BAR: Spec = {"strokeWidth": 6, "opacity": 0.3}
_KEY: Spec = {
    **{"symbolType": "circle", "symbolFillColor": style.MUTED, "symbolStrokeColor": style.MUTED},
    **{"symbolStrokeWidth": 0, "symbolSize": 120},
}
_WORDS = {"align": "left", "dx": 9}
_HALO = {"stroke": style.PAPER, "strokeWidth": 4, "strokeJoin": "round"}  # so that nothing strikes through
_RING = "M0,-1L.75,0L0,1L-.75,0ZM0,-.68L-.51,0L0,.68L.51,0Z"
UPRIGHT = "M-.1,-1L.1,-1L.1,1L-.1,1Z"
HOLLOW = {"shape": _RING, "size": 120, "color": style.INK}
"""How a diamond with a hole looks."""
_TOLD = {"row": "of", "what": "what", "value": "value [95%]", "seeds": "seeds"}


def strips(
    rows: Sequence[Row],
    x: Spec,
    looks: Looks,
    hues: Mapping[str, str],
    *,
    by: str = "row",
    width: int = chart.WIDTH - 120,
    step: int = 28,
    labelled: bool = True,
    lanes: Spec | None = None,
    words: Mapping[str, Any] = _WORDS,
) -> Spec:
    """Return a panel of marks with their intervals, joined with what they are compared with, and numbers.

    Args:
        rows: ``row``, ``x``, ``what`` (one of ``looks``), and as known the interval ``low``, ``high``, ``to``
            for a line to there, ``said`` for words beside it, ``value`` for a pointer, ``seeds``, ``lane``.
        x: The axis along which they stand.
        looks: What is marked.
        hues: The colours of rows, or of what is marked.
        by: Which of the two.
        width: In pixels.
        step: The least height of a row, in pixels.
        labelled: Whether the rows have their names.
        lanes: The scale of ``lane``, if marks of a row do not stand at one height.
        words: How the words look.
    """
    names = list(dict.fromkeys(row["row"] for row in rows))
    look = {
        "labelExpr": chart.lines(_LINE),
        "domain": False,
        "ticks": False,
        "grid": True,
        "labels": labelled,
        "labelPadding": 10,
        "bandPosition": 0 if lanes else 0.5,  # of several marks a row, lines are between the rows
    }
    y: Spec = {"title": None, "axis": {**look, "labelLimit": 240, "labelOverlap": False}}
    y |= {"field": "row", "type": "nominal", "scale": {"type": "band", "domain": names}}
    colour = chart.coded(by, hues, by != "row", symbolType="circle")
    shape = chart.coded("what", {what: look["shape"] for what, look in looks.items()}, len(looks) > 1, **_KEY)
    if by != "row":
        shape["legend"] = colour["legend"]  # one legend of both
    fixed: Spec = {"color": {"value": style.INK}}
    layers = []
    if any("to" in row for row in rows):
        layers.append(chart.layer("rule", {"strokeWidth": 1.6}, "isValid(datum.to)", x2={"field": "to"}))
    if any("low" in row for row in rows):
        spread: Spec = {"x": {**x, "field": "low"}, "x2": {"field": "high"}}
        layers.append(chart.layer("rule", _BAR, "isValid(datum.low)", **spread))
    for place, (what, marked) in enumerate(looks.items()):
        own = {key: value for key, value in marked.items() if key not in ("type", "shape", "color")}
        kind = str(marked.get("type", "point"))
        more = {**(fixed if "color" in marked else {}), **({"shape": shape} if kind == "point" else {})}
        only, tips = f"datum.kind == {place}", chart.tips(_TOLD, [row for row in rows if row["what"] == what])
        layers.append(chart.layer(kind, {"opacity": 1, "filled": True, **own}, only, **more, tooltip=tips))
    if any("said" in row for row in rows):
        end: Spec = {"x": {**x, "field": "end"}, "text": {"field": "said"}, **fixed}
        written = {**words, "fontSize": 11}
        layers += [chart.layer("text", of, "isValid(datum.said)", **end) for of in (written | _HALO, written)]
    kinds = list(looks)
    lane: Spec = {"yOffset": {"field": "lane", "type": "quantitative", "scale": lanes}} if lanes else {}
    tall = _LANE * -(-min(max(map(len, names)), chart.LONGEST) // 25) + 6
    return {
        "width": width,
        "height": max(step, tall) * len(names),
        "data": chart.inline({**row, "kind": kinds.index(row["what"])} for row in rows),
        "transform": [
            chart.valued("x"),
            {"calculate": "isValid(datum.high) ? datum.high : datum.x", "as": "end"},
        ],
        "encoding": {"x": x, "y": y, "color": colour, **lane},
        "layer": layers,
    }
