"""Figures of any runs: residual against budget, accuracy along the requests, and the time of a removal."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from expunge.report import drawing, style, text
from expunge.report.activation_figures import draw_activations
from expunge.report.extractor_figures import draw_extractors
from expunge.report.grid import draw_grid
from expunge.report.identity_figure import draw_identity
from expunge.report.network_figures import draw_networks
from expunge.report.rows import ordered, removal_seconds, retrain_seconds
from expunge.report.runs import Run


def write_run_figures(run: Run, folder: str | os.PathLike[str]) -> list[Path]:
    """Write the figures of one finished run, as far as it has the values: all but the comparison of times.

    Args:
        run: The run; only its summary, records and configuration are used.
        folder: Where the files go; made if it is not there.

    Returns:
        The paths written, PNG before SVG.
    """
    drawn = (draw_residual([run]), draw_accuracy([run]), *draw_networks([run]), *_draw_persons([run]))
    return [path for d in drawn if d is not None for path in d.save(Path(folder))]


def draw_all(runs: Sequence[Run]) -> list[style.Drawn]:
    """Draw the figures that ``runs`` have values for, in the table's order of runs."""
    runs = ordered(runs)
    accuracies = (draw_accuracy(runs), draw_extractors(runs))
    drawn = (draw_residual(runs), *accuracies, *draw_networks(runs), *_draw_persons(runs), draw_cost(runs))
    # What a sweep is made for comes first.
    return [*draw_grid(runs), *(d for d in drawn if d is not None)]


def _draw_persons(runs: Sequence[Run]) -> list[style.Drawn | None]:
    return [draw_identity(runs), *draw_activations(runs)]


def draw_residual(runs: Sequence[Run]) -> style.Drawn | None:
    """Draw measured and certified residual against requests, with the budget; None if no run has a bound.

    Updates without a bound whose residual was measured stand beside those that have one.
    """
    lines = drawing.lines(runs)
    able = [line for line in lines if line[0].series("residual_bound")[0] or _updated(line[0])]
    shown = able[: style.MOST]
    if not any(run.series("residual_bound")[0] for run, *_ in shown):
        return None
    with style.styled():
        figure, (ax,) = style.canvas(drawing.WIDTH, 4.1 + 0.2 * max(len(shown), 4))
        for run, _, colour in shown:
            _residual_lines(ax, run, colour)
        drawing.log_scale(ax)
        _budget_lines(ax, shown)
        title = "Residual gradient norm and its budget"
        ax.set(title=title, xlabel=drawing.REQUESTS, ylabel="residual norm (gradient of the summed loss)")
        drawing.whole_requests(ax)
        _residual_legend(figure, shown)
        left_out = [label for line in lines if line not in able for label in line[1:2]]
        caption = _residual_caption(shown, left_out) + drawing.not_drawn(len(shown), len(able))
        return style.render(figure, "residual", title, caption)


def _updated(run: Run) -> bool:
    """Whether the run has a residual that its updates left, and not a training's own leftover."""
    return run.empirical and bool(run.series("residual_measured")[0])


