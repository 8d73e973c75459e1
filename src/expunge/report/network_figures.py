"""Figures of runs on networks: gradient of the removed sample, the retained rows, distance to a retrain."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from expunge.report import drawing, style, text
from expunge.report.rows import lasting
from expunge.report.runs import Run

RETAINED = ("retain_loss", "retain_gradient_norm")
RETRAINED = (
    *("retrain_weight_distance", "retrain_disagreement", "retrain_test_accuracy"),
    *("retrain_forget_accuracy", "retrain_retain_accuracy", "retrain_retain_gradient_norm"),
)
_BEFORE, _AFTER = "sample_gradient_before", "sample_gradient_after"
_SHARE = 0.05  # of the requests: the window of the running mean
_LOG_FROM = 30.0  # a larger ratio of largest to smallest value gets a log axis
_BELOW = 100.0  # on a log axis single requests are shown down to the lowest mean over this
_VALIDATION = "validation_accuracy"
_DASHED = (0, (4, 2))
_MARKS = 30
_PANELS = {
    "retain_loss": ("Loss, retained rows", "mean loss"),
    "retain_gradient_norm": ("Gradient, retained rows", "norm of mean gradient"),
    "retain_accuracy": ("Accuracy, retained rows", "share classified rightly"),
    _VALIDATION: ("Validation accuracy", "share classified rightly"),
}
_DISTANCES = {"retrain_weight_distance": "Weights apart", "retrain_disagreement": "Predictions that differ"}
_PAIRS = {
    "retrain_test_accuracy": ("test_accuracy", "Test rows"),
    "retrain_forget_accuracy": ("forget_accuracy", "Removed rows"),
    "retrain_retain_accuracy": ("retain_accuracy", "Retained rows"),
}


def draw_networks(runs: Sequence[Run]) -> list[style.Drawn | None]:
    """Draw ``sample``, ``retained`` and ``distance``; None for each that no run has the values of."""
    return [draw_sample(runs), draw_retained(runs), draw_distance(runs)]


def running_mean(values: Sequence[float], window: int) -> NDArray[np.float64]:
    """Return the mean over up to ``window`` values around each; at the ends over those there are.

    Args:
        values: (k,), finite.
        window: An odd number >= 1.
    """
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at, half = np.arange(len(values)), window // 2
    first, last = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    means: NDArray[np.float64] = (sums[last] - sums[first]) / (last - first)
    return means


def draw_sample(runs: Sequence[Run]) -> style.Drawn | None:
    """Draw the gradient of each request's rows after it and before it; None if no run measured it."""
    able = [line for line in drawing.lines(runs) if line[0].series(_AFTER)[0]]
    shown = able[: style.MOST]
    if not shown:
        return None
    window = _window(max(len(run.series(_AFTER)[0]) for run, *_ in shown))
    values = [v for run, *_ in shown for key in (_BEFORE, _AFTER) for v in run.series(key)[1]]
    with style.styled():
        figure, (ax,) = style.canvas(drawing.WIDTH, 3.7 + 0.2 * max(len(shown), 2 + (window > 1)))
        log = _wide(values)
        if log:
            drawing.log_scale(ax)
        for run, _, colour in shown if window > 1 else ():
            _sample_dots(ax, run, colour, log)
        lowest = min(_sample_means(ax, run, colour, window, log) for run, _, colour in shown)
        cut = log and min(v for v in values if v > 0) < lowest / _BELOW
        if cut:
            ax.set_ylim(lowest / _BELOW, 1.6 * max(values))
        title = "Gradient of the removed sample"
        ax.set(title=title, xlabel=drawing.REQUESTS, ylabel="2-norm of the gradient of its loss")
        drawing.whole_requests(ax)
        strokes = _sample_keys(window, any(run.series(_BEFORE)[0] for run, *_ in shown))
        style.legend(figure, drawing.side_by_side(drawing.run_keys(shown), strokes), columns=2)
        caption = _sample_caption(shown, window, cut) + drawing.not_drawn(len(shown), len(able))
        return style.render(figure, "sample", title, caption)


