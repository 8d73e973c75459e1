"""The picture of ``residual_bounds``: bounds and residuals against the number of removals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from expunge.certificate import Guarantee
from expunge.charts import chart, style
from expunge.charts.rendering import rendered
from expunge.core import text

# Column of the summary -> the cell, the column of its record, colour, mark and dashes; published ones first.
_CURVES = {
    "worst_case": ("fresh", "worst_case", style.SERIES[7], "square", [1, 0]),
    "data_dependent": ("fresh", "data_dependent", style.SERIES[1], "diamond", [1, 0]),
    "true": ("fresh", "true", style.INK, "circle", [6, 3]),
    "third_order": ("fresh", "third_order", style.SERIES[0], "triangle-up", [1, 0]),
    "corrected": ("corrected", "true", style.SERIES[2], "triangle-down", [2, 2]),
}
_MARKS = 8  # along a line
_WIDE, _HIGH = 270, 195  # pixels of a panel


def draw(
    records: Sequence[dict[str, Any]],
    guarantee: Guarantee,
    names: Mapping[str, str],
    sizes: Mapping[Any, str],
) -> style.Drawn:
    """Draw a panel for each size of a request, all with the same axes, the guarantee's budget across.

    ``names``: curve -> its name in the legend; ``sizes``: size of a request -> its name in the panel's title.
    """
    budget = f"budget at epsilon {text.number(guarantee.epsilon)}, delta {text.number(guarantee.delta)}"
    rows = [row for size, words in sizes.items() for row in _rows(records, size, f"Removed {words}", names)]
    far = [max(row["x"] for row in rows), min(row["x"] for row in rows)]
    for panel in dict.fromkeys(row["panel"] for row in rows):
        rows += [
            {"panel": panel, "method": budget, "x": x, "y": guarantee.budget, "marked": False} for x in far
        ]
    said = [*(names[curve] for curve in _CURVES), budget]
    colours, marks, dashes = zip(*(look[2:] for look in _CURVES.values()), strict=True)
    legend = chart.legend(said)
    of = alt.Chart().encode(
        x=alt.X(**chart.log_axis("x", "rows removed (log scale)", far)),
        y=alt.Y(
            **chart.log_axis("y", "norm of the gradient residual (log scale)", [row["y"] for row in rows])
        ),
        color=alt.Color(
            "method:N", scale=alt.Scale(domain=said, range=[*colours, style.MUTED]), legend=legend
        ),
        opacity=chart.picked(),
    )
    shaped = alt.Scale(domain=said, range=[*marks, "stroke"])
    layers = (
        *chart.dashed(of, dict(zip(said, [*dashes, [6, 3]], strict=True))),
        of.mark_point(filled=True, size=40)
        .encode(
            shape=alt.Shape("method:N", scale=shaped, legend=legend),
            tooltip=[
                alt.Tooltip("method:N"),
                alt.Tooltip("x:Q", title="removed"),
                alt.Tooltip("y:Q", title="norm"),
            ],
        )
        .transform_filter("datum.marked"),
    )
    caption = (
        "Every bound is charged for the very same removals; a model may be released while its bound is "
        "below the budget."
    )
    title = "Bounds on the gradient residual, and the residual itself"
    whole = alt.layer(*layers, data=chart.data(rows)).properties(width=_WIDE, height=_HIGH)
    head = alt.Header(title=None, labelAnchor="start", labelLimit=0)
    order = list(dict.fromkeys(row["panel"] for row in rows))
    facets = whole.facet(
        facet=alt.Facet("panel:N", sort=order, header=head), columns=chart.columns(len(order))
    )
    return rendered(facets.resolve_axis(x="independent", y="independent"), "residual_bounds", title, caption)


def _rows(
    records: Sequence[dict[str, Any]], size: Any, panel: str, names: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the points of a panel; what is not above 0 has no place on a log axis."""
    own = {record["update"]: record for record in records if record["batch_size"] == size}
    rows = []
    for curve, (update, column, *_) in _CURVES.items():
        points = list(zip(own[update]["removed"], own[update][column], strict=True))
        every = max(1, len(points) // _MARKS)
        rows += [
            {"panel": panel, "method": names[curve], "x": x, "y": y, "marked": i % every == 0}
            for i, (x, y) in enumerate(points)
            if y > 0
        ]
    return rows
