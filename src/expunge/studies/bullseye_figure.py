"""The picture of ``bullseye``: ROC curves of each way of reading, and the time of a test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
from sklearn.metrics import roc_curve

from expunge.charts import chart, style
from expunge.charts.rendering import rendered
from expunge.studies.blanket_scores import TRUTH, auc, scores_of
from expunge.studies.codec_speed_figure import LABELS, MARKERS

_LABELS = {**LABELS, "cmiknn": "mutual information (CMIknn)"}
_LINES = {"codec": [1, 0], "lcodec": [6, 3], "cmiknn": [2, 2]}
_MARKERS = {**MARKERS, "cmiknn": "square"}
_TITLES = {"full": "Given all other variables", "grow_shrink": "Grow-shrink"}
_SIDE = 260  # pixels
_MARKED = 12  # points of a curve that have a mark, about


def draw(records: Sequence[dict[str, Any]], readings: Sequence[str], n: int) -> style.Drawn:
    """Draw a panel for each of ``readings``, and one for the time on n samples by size of the condition."""
    every = {method: [r for r in records if r["method"] == method] for method in _LABELS}
    by_method = {method: own for method, own in every.items() if own}
    panels = [_roc(by_method, reading) for reading in readings]
    whole = alt.hconcat(*panels, _times(by_method, n))
    caption = (
        "ROC: share of the four right and of the two wrong variables found as the confidence level "
        "changes, over all replicates. Time: median, by how many variables are conditioned on."
    )
    return rendered(whole, "bullseye", "Markov blanket of the bullseye network", caption)


def _roc(by_method: dict[str, list[dict[str, Any]]], reading: str) -> alt.LayerChart | alt.FacetChart:
    rows, areas = [], []
    for place, (method, records) in enumerate(by_method.items()):
        scores = np.array([scores_of(record, reading) for record in records])
        truth = np.tile(TRUTH, len(scores))
        wrong, right, _ = roc_curve(truth, scores.ravel(), drop_intermediate=False)
        each = max(1, len(wrong) // _MARKED)
        points = enumerate(zip(wrong.tolist(), right.tolist(), strict=True))
        rows += [
            {"method": _LABELS[method], "x": x, "y": y, "order": i, "marked": i % each == 0}
            for i, (x, y) in points
        ]
        words = f"{method}: area {auc(scores):.2f}"
        areas.append({"x": 0.98, "y": 0.04 + 0.08 * (len(by_method) - 1 - place), "words": words})
    ends = alt.Scale(domain=[-0.02, 1.02], nice=False)
    axis = alt.Axis(values=[0, 0.2, 0.4, 0.6, 0.8, 1])
    of = alt.Chart(chart.data(rows)).encode(
        x=alt.X("x:Q", title="wrong variables found", scale=ends, axis=axis),
        y=alt.Y("y:Q", title="right variables found", scale=ends, axis=axis),
    )
    chance = alt.Chart(chart.data([{"x": 0, "y": 0}, {"x": 1, "y": 1}])).mark_line(
        color=style.MUTED, strokeWidth=0.8
    )
    area = alt.Chart(chart.data(areas)).mark_text(align="right", fontSize=11, color=style.INK)
    return alt.layer(
        chance.encode(x="x:Q", y="y:Q"),
        *_lines(of, by_method),
        area.encode(x="x:Q", y="y:Q", text="words:N"),
    ).properties(width=_SIDE, height=_SIDE, title=alt.Title(**chart.head(_TITLES[reading])))


def _times(by_method: dict[str, list[dict[str, Any]]], n: int) -> alt.LayerChart | alt.FacetChart:
    rows = []
    for method, records in by_method.items():
        tests = [test for record in records for test in record["tests"]]
        given = np.array([len(test["given"]) for test in tests])
        seconds = np.maximum([test["seconds"] for test in tests], 1e-6)
        rows += [
            {
                "method": _LABELS[method],
                "x": size,
                "y": float(np.median(seconds[given == size])),
                "marked": True,
            }
            | {"order": size}
            for size in np.unique(given).tolist()
        ]
    taken = [row["y"] for row in rows]
    # Whole decades: at least two numbers on the axis.
    decades = [10 ** float(np.floor(np.log10(min(taken)))), 10 ** float(np.ceil(np.log10(max(taken))))]
    sizes = list(range(len(TRUTH)))
    across = alt.Scale(domain=[-0.2, sizes[-1] + 0.2], nice=False)
    of = alt.Chart(chart.data(rows)).encode(
        x=alt.X(
            "x:Q", title="variables conditioned on", scale=across, axis=alt.Axis(values=sizes, format="d")
        ),
        y=alt.Y(**chart.log_axis("y", f"seconds (log scale; n = {n:,})", decades)),
    )
    layers = alt.layer(*_lines(of, by_method))
    return layers.properties(width=_SIDE, height=_SIDE, title=alt.Title(**chart.head("Time of a test")))


def _lines(of: alt.Chart, by_method: dict[str, Any]) -> tuple[alt.Chart, ...]:
    """Return the lines of the methods, and marks on them."""
    labels = [_LABELS[method] for method in by_method]
    legend = chart.legend(labels)
    colours = [style.SERIES[list(_LABELS).index(method)] for method in by_method]
    dashes = {_LABELS[method]: _LINES[method] for method in by_method}
    shapes = alt.Scale(domain=labels, range=[_MARKERS[method] for method in by_method])
    of = of.encode(
        color=alt.Color("method:N", scale=alt.Scale(domain=labels, range=colours), legend=legend),
        opacity=chart.picked(),
    )
    return (
        *chart.dashed(of.encode(order="order:Q"), dashes),
        of.mark_point(filled=True, size=36)
        .encode(shape=alt.Shape("method:N", scale=shapes, legend=legend), tooltip=["method:N", "x:Q", "y:Q"])
        .transform_filter("datum.marked"),
    )
