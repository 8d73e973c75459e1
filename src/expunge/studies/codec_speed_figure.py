"""The picture of ``codec_speed``: seconds an attribute, beside what was published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

import altair as alt

from expunge.charts import chart, style
from expunge.charts.rendering import rendered
from expunge.core import text

LABELS = {"codec": "CODEC, ties broken at random", "lcodec": "L-CODEC, ties broken by noise"}
MARKERS = {"codec": "circle", "lcodec": "diamond"}
_STEP = 17  # pixels of an attribute


def draw(
    records: Sequence[dict[str, Any]], published: Mapping[str, tuple[float, float]], n: int
) -> style.Drawn:
    """Draw a line for each attribute, slowest on top, with a dot for each method; n samples.

    ``published``: method -> fastest and slowest attribute, in seconds.
    """
    times = {(r["attribute"], r["method"]): max(float(r["seconds"]), 1e-6) for r in records}
    names = list(dict.fromkeys(r["attribute"] for r in records))
    names.sort(key=lambda name: -max(v for (a, _), v in times.items() if a == name))
    methods = [method for method in LABELS if any(m == method for _, m in times)]
    rows = [
        {"x": seconds, "y": text.plain(name), "method": LABELS[method], "value": text.seconds(seconds)}
        for (name, method), seconds in times.items()
    ]
    bands = [
        {"method": LABELS[method], "x": low, "high": high, "middle": sqrt(low * high)}
        for method in methods
        for low, high in [published[method]]
    ]
    labels = [LABELS[method] for method in methods]
    colours = [style.SERIES[list(LABELS).index(method)] for method in methods]
    legend = chart.legend(labels)
    ends = [*times.values(), *(end for method in methods for end in published[method])]
    across = alt.X(**chart.log_axis("x", f"seconds for one FOCI (log scale; n = {n:,})", ends))
    colour = alt.Color("method:N", scale=alt.Scale(domain=labels, range=colours), legend=legend)
    shapes = alt.Scale(domain=labels, range=[MARKERS[method] for method in methods])
    order, named = [text.plain(name) for name in names], alt.Axis(grid=True, labelOverlap=False)
    up = alt.Y("y:N", title="target attribute", sort=order, axis=named)
    layers = alt.layer(
        alt.Chart(chart.data(bands))
        .mark_rect()
        .encode(x=across, x2="high", color=colour, opacity=chart.picked(0.16)),
        alt.Chart(chart.data(bands))
        .mark_text(baseline="bottom", dy=-3)
        .encode(x="middle:Q", y=alt.value(0), text=alt.value("published"), color=colour),
        alt.Chart(chart.data(rows))
        .mark_point(filled=True, size=55)
        .encode(
            x=across,
            y=up,
            color=colour,
            shape=alt.Shape("method:N", scale=shapes, legend=legend),
            opacity=chart.picked(),
            tooltip=[alt.Tooltip("y:N", title="attribute"), alt.Tooltip("method:N"), alt.Tooltip("value:N")],
        ),
    ).properties(width=chart.WIDTH, height=alt.Step(_STEP))
    caption = "Dots: each attribute as the target. Bands: the range published for n = 20,000."
    return rendered(layers, "codec_speed", "Time to select for one attribute", caption)