def draw_accuracy(runs: Sequence[Run]) -> style.Drawn | None:
    """Draw test accuracy, and forget accuracy where it was measured; None if neither was."""
    panels = {"test_accuracy": "Test accuracy", "forget_accuracy": "Accuracy on the removed rows"}
    keys = [key for key in panels if any(run.series(key)[0] for run in runs)]
    able = [line for line in drawing.lines(runs) if any(line[0].series(key)[0] for key in keys)]
    shown = able[: style.MOST]
    if not shown:
        return None
    with style.styled():
        columns = drawing.legend_columns(shown)
        figure, axes = style.canvas(drawing.WIDTH, 3.0 + 0.2 * -(-len(shown) // columns), len(keys))
        for ax, key in zip(axes, keys, strict=True):
            drawing.along(ax, shown, key)
            ax.set(title=panels[key], xlabel="removal requests", ylabel="share classified rightly")
            drawing.whole_requests(ax)
            drawing.room(ax)
        style.legend(figure, drawing.run_keys(shown), columns=columns)
        what = " and ".join(panels[key].lower() for key in keys)
        caption = f"{what.capitalize()} after each request at which it was evaluated."
        caption += drawing.not_drawn(len(shown), len(able))
        return style.render(figure, "accuracy", "Accuracy along the requests", caption)


def draw_cost(runs: Sequence[Run]) -> style.Drawn | None:
    """Draw the time of every removal, a strip a run, against a retrain; None if nothing was removed."""
    timed = [line for line in drawing.lines(runs) if removal_seconds(line[0])]
    shown = timed[: style.MOST]
    if not shown:
        return None
    with style.styled():
        figure, (ax,) = style.canvas(drawing.WIDTH, 1.35 + 0.5 * len(shown))
        for place, (run, _, colour) in enumerate(shown):
            _strip(ax, place, run, colour, runs)
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: text.seconds(v)))
        ax.xaxis.set_minor_formatter(NullFormatter())
        low, high = ax.get_xlim()
        narrow = high < 40 * low
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,), numticks=10))
        drawing.run_rows(ax, [drawing.wrapped(label, 34) for _, label, _ in shown])
        ax.set(
            title="Time of one removal", xlabel="wall time of a request (log scale; evaluation not included)"
        )
        style.legend(figure, _cost_keys(shown), columns=3)
        own = [label for run, label, _ in shown if retrain_seconds(run, runs).run is None]
        whose = "each" if len(own) == len(shown) else ", ".join(own)
        tail = f" For {whose} the retrain is the run's own first fit." if own else ""
        caption = _cost_caption(shown) + tail + drawing.not_drawn(len(shown), len(timed))
        return style.render(figure, "cost", "Time of one removal", caption)


def _residual_lines(ax: Axes, run: Run, colour: str) -> None:
    for key, dash, width, mark in (
        ("residual_bound", (0, (4, 2)), 1.4, "_"),
        ("residual_measured", "solid", 1.2, "o"),
    ):
        x, y = run.series(key)
        (line,) = ax.plot(x, drawing.positive(y), color=colour, lw=width, ls=dash)
        if mark := drawing.dot(x, mark):
            line.set(marker=mark, ms=11 if mark == "_" else 5, mew=1.8, clip_on=False)
    known = dict(zip(*run.series("residual_bound"), strict=True))
    for outcome, marker in drawing.MARKS.items():
        at = [r["request"] for r in run.records if r["outcome"] == outcome and known.get(r["request"], 0) > 0]
        at = drawing.thin(at, drawing.MOST_MARKS)
        ax.plot(
            at, [known[x] for x in at], ls="none", marker=marker, ms=6, color=colour, mec=style.PAPER, mew=0.6
        )


def _budget_lines(ax: Axes, shown: Sequence[drawing.Line]) -> None:
    """Draw each distinct budget, named at the right edge; in a run's colour if it is that run's alone."""
    owners: dict[float, list[str]] = {}
    for run, _, colour in shown:
        if (budget := run.number("budget")) is not None and budget > 0:
            owners.setdefault(budget, []).append(colour)
    low, high = ax.get_ylim()
    ax.set_ylim(low, max([high, *(1.6 * b for b in owners)]))
    budgets = sorted(owners)
    span = np.log(np.divide(ax.get_ylim(), low))[1]
    heights = _spread([float(np.log(b / low) / span) for b in budgets], gap=0.05)
    for budget, height in zip(budgets, heights, strict=True):
        alone = len(owners) > 1 and len(owners[budget]) == 1
        colour = owners[budget][0] if alone else style.INK
        ax.axhline(budget, color=colour, lw=1.3, ls=(0, (1, 1.4)))
        name = f"budget {text.number(budget)}"
        ax.text(1.01, height, name, transform=ax.transAxes, color=colour, va="center", size=9)


def _spread(heights: list[float], gap: float) -> list[float]:
    """Move ascending ``heights`` at least ``gap`` apart: up, and down from 1 where they would pass it."""
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + gap)
    limit = 1.0
    for i in reversed(range(len(heights))):
        heights[i] = min(heights[i], limit)
        limit = heights[i] - gap
    return heights


