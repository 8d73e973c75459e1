"""The picture: time of a removal against n, and removals between passes against n, lam and the noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from experiments.benchmarks import growth
from experiments.benchmarks.harness import Report
from experiments.benchmarks.rowless.between import ORDERS, TARGETS
from experiments.benchmarks.rowless.timing import AT_MOST_MS, METHODS
from expunge.report import style

TITLE = "Removals without the rows: time, and how many there are between two passes"
_MOST = "every request that 1,000 releases allow was served without a pass where a mark has an arrow"


def draw(report: Report, name: str) -> style.Drawn:
    """What the report has: one panel of times, and three of removals between passes."""
    counted = report.get("between")
    with style.styled():
        figure, axes = style.canvas(9.6, 7.4 if counted else 3.8, panels=1, below=(3,) if counted else ())
        _times(axes[0], report["time"]["by_rows"])
        if counted:
            _between(axes[1], counted["runs"], "n", "training rows n", True)
            _between(axes[2], counted["by_lam"], "lam", "lam", False)
            _between(axes[3], counted["by_std"], "std", "std of the noise", False)
        caption = f"Median time of one removal of one row at d = 384 on one core; {_MOST}."
        return style.render(figure, name, TITLE, caption)


def _times(ax: style.Axes, found: dict[str, Any]) -> None:
    for key, colour, mark in zip(METHODS, style.SERIES, growth.MARKS, strict=False):
        known = [(n, 1e3 * s) for n, s in zip(found["sizes"], found["seconds"][key], strict=True) if s]
        if known:
            ax.loglog(*zip(*known, strict=True), color=colour, marker=mark, lw=1.8, label=METHODS[key])
    ax.axhline(AT_MOST_MS, color=style.MUTED, lw=1, ls=":", label=f"{AT_MOST_MS:g} ms")
    ax.set_xlabel("training rows n (d = 384)")
    ax.set_ylabel("ms per removal")
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))


def _between(ax: style.Axes, runs: Sequence[dict[str, Any]], key: str, label: str, several: bool) -> None:
    tasks = list(dict.fromkeys((run["task"], run["d"]) for run in runs)) if several else [None]
    lines = [(task, order) for task in tasks for order in ORDERS]
    for number, (task, order) in enumerate(lines):
        own = [r for r in runs if r["order"] == order and task in (None, (r["task"], r["d"]))]
        colour = style.SERIES[number % len(ORDERS)]
        line = ("-", "--", ":")[number // len(ORDERS)]
        ax.loglog([r[key] for r in own], [max(1, r["between"]) for r in own], line, color=colour, lw=1.6)
        for r in own:
            mark = "o" if r["passed_at"] else "^"
            ax.plot([r[key]], [max(1, r["between"])], mark, color=colour)
    if several:
        ax.plot(list(TARGETS), list(TARGETS.values()), "x", color=style.INK, label="at least")
        ax.set_ylabel("removals between passes")
    ax.set_xlabel(label)
