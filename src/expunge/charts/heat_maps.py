"""One kind of chart: cells over the values of two settings, coloured by a number and with it in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from expunge.charts import chart, style
from expunge.charts.chart import Spec

# ColorBrewer's map from a light yellow to a dark blue: safe for the colour-blind, and darker means more in
# grey too. Its lightest and darkest ends are left out, so that cells differ from paper and from numbers.
_MAP = {"name": "yellowgreenblue", "extent": [0.06, 0.88]}
_ON_LIGHT, _ON_DARK = "#101418", "#fafafa"
_TURN = 0.62  # share of the map above which numbers are light: 0.3 of relative luminance (WCAG 2)
_STEP, _SMALL_STEP, _UP = 56, 48, 38  # pixels of a cell
_ROOM = 900  # pixels of the panels of a row, about
_MANY = 8  # values of a setting above which cells are small
_LABELS, _LETTER = 62, 6.8  # pixels left of a panel, and of a letter of its title
_EDGE = {"stroke": style.PAPER, "strokeWidth": 1.5}
_NOTHING = "#eef1f4"  # where a cell has no number
_TOLD = ("method", "at", "number", "value", "seeds")


def heat_maps(
    rows: Sequence[Mapping[str, Any]],
    title: str,
    x: tuple[str, Sequence[str]],
    y: tuple[str, Sequence[str]],
    ends: tuple[float, float],
) -> Spec:
    """Return a panel a method, as many side by side as there is room for.

    Args:
        rows: Cells: ``method``, ``place`` (its panel's), ``x``, ``y``, ``words``, ``fewer`` for a line below
            them, ``share`` on the scale of the colours if there is one, and what a pointer is told: ``at``,
            ``number``, ``value``, ``seeds``.
        title: Of all panels.
        x: What is across, and its values in words.
        y: What is up, likewise.
        ends: Of the scale of the colours.
    """
    step, size = (_STEP, 11) if len(x[1]) <= _MANY else (_SMALL_STEP, 9)
    wide = step * len(x[1])
    share = {
        "field": "share",
        "type": "quantitative",
        "scale": {"domain": ends, "scheme": _MAP},
        "legend": None,
    }
    dark = f"datum.share > {ends[0] + _TURN * (ends[1] - ends[0])}"
    ink = {"condition": {"test": dark, "value": _ON_DARK}, "value": _ON_LIGHT}
    below = {"fontSize": size - 3, "dy": 12}
    layers = [
        chart.layer("rect", _EDGE, "!isValid(datum.share)", color={"value": _NOTHING}),
        chart.layer("rect", _EDGE, "isValid(datum.share)", color=share),
        chart.layer("text", {"fontSize": size}, text={"field": "words"}, color=ink),
        chart.layer("text", below, "datum.fewer", text={"field": "fewer"}, color=ink),
    ]
    axes = {"x": _axis("x", x[0], x[1]), "y": _axis("y", y[0], y[1][::-1])}
    label = chart.lines(max(8, int(wide / _LETTER)))
    head = {"title": None, "labelAnchor": "start", "labelLimit": 0, "labelPadding": 4, "labelExpr": label}
    by = {"field": "method", "type": "nominal", "sort": {"field": "place", "op": "min"}, "header": head}
    across = chart.columns(len({row["place"] for row in rows}))
    told = chart.tips({key: key for key in _TOLD}, rows)
    return {
        "data": chart.inline(rows),
        "facet": by,
        "columns": max(1, min(across, _ROOM // (wide + _LABELS))),
        "spacing": 18,
        "resolve": {"axis": {"x": "independent", "y": "independent"}},
        "title": {"text": title, "offset": 10},
        "spec": {
            **{"width": wide, "height": _UP * len(y[1])},
            **{"encoding": {**axes, "tooltip": told}, "layer": layers},
        },
    }


def _axis(field: str, title: str, values: Sequence[str]) -> Spec:
    look = {"domain": False, "ticks": False, "grid": False, "labelAngle": 0}
    return {"field": field, "type": "ordinal", "axis": {"title": title, **look}, "scale": {"domain": values}}
