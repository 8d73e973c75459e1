"""The picture of ``bullseye``: ROC curves of each way of reading, and the time of a test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from sklearn.metrics import roc_curve

from expunge.report.figures import style
from expunge.studies.blanket_scores import TRUTH, auc, scores_of
from expunge.studies.codec_speed_figure import LABELS, MARKERS

_LABELS = {**LABELS, "cmiknn": "mutual information (CMIknn)"}
_LINES = {"codec": "-", "lcodec": "--", "cmiknn": ":"}
_MARKERS = {**MARKERS, "cmiknn": "s"}
_TITLES = {"full": "Given all other variables", "grow_shrink": "Grow-shrink"}


def draw(records: Sequence[dict[str, Any]], readings: Sequence[str], n: int) -> style.Drawn:
    """Draw a panel for each of ``readings``, and one for the time on n samples by size of the condition."""
    every = {method: [r for r in records if r["method"] == method] for method in _LABELS}
    by_method = {method: own for method, own in every.items() if own}
    with style.styled():
        figure, axes = style.canvas(3.4 * (len(readings) + 1), 3.9, len(readings) + 1)
        for ax, reading in zip(axes, readings, strict=False):
            _roc(ax, by_method, reading)
        _times(axes[-1], by_method, n)
        keys = [Line2D([], [], label=_LABELS[method], ms=5, **_look(method)) for method in by_method]
        style.legend(figure, keys, columns=len(readings) + 1)
        title = "Markov blanket of the bullseye network"
        caption = (
            "ROC: share of the four right and of the two wrong variables found as the confidence level "
            "changes, over all replicates. Time: median, by how many variables are conditioned on."
        )
        return style.render(figure, "bullseye", title, caption)


def _roc(ax: Axes, by_method: dict[str, list[dict[str, Any]]], reading: str) -> None:
    for method, records in by_method.items():
        scores = np.array([scores_of(record, reading) for record in records])
        truth = np.tile(TRUTH, len(scores))
        wrong, right, _ = roc_curve(truth, scores.ravel(), drop_intermediate=False)
        label = f"{method}: area {auc(scores):.2f}"
        ax.plot(wrong, right, **_look(method), ms=4, markevery=max(1, len(wrong) // 12), label=label)
    ax.plot([0, 1], [0, 1], color=style.MUTED, lw=0.8, zorder=0)
    ax.set(title=_TITLES[reading], xlabel="wrong variables found", ylabel="right variables found")
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ax.legend(loc="lower right", fontsize=8, handlelength=2.6)


def _times(ax: Axes, by_method: dict[str, list[dict[str, Any]]], n: int) -> None:
    for method, records in by_method.items():
        tests = [test for record in records for test in record["tests"]]
        given = np.array([len(test["given"]) for test in tests])
        seconds = np.maximum([test["seconds"] for test in tests], 1e-6)
        sizes = np.unique(given)
        ax.plot(sizes, [np.median(seconds[given == size]) for size in sizes], **_look(method), ms=5)
    ax.set_yscale("log")
    low, high = np.log10(ax.get_ylim())
    ax.set_ylim(10 ** np.floor(low), 10 ** np.ceil(high))  # whole decades: at least two numbers on the axis
    style.plain_numbers(ax.yaxis)
    ax.set_xticks(range(len(TRUTH)))
    ax.set(title="Time of a test", xlabel="variables conditioned on")
    ax.set_ylabel(f"seconds (log scale; n = {n:,})")


def _look(method: str) -> dict[str, Any]:
    look = {"ls": _LINES[method], "marker": _MARKERS[method]}
    return {"color": style.SERIES[list(_LABELS).index(method)], "lw": 1.8, **look}
