"""Residual against its certified bound and the budget."""

from __future__ import annotations

from collections.abc import Sequence
from operator import methodcaller
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from expunge.report.figures import drawing, style
from expunge.report.figures.drawing import Curve, DrawnLines, Keyed, Line
from expunge.report.read import guarantees, text
from expunge.report.read.runs import Run

_BOUND_DASH, _BUDGET_DASH = (0, (4, 2)), (0, (1, 1.4))


@style.styled()
def draw_bounded(runs: Sequence[Run], columns: Sequence[Keyed], name: str) -> style.Drawn | None:
    """Draw a number and its bound against requests, with the budget; None if no run has a bound.

    Updates without a bound whose number was measured stand beside those that have one.
    """
    (keyed,) = columns
    key, bound = keyed.key, keyed.plot.against

    def has(run: Run) -> bool:
        # Of a training without a bound it is the training's own leftover, and no update left it.
        return run.has(bound) or (run.empirical and run.has(key))

    shown = drawing.shown(runs, has)
    if not any(run.has(bound) for line in shown.lines for run in line.runs):
        return None
    figure, (ax,) = style.canvas(drawing.WIDTH, 4.1 + 0.2 * max(len(shown.lines), 4))
    for line in shown.lines:
        _lines(ax, line, key, bound)
    drawing.log_scale(ax)
    _budget_lines(ax, shown.lines)
    title = drawing.heading(columns)
    ax.set(title=title, xlabel=drawing.REQUESTS, ylabel=keyed.plot.unit)
    drawing.whole_requests(ax)
    _legend(figure, shown.lines, key)
    left_out = drawing.shown(runs, lambda run: not has(run))
    return style.render(figure, name, title, _caption(shown, left_out, keyed) + shown.said())


def _lines(ax: Axes, line: Line, key: str, bound: str) -> None:
    curve, own = (Curve.of(line.runs, methodcaller("series", name)) for name in (bound, key))
    if not _beforehand(line):
        _stroke(curve, ax, line.colour, _BOUND_DASH, 1.4, "_")
    _stroke(own, ax, line.colour, "solid", 1.2, "o")
    known = dict(zip(curve.x, curve.y, strict=True))
    for outcome, marker in drawing.MARKS.items():
        requests = {r["request"] for run in line.runs for r in run.records if r["outcome"] == outcome}
        at = drawing.thin([x for x in sorted(requests) if known.get(x, 0) > 0], drawing.MOST_MARKS)
        drawing.mark(ax, at, [known[x] for x in at], marker, line.colour)


def _stroke(found: Curve, ax: Axes, colour: str, dash: Any, width: float, mark: str) -> None:
    drawn = found.draw(ax, colour, log=True, lw=width, ls=dash)
    if found.x and (mark := drawing.dot(found.x, mark)):  # of no points a mark would stand in the corner
        drawn.set(marker=mark, ms=11 if mark == "_" else 5, mew=1.8, clip_on=False)


def _beforehand(line: Line) -> bool:
    """Whether the bound is the budget, fixed before anything was measured."""
    return any(guarantees.noise(run, "releases") is not None for run in line.runs)


def _budget_lines(ax: Axes, lines: Sequence[Line]) -> None:
    """Draw each distinct budget, named at the right edge; in a line's colour if it is that line's alone.

    One that was fixed beforehand for every number of rows falls with them: it is named by where it ends.
    """
    owners: dict[float, list[str]] = {}
    for line in lines:
        for budget in {run.number("budget") or 0.0 for run in line.runs} - {0.0}:
            owners.setdefault(budget, []).append(line.colour)
    for line in filter(_beforehand, lines):
        falling = Curve.of(line.runs, methodcaller("series", "budget"))
        _stroke(falling, ax, line.colour, _BUDGET_DASH, 1.3, "_")
    low, high = ax.get_ylim()
    ax.set_ylim(low, max([high, *(1.6 * b for b in owners)]))
    budgets = sorted(owners)
    span = np.log(np.divide(ax.get_ylim(), low))[1]
    heights = _spread([float(np.log(b / low) / span) for b in budgets], gap=0.05)
    fixed = {run.number("budget") for line in lines if not _beforehand(line) for run in line.runs}
    for budget, height in zip(budgets, heights, strict=True):
        alone = len(owners) > 1 and len(owners[budget]) == 1
        colour = owners[budget][0] if alone else style.INK
        if budget in fixed:
            ax.axhline(budget, color=colour, lw=1.3, ls=_BUDGET_DASH)
        name = f"budget {text.number(budget)}"
        ax.text(1.01, height, name, transform=ax.transAxes, color=colour, va="center", size=9)


def _spread(heights: list[float], gap: float) -> list[float]:
    """Move ascending ``heights`` at least ``gap`` apart: up, and down from 1 where they would pass it."""
    steps = gap * np.arange(len(heights))
    starts = np.minimum(np.maximum.accumulate(heights - steps), 1 - steps[-1:])
    spread: list[float] = (starts + steps).tolist()
    return spread


def _legend(figure: Figure, lines: Sequence[Line], key: str) -> None:
    """Put the lines in the left column, what the strokes mean in the right one."""
    keys = []
    if not all(map(_beforehand, lines)):
        keys.append(drawing.key("bound by the certificate", style.MUTED, ls=_BOUND_DASH, lw=1.3))
    if any(map(_beforehand, lines)):
        keys.append(drawing.key("budget: what the noise covers", style.MUTED, ls=_BUDGET_DASH, lw=1.3))
    runs = [run for line in lines for run in line.runs]
    if any(run.has(key) for run in runs):
        keys.insert(0, drawing.key("measured", style.MUTED, lw=1.8))
    outcomes = {r["outcome"] for run in runs for r in run.records}
    keys += [drawing.dot_key(name, mark) for name, mark in drawing.MARKS.items() if name in outcomes]
    style.legend(figure, drawing.side_by_side(drawing.run_keys(lines), keys), columns=2)


def _said(lines: Sequence[Line], key: str) -> str:
    """Return what bound and budget are, of the kinds of runs that are drawn."""
    kinds = []
    if any(not _beforehand(line) for line in lines):
        kinds.append("A release as published counts as certified while its bound is at or below the budget")
    if planned := [run for line in filter(_beforehand, lines) for run in line.runs]:
        kinds.append(
            "With noise at release the budget is the residual that the noise covers at the rows left: "
            "it is fixed beforehand and falls with them"
        )
        if any(not run.has(key) for run in planned):
            kinds[-1] += "; a protected run shows nothing that was measured"
    return ". ".join(kinds)


def _caption(shown: DrawnLines, left_out: DrawnLines, keyed: Keyed) -> str:
    runs = [run for line in shown.lines for run in line.runs]
    key, bound = keyed.key, keyed.plot.against
    caption = drawing.caption([keyed], _said(shown.lines, key))
    if any(r["outcome"] == "retrained" for run in runs for r in run.records):
        caption += "; retraining starts the sum again with a fresh perturbation"
    if any((both := run.series(bound))[0] and both == run.series(key) for run in runs):
        caption += "; where there is only a solid line, the measured residual is itself the bound"
    if left_out.lines:
        names = ", ".join(line.label for line in left_out.lines)
        which = names if left_out.every <= style.MOST else f"{left_out.runs} runs"
        caption += f"; without a bound, and so not drawn: {which}"
    if beyond := [line.label for line in shown.lines if not any(r.has(bound) for r in line.runs)]:
        caption += f"; measured alone, without any bound: {', '.join(beyond)}"
    return caption + "."
