"""The picture of ``spurious``: accuracy with and without each attribute, a panel for each selection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt

from expunge.charts import chart, style
from expunge.charts.rendering import rendered
from expunge.core import text

_TITLES = {
    "none": "nothing regularised",
    "all": "all other attributes",
    "random": "as many at random",
    "foci": "those that FOCI chooses",
    "one": "one at random",
    "first": "FOCI's first",
}
_ACROSS = 3  # panels side by side
_STEP, _WIDTH = 15, 190  # pixels of an attribute, and of a panel
_KINDS = {"with": style.SERIES[0], "without": style.SERIES[1]}


def draw(
    target: str,
    rows: Mapping[str, Mapping[str, Any]],
    accuracies: Mapping[str, Mapping[str, tuple[float, float]]],
) -> style.Drawn:
    """Draw two dots an attribute, joined by a line, in a panel for each selection.

    Args:
        target: The attribute that the networks tell.
        rows: Selection -> its row of the table.
        accuracies: Selection -> attribute -> accuracy with and without it.
    """
    names = sorted(next(iter(accuracies.values())))
    across = alt.X("x:Q", title="accuracy", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(values=[0, 0.5, 1]))
    colour = alt.Color(
        "rows:N",
        scale=alt.Scale(domain=[*_KINDS], range=[*_KINDS.values()]),
        legend=chart.legend(
            [*_KINDS], title="test faces", symbolType="circle", symbolStrokeWidth=0, symbolOpacity=1
        ),
    )
    panels = []
    for place, (selection, own) in enumerate(accuracies.items()):
        axis = alt.Axis(
            grid=True, labels=place % _ACROSS == 0, ticks=False, labelLimit=160, labelOverlap=False
        )
        up = alt.Y("y:N", title=None, sort=[text.plain(name) for name in names], axis=axis)
        dots = [
            {"y": text.plain(name), "x": value, "rows": kind, "value": f"{value:.3f}"}
            for name, both in own.items()
            for kind, value in zip(_KINDS, both, strict=True)
        ]
        bars = [{"y": text.plain(name), "x": min(both), "to": max(both)} for name, both in own.items()]
        whole = [{"x": rows[selection]["accuracy"]}]
        tips = [alt.Tooltip("y:N", title="attribute"), alt.Tooltip("rows:N"), alt.Tooltip("value:N")]
        panels.append(
            alt.layer(
                alt.Chart(chart.data(whole)).mark_rule(color=style.MUTED).encode(x=across),
                alt.Chart(chart.data(bars))
                .mark_rule(color=style.MUTED, opacity=0.5)
                .encode(x=across, x2="to", y=up),
                alt.Chart(chart.data(dots))
                .mark_point(filled=True, size=40, opacity=1)
                .encode(x=across, y=up, color=colour, tooltip=tips),
            ).properties(width=_WIDTH, height=alt.Step(_STEP), title=_title(selection, rows[selection]))
        )
    caption = (
        "Dots: mean accuracy over the repeats, on test faces with and without each attribute. "
        "Vertical line: on all test faces."
    )
    title = f"Telling {text.plain(target)}, kept from telling other attributes"
    return rendered(alt.concat(*panels, columns=_ACROSS), "spurious", title, caption)


def _title(selection: str, row: Mapping[str, Any]) -> str:
    return _TITLES[selection] + (f" ({row['number']})" if row["number"] else "")
