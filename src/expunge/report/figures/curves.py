"""What the charts of a sweep share: a colour a method, facets, and what an axis spans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from textwrap import wrap
from typing import Any

import altair as alt

from expunge.core.columns import Column
from expunge.report.figures import chart, drawing
from expunge.report.read import text
from expunge.report.read.methods import Method

HALF = 270  # pixels, of one of two panels side by side
_LETTER = 6.8  # pixels of one in the title of a panel
_LEAST_SPAN = 0.02  # of shares: noise of single test rows does not look like a trend


def folded(label: str, pixels: float) -> str:
    """Return a label in lines that fit into so many pixels, a setting on one line with its value."""
    return "\n".join(wrap(text.unbroken(label), max(8, int(pixels / _LETTER)), break_on_hyphens=False))


def header() -> alt.Header:
    """Return how the titles of facets stand over them, in the lines that they have."""
    look: dict[str, Any] = {"title": None, "labelAnchor": "start", "labelLimit": 0, "labelPadding": 4}
    return alt.Header(labelExpr="split(datum.label, '\\n')", **look)


def in_order(field: str) -> alt.Facet:
    """Return facets of a field, in the order of the field ``place``."""
    return alt.Facet(f"{field}:N", sort=alt.EncodingSortField("place", op="min"), header=header())


def of(method: Method) -> dict[str, str]:
    """Return the fields by which a row of data belongs to a method; ``said`` is for tooltips."""
    return {"method": method.name, "panel": folded(method.panel, HALF), "said": method.label}


def faceted(
    layers: Sequence[alt.Chart],
    rows: Sequence[Mapping[str, Any]],
    wide: int = chart.WIDTH,
) -> alt.LayerChart | alt.FacetChart:
    """Return the layers over the rows; where these have several ``panel``, each is one, two side by side."""
    panels = list(dict.fromkeys(row["panel"] for row in rows))
    placed = chart.data([{**row, "place": panels.index(row["panel"])} for row in rows])
    many = len(panels) > 1
    size = (
        {"width": HALF, "height": chart.HEIGHT * 3 // 4} if many else {"width": wide, "height": chart.HEIGHT}
    )
    one: Any = alt.layer(*layers, data=placed).properties(**size)
    if not many:
        return one
    return one.facet(facet=in_order("panel"), columns=2).resolve_axis(x="independent", y="independent")


def span(values: Iterable[float], column: Column | None = None) -> list[float]:
    """Return from where to where an axis goes on which all values have room."""
    known = list(values)
    low, high = min(known), max(known)
    share = column is not None and drawing.is_share(column)
    least = _LEAST_SPAN if share else 0.01 * max(abs(low), abs(high)) or 1.0
    middle, half = low / 2 + high / 2, max(0.54 * (high - low), least / 2)
    ends = [middle - half, middle + half]
    return [max(ends[0], -_LEAST_SPAN), min(ends[1], 1 + _LEAST_SPAN)] if share else ends


def log_axis(channel: Any, field: str, title: str, values: Iterable[float]) -> Any:
    """Return ``alt.X`` or ``alt.Y`` of a field on a log scale with plain numbers and room at both ends.

    Args:
        channel: ``alt.X`` or ``alt.Y``.
        field: Its name.
        title: What it is.
        values: All that must have room, above 0.
    """
    known = list(values)
    low, high = min(known), max(known)
    room = max((high / low) ** 0.04, 1.1)
    ends = [low / room, high * room]
    return channel(
        f"{field}:Q",
        title=title,
        scale=alt.Scale(type="log", domain=ends, nice=False),
        axis=alt.Axis(values=chart.log_ticks(*ends), labelExpr=chart.NUMBER),
    )
