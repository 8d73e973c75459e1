"""The picture: time of a removal against n, and removals between passes against n, lam and the noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.benchmarks import growth
from experiments.benchmarks.harness import Report
from experiments.benchmarks.rowless.between import ORDERS, TARGETS
from experiments.benchmarks.rowless.timing import AT_MOST_MS, METHODS
from expunge.report.figures import style

TITLE = "Removals without the rows: time, and how many there are between two passes"
_DASHES = ("-", "--", ":")  # of the data sets
_AXES = {"n": "training rows n", "lam": "lam", "std": "std of the noise"}


def draw(report: Report, name: str) -> style.Drawn:
    """Times, and where the report has them the removals between passes."""
    counted, caption = report.get("between"), "Median time of one removal of one row on one core, d = 384."
    with style.styled():
        below = (2,) if counted else ()
        figure, axes = style.canvas(9.8, 4.2 + 4 * len(below), panels=2 if counted else 1, below=below)
        _times(axes[0], report["time"]["by_rows"])
        if counted:
            for ax, (key, label) in zip(axes[1:], _AXES.items(), strict=True):
                _between(ax, counted["runs" if key == "n" else f"by_{key}"], key, label)
            caption += " Removals between two passes: a triangle where 999 requests, all that 1,000 releases"
            caption += " allow, took none."
        style.legend(figure, _handles(counted), columns=3)
        return style.render(figure, name, TITLE, caption)


def _handles(counted: Mapping[str, Any] | None) -> list[style.Line2D]:
    def line(label: str, **how: Any) -> style.Line2D:
        return style.Line2D([], [], label=label, lw=1.8, **how)

    methods = zip(METHODS.values(), style.SERIES, growth.MARKS, strict=False)
    handles = [line(f"time: {what}", color=colour, marker=mark) for what, colour, mark in methods]
    if counted:
        orders = zip(ORDERS, style.SERIES, strict=False)
        handles += [line(f"between passes: {what}", color=colour) for what, colour in orders]
        tasks = zip(_tasks(counted["runs"]), _DASHES, strict=False)
        handles += [line(task, color=style.MUTED, ls=dashes) for (task, _), dashes in tasks]
    return handles


def _times(ax: style.Axes, found: Mapping[str, Any]) -> None:
    for key, colour, mark in zip(METHODS, style.SERIES, growth.MARKS, strict=False):
        known = [(n, 1e3 * s) for n, s in zip(found["sizes"], found["seconds"][key], strict=True) if s]
        if known:
            ax.plot(*zip(*known, strict=True), color=colour, marker=mark, lw=1.8)
    ax.axhline(AT_MOST_MS, color=style.MUTED, lw=1, ls=":")
    place = found["sizes"][-1], AT_MOST_MS
    ax.annotate(f"{AT_MOST_MS:g} ms", place, (0, 3), textcoords="offset points", ha="right")
    _log(ax, "training rows n", "ms per removal")


def _between(ax: style.Axes, runs: Sequence[dict[str, Any]], key: str, label: str) -> None:
    tasks = _tasks(runs)
    for task, dashes in zip(tasks, _DASHES, strict=False):
        for order, colour in zip(ORDERS, style.SERIES, strict=False):
            own = [run for run in runs if run["order"] == order and (run["task"], run["d"]) == task]
            places, counts = [run[key] for run in own], [max(1, run["between"]) for run in own]
            ax.plot(places, counts, color=colour, ls=dashes, lw=1.6)
            for run, place, found in zip(own, places, counts, strict=True):
                inner = colour if dashes == _DASHES[0] else style.PAPER
                ax.plot([place], [found], "o" if run["passed_at"] else "^", color=colour, mfc=inner)
    if key == "n":
        ax.plot(list(TARGETS), list(TARGETS.values()), "x", color=style.INK, ms=8, mew=2)
        for target in TARGETS.items():
            ax.annotate("at least", target, (-7, 6), textcoords="offset points", ha="right")
    _log(ax, label, "removals between passes")


def _tasks(runs: Sequence[dict[str, Any]]) -> list[tuple[str, int]]:
    return list(dict.fromkeys((run["task"], run["d"]) for run in runs))


def _log(ax: style.Axes, across: str, up: str) -> None:
    ax.set(xscale="log", yscale="log", xlabel=across, ylabel=up)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,g}" if value < 1e6 else f"{value / 1e6:g}M")
        axis.set_minor_formatter(lambda value, _: "")
