"""The three figures: residual against budget, accuracy along the requests, and the time of a removal."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from expunge.report import style, text
from expunge.report.rows import ordered, removal_seconds, retrain_seconds
from expunge.report.runs import Run

_MARKS = {"retrained": "^", "refused": "X"}
_MOST_MARKS = 120
_MOST_DOTS = 300
_LONGEST = 72
_WIDTH = 7.4
_REQUESTS = "removal requests (number of the request)"


def write_run_figures(run: Run, folder: str | os.PathLike[str]) -> list[Path]:
    """Write ``residual`` and ``accuracy`` of one finished run, as far as it has the values.

    Args:
        run: The run; only its summary, records and configuration are used.
        folder: Where the files go; made if it is not there.

    Returns:
        The paths written, PNG before SVG.
    """
    drawn = (draw_residual([run]), draw_accuracy([run]))
    return [path for d in drawn if d is not None for path in d.save(Path(folder))]


def draw_all(runs: Sequence[Run]) -> list[style.Drawn]:
    """Draw the figures that ``runs`` have values for, in the table's order of runs."""
    runs = ordered(runs)
    drawn = (draw_residual(runs), draw_accuracy(runs), draw_cost(runs))
    return [d for d in drawn if d is not None]


def draw_residual(runs: Sequence[Run]) -> style.Drawn | None:
    """Draw measured and certified residual against requests, with the budget; None if no run has a bound."""
    lines = _lines(runs)
    bounded = [line for line in lines if line[0].series("residual_bound")[0]]
    shown = bounded[: style.MOST]
    if not shown:
        return None
    with style.styled():
        figure, (ax,) = style.canvas(_WIDTH, 4.1 + 0.2 * max(len(shown), 4))
        for run, _, colour in shown:
            _residual_lines(ax, run, colour)
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: text.number(v)))
        _budget_lines(ax, shown)
        title = "Residual gradient norm and its budget"
        ax.set(title=title, xlabel=_REQUESTS, ylabel="residual norm (gradient of the summed loss)")
        _whole_requests(ax)
        _residual_legend(figure, shown)
        left_out = [label for run, label, _ in lines if not run.series("residual_bound")[0]]
        caption = _residual_caption(shown, left_out) + _not_drawn(len(shown), len(bounded))
        return style.render(figure, "residual", title, caption)


def draw_accuracy(runs: Sequence[Run]) -> style.Drawn | None:
    """Draw test accuracy, and forget accuracy where it was measured; None if neither was."""
    panels = {"test_accuracy": "Test accuracy", "forget_accuracy": "Accuracy on the removed rows"}
    keys = [key for key in panels if any(run.series(key)[0] for run in runs)]
    lines = _lines(runs)
    shown = [line for line in lines if any(line[0].series(key)[0] for key in keys)][: style.MOST]
    if not shown:
        return None
    with style.styled():
        columns = 2 if max(len(label) for _, label, _ in shown) <= 40 else 1
        figure, axes = style.canvas(_WIDTH, 3.0 + 0.2 * -(-len(shown) // columns), len(keys))
        for ax, key in zip(axes, keys, strict=True):
            for place, (run, _, colour) in enumerate(shown):
                # Earlier lines are wider, so that one under another can still be seen.
                x, y = run.series(key)
                ax.plot(
                    x,
                    y,
                    color=colour,
                    lw=1.3 + 0.45 * (len(shown) - 1 - place),
                    marker="o" if len(x) < 3 else "",
                )
            ax.set(title=panels[key], xlabel="removal requests", ylabel="share classified rightly")
            _whole_requests(ax)
            _room(ax)
        style.legend(figure, [_key(label, colour) for _, label, colour in shown], columns=columns)
        what = " and ".join(panels[key].lower() for key in keys)
        caption = f"{what.capitalize()} after each request at which it was evaluated."
        return style.render(figure, "accuracy", "Accuracy along the requests", caption + _more(shown, lines))


def draw_cost(runs: Sequence[Run]) -> style.Drawn | None:
    """Draw the time of every removal, a strip a run, against a retrain; None if nothing was removed."""
    timed = [line for line in _lines(runs) if removal_seconds(line[0])]
    shown = timed[: style.MOST]
    if not shown:
        return None
    with style.styled():
        figure, (ax,) = style.canvas(_WIDTH, 1.35 + 0.5 * len(shown))
        for place, (run, _, colour) in enumerate(shown):
            _strip(ax, place, run, colour, runs)
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: text.seconds(v)))
        ax.xaxis.set_minor_formatter(NullFormatter())
        low, high = ax.get_xlim()
        narrow = high < 40 * low
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,), numticks=10))
        ax.set_yticks(
            range(len(shown)),
            [fill(text.unbroken(label), 34, break_on_hyphens=False) for _, label, _ in shown],
        )
        ax.set_ylim(len(shown) - 0.5, -0.5)
        ax.grid(axis="y", visible=False)
        ax.tick_params(axis="y", length=0)
        ax.set(
            title="Time of one removal", xlabel="wall time of a request (log scale; evaluation not included)"
        )
        style.legend(figure, _cost_keys(shown), columns=3)
        own = [label for run, label, _ in shown if not retrain_seconds(run, runs)[1].startswith("retrain")]
        tail = f" For {', '.join(own)} the retrain is the run's own first fit." if own else ""
        caption = _cost_caption(shown) + tail + _not_drawn(len(shown), len(timed))
        return style.render(figure, "cost", "Time of one removal", caption)


