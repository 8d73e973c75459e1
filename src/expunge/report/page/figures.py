"""Figures as parts of the page: at once as SVG, live when they come into view, in the page's colours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from expunge.charts import style

_NAMED = {style.INK: "ink", style.MUTED: "muted", style.GRID: "line", style.PAPER: "paper"} | {
    colour: f"s{i}" for i, colour in enumerate(style.SERIES)
}
_VARIABLES = {colour: f"var(--{name})" for colour, name in _NAMED.items()}
_DATA = ("values", "datasets")
_NARROW = 800  # pixels, of a chart that its caption stands beside, where the page is wide enough


def inline(drawn: style.Drawn) -> Markup:
    """Return the SVG of a figure as an element of the page, in the page's colours.

    Identifiers get the figure's name in front, since two figures may use the same ones.
    """
    svg = re.sub(r"^.*?(?=<svg)|<metadata>.*?</metadata>\s*", "", drawn.svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'(\bid="|\bhref="#|url\(#)', rf"\g<1>{drawn.name}-", svg)
    if drawn.chart is None:  # the page says how large a picture is; viewBox keeps its shape
        svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
        svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r"(: |=\")(#[0-9a-f]{6})(?=[;\"])", lambda m: m[1] + _VARIABLES.get(m[2], m[2]), svg)
    return Markup(svg.strip())


def is_narrow(drawn: style.Drawn) -> bool:
    """Return whether there is room beside a chart."""
    width = re.search(r'<svg[^>]*? width="(\d+)', drawn.svg)
    return drawn.chart is not None and width is not None and int(width[1]) <= _NARROW


def live(chart: Any) -> Any:
    """Return a chart in the page's colours, which follow light and dark; data is left as it is.

    A scale of numbers mixes its colours, which it can do with real ones alone.
    """
    if isinstance(chart, Mapping):
        mixed = chart.get("type") == "quantitative"
        return {
            key: value if key in _DATA or (mixed and key == "scale") else live(value)
            for key, value in chart.items()
        }
    if isinstance(chart, list):
        return [live(one) for one in chart]
    return _VARIABLES.get(chart, chart) if isinstance(chart, str) else chart