def _strip(ax: Axes, place: int, run: Run, colour: str, runs: Sequence[Run]) -> None:
    """Draw one run's times as a strip of dots, its median as a bar, its retrain time as a hollow diamond."""
    times = sorted(t for t in removal_seconds(run) if t > 0)
    drawn = drawing.thin(times, drawing.MOST_DOTS)
    # Multiples of the golden ratio spread evenly and come out the same every time.
    height = place + 0.44 * ((np.arange(len(drawn)) * 0.6180339887) % 1 - 0.5)
    ax.plot(drawn, height, ls="none", marker="o", ms=3, mew=0, color=colour, alpha=0.45)
    if times:
        middle = float(np.median(times))
        ax.plot([middle] * 2, [place - 0.3, place + 0.3], color=style.INK, lw=2, solid_capstyle="butt")
        ax.annotate(
            text.seconds(middle),
            (middle, place - 0.3),
            (0, 1),
            "data",
            "offset points",
            ha="center",
            fontsize=8.5,
        )
    retrain, _ = retrain_seconds(run, runs)
    if retrain and run.unlearner != "retrain":
        ax.plot([retrain], [place], ls="none", marker="D", ms=9, mfc="none", mec=style.INK, mew=1.2)


def _residual_legend(figure: Figure, shown: Sequence[drawing.Line]) -> None:
    """Put the runs in the left column, what the strokes mean in the right one."""
    style.legend(figure, drawing.side_by_side(drawing.run_keys(shown), _stroke_keys(shown)), columns=2)


def _stroke_keys(shown: Sequence[drawing.Line]) -> list[Line2D]:
    keys = [drawing.key("bound by the certificate", style.MUTED, ls=(0, (4, 2)), lw=1.3)]
    if any(run.series("residual_measured")[0] for run, *_ in shown):
        keys.insert(0, drawing.key("measured", style.MUTED, lw=1.8))
    outcomes = {r["outcome"] for run, *_ in shown for r in run.records}
    return keys + [
        drawing.key(name, style.MUTED, ls="none", marker=marker, ms=6)
        for name, marker in drawing.MARKS.items()
        if name in outcomes
    ]


def _cost_keys(shown: Sequence[drawing.Line]) -> list[Line2D]:
    keys = [
        drawing.key("one request", style.MUTED, ls="none", marker="o", ms=4),
        drawing.key("median", style.INK, ls="none", marker="|", ms=11, mew=2),
    ]
    if any(run.unlearner != "retrain" for run, *_ in shown):
        keys.append(
            drawing.key("a retrain instead", style.INK, ls="none", marker="D", ms=8, mfc="none", mew=1.2)
        )
    return keys


def _cost_caption(shown: Sequence[drawing.Line]) -> str:
    thinned = any(len(removal_seconds(run)) > drawing.MOST_DOTS for run, *_ in shown)
    which = (
        f", {drawing.MOST_DOTS} of a run at most, evenly picked from fastest to slowest" if thinned else ""
    )
    return f"Each dot is one request{which}; refused requests are left out."


def _residual_caption(shown: Sequence[drawing.Line], left_out: Sequence[str]) -> str:
    caption = "A release counts as certified while its bound is at or below the budget"
    if any(r["outcome"] == "retrained" for run, *_ in shown for r in run.records):
        caption += "; a retrain starts the sum again with a fresh perturbation"
    if any(
        (both := run.series("residual_bound"))[0] and both == run.series("residual_measured")
        for run, *_ in shown
    ):
        caption += "; where there is only a solid line, the measured residual is itself the bound"
    if left_out:
        which = ", ".join(left_out) if len(left_out) <= style.MOST else f"{len(left_out)} runs"
        caption += f"; without a bound, and so not drawn: {which}"
    if beyond := [label for run, label, _ in shown if not run.series("residual_bound")[0]]:
        caption += f"; measured alone, without any bound: {', '.join(beyond)}"
    return caption + "."