def _lines(runs: Sequence[Run]) -> list[tuple[Run, str, str]]:
    """Return each run with its label and its colour; a run has the same colour in every figure."""
    names = [n if len(n) <= _LONGEST else f"{n[: _LONGEST - 1]}…" for n in text.labels(runs)]
    return [(r, n, style.SERIES[i % style.MOST]) for i, (r, n) in enumerate(zip(runs, names, strict=True))]


def _residual_lines(ax: Axes, run: Run, colour: str) -> None:
    for key, dash, width in (("residual_bound", (0, (4, 2)), 1.4), ("residual_measured", "solid", 1.2)):
        x, y = run.series(key)
        # A residual of exactly zero has no place on a log axis: a gap, not a line to the bottom.
        ax.plot(x, [v if v > 0 else np.nan for v in y], color=colour, lw=width, ls=dash)
    known = dict(zip(*run.series("residual_bound"), strict=True))
    for outcome, marker in _MARKS.items():
        at = [r["request"] for r in run.records if r["outcome"] == outcome and known.get(r["request"], 0) > 0]
        at = _thin(at, _MOST_MARKS)
        ax.plot(
            at, [known[x] for x in at], ls="none", marker=marker, ms=6, color=colour, mec=style.PAPER, mew=0.6
        )


def _budget_lines(ax: Axes, shown: Sequence[tuple[Run, str, str]]) -> None:
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
    drawn = _thin(times, _MOST_DOTS)
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


def _thin(values: list[Any], most: int) -> list[Any]:
    """Return at most ``most`` values, evenly picked, the first and the last among them."""
    if len(values) <= most:
        return values
    return [values[i] for i in np.linspace(0, len(values) - 1, most).round().astype(int)]


def _whole_requests(ax: Axes) -> None:
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))


def _room(ax: Axes, least: float = 0.02) -> None:
    """Show a span of at least two points, so that noise of single test rows does not look like a trend."""
    low, high = ax.get_ylim()
    if high - low < least:
        middle = (low + high) / 2
        low, high = middle - least / 2, middle + least / 2
    ax.set_ylim(max(low, -0.02), min(high, 1.02))


def _key(label: str, colour: str, **more: Any) -> Line2D:
    return Line2D([], [], color=colour, label=label, **{"lw": 2.4, **more})


def _residual_legend(figure: Figure, shown: Sequence[tuple[Run, str, str]]) -> None:
    """Put the runs in the left column, what the strokes mean in the right one."""
    left, right = [_key(label, colour) for _, label, colour in shown], _stroke_keys(shown)
    blank = [Line2D([], [], linestyle="none", label=" ")]
    rows = max(len(left), len(right))
    columns = [side + blank * (rows - len(side)) for side in (left, right)]
    style.legend(figure, columns[0] + columns[1], columns=2)


def _stroke_keys(shown: Sequence[tuple[Run, str, str]]) -> list[Line2D]:
    keys = [_key("bound by the certificate", style.MUTED, ls=(0, (4, 2)), lw=1.3)]
    if any(run.series("residual_measured")[0] for run, *_ in shown):
        keys.insert(0, _key("measured", style.MUTED, lw=1.8))
    outcomes = {r["outcome"] for run, *_ in shown for r in run.records}
    return keys + [
        _key(name, style.MUTED, ls="none", marker=marker, ms=6)
        for name, marker in _MARKS.items()
        if name in outcomes
    ]


def _cost_keys(shown: Sequence[tuple[Run, str, str]]) -> list[Line2D]:
    keys = [
        _key("one request", style.MUTED, ls="none", marker="o", ms=4),
        _key("median", style.INK, ls="none", marker="|", ms=11, mew=2),
    ]
    if any(run.unlearner != "retrain" for run, *_ in shown):
        keys.append(_key("a retrain instead", style.INK, ls="none", marker="D", ms=8, mfc="none", mew=1.2))
    return keys


def _cost_caption(shown: Sequence[tuple[Run, str, str]]) -> str:
    thinned = any(len(removal_seconds(run)) > _MOST_DOTS for run, *_ in shown)
    which = f", {_MOST_DOTS} of a run at most, evenly picked from fastest to slowest" if thinned else ""
    return f"Each dot is one request{which}; refused requests are left out."


def _residual_caption(shown: Sequence[tuple[Run, str, str]], left_out: Sequence[str]) -> str:
    caption = "A release counts as certified while its bound is at or below the budget"
    if any(r["outcome"] == "retrained" for run, *_ in shown for r in run.records):
        caption += "; a retrain starts the sum again with a fresh perturbation"
    if any(
        (both := run.series("residual_bound"))[0] and both == run.series("residual_measured")
        for run, *_ in shown
    ):
        caption += "; where there is only a solid line, the measured residual is itself the bound"
    if left_out:
        caption += f"; without a bound, and so not drawn: {', '.join(left_out)}"
    return caption + "."


def _not_drawn(drawn: int, all_: int) -> str:
    return f" The first {drawn} of {all_} runs are drawn; the table has them all." if drawn < all_ else ""


def _more(shown: Sequence[Any], lines: Sequence[Any]) -> str:
    return _not_drawn(len(shown), len(lines)) if len(shown) == style.MOST else ""