def draw_retained(runs: Sequence[Run]) -> style.Drawn | None:
    """Draw loss, gradient and accuracy on what stays, a panel each; None without a loss or validation."""
    able = [line for line in drawing.lines(runs) if any(line[0].series(key)[0] for key in _PANELS)]
    shown = able[: style.MOST]
    keys = [key for key in _PANELS if any(run.series(key)[0] for run, *_ in shown)]
    # Accuracy on the retained rows alone is measured in any run and has never needed a figure.
    if not {*RETAINED, _VALIDATION} & set(keys):
        return None
    with style.styled():
        columns = drawing.legend_columns(shown)
        rows = [2] * (len(keys) // 2) + [1] * (len(keys) % 2)
        height = 2.3 * len(rows) + 0.4 + 0.2 * -(-len(shown) // columns)
        figure, axes = style.canvas(drawing.WIDTH, height, rows[0], rows[1:])
        for ax, key in zip(axes, keys, strict=True):
            _retained_panel(ax, shown, key)
        limits = [ax.get_xlim() for ax in axes]
        for ax in axes:
            ax.set_xlim(min(low for low, _ in limits), max(high for _, high in limits))
            drawing.whole_requests(ax)
        for ax in axes[-rows[-1] :]:
            ax.set_xlabel("removal requests")
        marked = any(_refused(run) for run, *_ in shown)
        refused = drawing.key("refused", style.MUTED, ls="none", marker=drawing.MARKS["refused"], ms=6)
        style.legend(figure, [*drawing.run_keys(shown), *([refused] if marked else [])], columns=columns)
        caption = "The rows that nobody asked to remove, along the requests."
        if _VALIDATION in keys:
            caption += (
                " Validation accuracy is that on the test rows, after each update; a cross there stands for "
                "an update that was taken back."
            )
        if any(len(_refused(run)) > _MARKS for run, *_ in shown):
            caption += (
                f" Of the refused requests {_MARKS} of a run at most are marked on a line, evenly picked."
            )
        caption += drawing.not_drawn(len(shown), len(able))
        return style.render(figure, "retained", "What stays, along the requests", caption)


def draw_distance(runs: Sequence[Run]) -> style.Drawn | None:
    """Draw how far each run ended from a model trained without its rows; None if no run was compared."""
    able = [
        line for line in drawing.lines(runs) if any(lasting(line[0], key) is not None for key in RETRAINED)
    ]
    shown = able[: style.MOST]
    distances = [key for key in _DISTANCES if any(lasting(run, key) is not None for run, *_ in shown)]
    pairs = [key for key in _PAIRS if any(lasting(run, key) is not None for run, *_ in shown)]
    counts = [len(keys) for keys in (distances, pairs) if keys]
    if not counts:
        return None
    with style.styled():
        figure, axes = style.canvas(
            drawing.WIDTH, 0.9 + (0.65 + 0.42 * len(shown)) * len(counts), counts[0], counts[1:]
        )
        for ax, key in zip(axes, distances, strict=False):
            _distance_panel(ax, shown, key)
        for ax, key in zip(axes[len(distances) :], pairs, strict=True):
            _pair_panel(ax, shown, key)
        for place, ax in enumerate(axes):
            first = place in (0, counts[0])
            drawing.run_rows(ax, [drawing.wrapped(label, 26) if first else "" for _, label, _ in shown])
        if pairs:
            keys = [
                drawing.key("the run", style.MUTED, ls="none", marker="o", ms=7),
                drawing.key("retrained without the rows", style.INK, ls="none", marker="D", ms=7, mfc="none"),
            ]
            style.legend(figure, keys, columns=2)
        title = "Distance to a retrained model"
        caption = (
            "After the last request, against one model trained from scratch without all requested rows. "
            "Weights apart: norm of the difference over the norm of the retrained weights. Predictions that "
            "differ: share of the test rows."
        )
        return style.render(figure, "distance", title, caption + drawing.not_drawn(len(shown), len(able)))


def _window(requests: int) -> int:
    """Return the odd number of requests that is closest to a twentieth of them."""
    return 2 * round((_SHARE * requests - 1) / 2) + 1


def _wide(values: Sequence[float]) -> bool:
    """Return whether a linear axis would hide the smaller ones of the positive values."""
    positive = [v for v in values if v > 0]
    return bool(positive) and max(positive) > _LOG_FROM * min(positive)


def _sample_dots(ax: Axes, run: Run, colour: str, log: bool) -> None:
    x, y = run.series(_AFTER)
    dots = drawing.thin(list(zip(x, drawing.positive(y) if log else y, strict=True)), drawing.MOST_DOTS)
    ax.plot(*zip(*dots, strict=True), ls="none", marker="o", ms=2.6, mew=0, color=colour, alpha=0.25)


def _sample_means(ax: Axes, run: Run, colour: str, window: int, log: bool) -> float:
    """Draw one run's running means; return the lowest that is positive."""
    lowest = math.inf
    for key, dash, width in ((_BEFORE, _DASHED, 1.2), (_AFTER, "solid", 1.9)):
        x, y = run.series(key)
        means = running_mean(y, window).tolist()
        few = drawing.dot(x) if key == _AFTER else ""
        ax.plot(x, drawing.positive(means) if log else means, color=colour, lw=width, ls=dash, marker=few)
        lowest = min([lowest, *(m for m in means if m > 0)])
    return lowest


def _sample_keys(window: int, before: bool) -> list[Line2D]:
    mean = f", mean of {window}" if window > 1 else ""
    keys = [drawing.key(f"after its removal{mean}", style.MUTED, lw=1.9)]
    if before:
        keys.append(drawing.key(f"before it{mean}", style.MUTED, lw=1.2, ls=_DASHED))
    if window > 1:
        keys.append(drawing.key("after, one request", style.MUTED, ls="none", marker="o", ms=3.5, alpha=0.6))
    return keys


def _sample_caption(shown: Sequence[drawing.Line], window: int, cut: bool) -> str:
    caption = "Gradient of the mean loss of a request's rows, with respect to all weights"
    if window > 1:
        caption += f"; lines are running means over {window} requests (about {text.share(_SHARE)})"
    if any(len(run.series(_AFTER)[0]) > drawing.MOST_DOTS for run, *_ in shown):
        caption += f"; dots are {drawing.MOST_DOTS} requests of a run at most, evenly picked"
    if cut:
        caption += f"; dots more than {_BELOW:.0f} times below the lowest line are outside of the frame"
    return caption + "."


def _retained_panel(ax: Axes, shown: Sequence[drawing.Line], key: str) -> None:
    title, unit = _PANELS[key]
    accuracy = key.endswith("accuracy")
    log = not accuracy and _wide([v for run, *_ in shown for v in run.series(key)[1]])
    if log:
        drawing.log_scale(ax)
    drawing.along(ax, shown, key, log, refused=key != _VALIDATION)
    for run, _, colour in shown:
        at, on = _refused_marks(run, key, log)
        ax.plot(
            at, on, ls="none", marker=drawing.MARKS["refused"], ms=6, color=colour, mec=style.PAPER, mew=0.6
        )
    ax.set(title=title, ylabel=unit)
    if accuracy:
        drawing.room(ax)


def _refused(run: Run) -> list[int]:
    """Return the requests that were refused; none of a run that refuses every one, which marks nothing."""
    at = [int(r["request"]) for r in run.records if r["outcome"] == "refused"]
    return at if len(at) < len(run.records) else []


def _refused_marks(run: Run, key: str, log: bool) -> tuple[list[int], list[float]]:
    """Return where to mark refused requests: between two evaluations, where the line passes.

    Validation accuracy is of the update that was refused, off the line of what was released.
    """
    if key == _VALIDATION:
        own = dict(zip(*run.series(key), strict=True))
        at = drawing.thin([r for r in _refused(run) if r in own], drawing.MOST_MARKS)
        return at, [own[r] for r in at]
    pairs = [(x, y) for x, y in zip(*run.series(key), strict=True) if y > 0 or not log]
    at = [r for r in drawing.thin(_refused(run), _MARKS) if pairs and pairs[0][0] <= r <= pairs[-1][0]]
    if not at:
        return [], []
    x, y = np.array(pairs, dtype=np.float64).T
    on = np.exp(np.interp(at, x, np.log(y))) if log else np.interp(at, x, y)
    return at, on.tolist()


def _distance_panel(ax: Axes, shown: Sequence[drawing.Line], key: str) -> None:
    """Draw one distance, a stem a run from zero, with its number."""
    for place, (run, _, colour) in enumerate(shown):
        if (value := lasting(run, key)) is None:
            continue
        ax.plot([0, value], [place] * 2, color=colour, lw=1.6)
        ax.plot([value], [place], ls="none", marker="o", ms=7, color=colour, clip_on=False)
        number = text.share(value) if key == "retrain_disagreement" else text.number(value, 2)
        ax.annotate(number, (value, place), (7, 0), "data", "offset points", va="center", fontsize=8.5)
    ax.set_title(_DISTANCES[key])
    ax.set_xlim(0, ax.get_xlim()[1] * 1.22)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=4))
    if key == "retrain_disagreement":
        ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: text.share(v) if v else "0"))


def _pair_panel(ax: Axes, shown: Sequence[drawing.Line], key: str) -> None:
    """Draw an accuracy of the run and of the retrained model, joined by a line."""
    own, title = _PAIRS[key]
    for place, (run, _, colour) in enumerate(shown):
        mine, theirs = run.last(own), lasting(run, key)
        known = [v for v in (mine, theirs) if v is not None]
        ax.plot(known, [place] * len(known), color=colour, lw=1.6)
        if theirs is not None:
            ax.plot([theirs], [place], ls="none", marker="D", ms=8, mfc="none", mec=style.INK, mew=1.2)
        if mine is not None:
            ax.plot([mine], [place], ls="none", marker="o", ms=6, color=colour)
    ax.set(title=title, xlabel="share classified rightly")
    low, high = ax.get_xlim()
    # A little wider, so that no diamond is cut, and never so narrow that noise looks like a difference.
    middle, half = (low + high) / 2, max(1.12 * (high - low), 0.02) / 2
    ax.set_xlim(middle - half, middle + half)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=3))
