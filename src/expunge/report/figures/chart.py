"""How charts look, and how they become files: Vega-Lite, written as SVG, PNG and PDF, live in the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from expunge.report.figures.style import GRID, INK, MUTED, PAPER, SERIES, Drawn

WIDTH = 560  # pixels, of one panel; what stands side by side shares it
HEIGHT = 260
_FONT = "Liberation Sans, Arial, Helvetica, sans-serif"  # the first comes with the converter
_SCALE = 2  # pixels of the PNG a pixel of the chart
CONFIG: dict[str, Any] = {
    "font": _FONT,
    "background": PAPER,
    "view": {"stroke": None},
    "padding": 10,
    "title": {"color": INK, "fontSize": 14, "anchor": "start", "subtitleColor": MUTED},
    "header": {"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "labelFontWeight": "bold"},
    "axis": {
        **{"labelColor": INK, "titleColor": INK, "titleFontWeight": "normal", "domainColor": MUTED},
        **{"tickColor": MUTED, "gridColor": GRID, "labelFontSize": 11, "titleFontSize": 12},
    },
    "legend": {
        **{"labelColor": INK, "titleColor": INK, "orient": "bottom", "labelFontSize": 12, "title": None},
        **{"labelLimit": 0, "symbolStrokeWidth": 3},
    },
    "line": {"strokeWidth": 2},
    "range": {"category": list(SERIES)},
}


def data(rows: Sequence[Mapping[str, Any]]) -> alt.InlineData:
    """Return rows as the data of a chart.

    What names a field is ours, never from a file: Vega takes a name for a path, or an expression.
    """
    return alt.InlineData(values=[dict(row) for row in rows])


def rendered(chart: alt.TopLevelMixin, name: str, title: str, caption: str) -> Drawn:
    """Return a chart as a figure; the same chart gives the same bytes on the same machine.

    Args:
        chart: The chart, without a configuration of its own.
        name: The name of its files.
        title: What it is, for those who do not see it; and in its head.
        caption: The sentences under it.
    """
    import vl_convert

    spec = chart.to_dict()
    spec["config"] = CONFIG
    spec.setdefault("title", title)
    svg = vl_convert.vegalite_to_svg(spec)
    return Drawn(name, title, caption, svg, vl_convert.svg_to_png(svg, scale=_SCALE), spec)
