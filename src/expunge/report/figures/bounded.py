"""Residual against its certified bound and the budget."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from operator import methodcaller
from typing import Any

import altair as alt
import numpy as np

from expunge.report.figures import chart, drawing, panels, style
from expunge.report.figures.drawing import Keyed
from expunge.report.figures.panels import Frame, Panel
from expunge.report.read import guarantees, text
from expunge.report.read.methods import Method, methods
from expunge.report.read.runs import Run

_MEASURED, _BOUND, _BUDGET = "measured", "bound by the certificate", "budget: what the noise covers"
_DASHES = {_MEASURED: panels.SOLID, _BOUND: panels.DASHED, _BUDGET: panels.DOTTED}
_GAP = 0.06  # of the height, between the names of two budgets


def draw_bounded(runs: Sequence[Run], columns: Sequence[Keyed], name: str) -> style.Drawn | None:
    """Draw a number and its bound against requests, with the budget; None if no run has a bound.

    Updates without a bound whose number was measured stand beside those that have one.
    """
    (keyed,) = columns
    key, bound = keyed.key, keyed.plot.against

    def has(run: Run) -> bool:
        # Of a training without a bound it is the training's own leftover, and no update left it.
        return run.has(bound) or (run.empirical and run.has(key))

    everyone = methods(runs)
    every = drawing.having(everyone, has)
    if not any(run.has(bound) for method in every for run in method.runs):
        return None
    rows = [row for method in every for row in _rows(method, key, bound)]
    marks = [mark for method in every for mark in _marks(method, key, bound)]
    dashes = {name: dash for name, dash in _DASHES.items() if any(row["stroke"] == name for row in rows)}
    budgets = {method.label: _budgets(method) for method in every}
    reach = [1.3 * budget for known in budgets.values() for budget in known]
    panel = Panel(
        keyed.plot.title, keyed.plot.unit, rows, marks, log=True, reach=reach, more=partial(_named, every)
    )
    without = [m.label for m in everyone if not any(has(run) for run in m.runs)]
    said = _caption(every, without, keyed) + drawing.gaps(rows) + drawing.said(every)
    title = drawing.heading(columns)
    return chart.rendered(panels.compose([panel], every, dashes), name, title, said)


def _rows(method: Method, key: str, bound: str) -> list[dict[str, Any]]:
    rows = drawing.rows(method, methodcaller("series", key), log=True, stroke=_MEASURED)
    beforehand = _beforehand(method)
    read = methodcaller("series", "budget" if beforehand else bound)
    return rows + drawing.rows(method, read, log=True, stroke=_BUDGET if beforehand else _BOUND)


def _marks(method: Method, key: str, bound: str) -> list[dict[str, Any]]:
    """What became of requests, on the line of what was measured, else on the bound."""
    on: dict[float, float] = {}
    for read in (bound, key):
        for _, curve in drawing.curves(method, methodcaller("series", read)):
            on |= {x: y for x, y in zip(curve.x, curve.y, strict=True) if y > 0}
    found = []
    for outcome in ("retrained", "refused"):
        at = [r["request"] for run in method.runs for r in run.records if r["outcome"] == outcome]
        found += drawing.marked(method, outcome, at, on)
    return found


def _beforehand(method: Method) -> bool:
    """Whether the bound is the budget, fixed before anything was measured."""
    return any(guarantees.noise(run, "releases") is not None for run in method.runs)


def _budgets(method: Method) -> list[float]:
    """The smallest and the largest budget of the runs; one, as a rule."""
    known = {budget for run in method.runs if (budget := run.number("budget")) and budget > 0}
    return sorted({min(known), max(known)}) if known else []


def _named(every: Sequence[Method], facet: str, frame: Frame) -> list[alt.Chart]:
    """Draw each distinct budget, named at the right edge; in a method's colour if it is that one's alone.

    One that was fixed beforehand for every number of rows falls with them: it is named by where it ends.
    """
    owners: dict[float, list[Method]] = {}
    for method in every:
        for budget in _budgets(method) if method.panel == facet else ():
            owners.setdefault(budget, []).append(method)
    low, span = np.log(frame.y[0]), np.log(frame.y[1] / frame.y[0])
    heights = _spread([float((np.log(b) - low) / span) for b in sorted(owners)], _GAP)
    layers = []
    for budget, height in zip(sorted(owners), heights, strict=True):
        alone = len(owners) > 1 and len(owners[budget]) == 1
        colour = style.SERIES[owners[budget][0].colour] if alone else style.INK
        row = {"y": budget, "at": float(np.exp(low + height * span)), "said": f"budget {text.number(budget)}"}
        base = alt.Chart(chart.data([row]))
        if not all(map(_beforehand, owners[budget])):
            rule = base.mark_rule(color=colour, strokeDash=panels.DOTTED, strokeWidth=1.4)
            layers.append(rule.encode(y=frame.y_axis()))
        words = base.mark_text(color=colour, align="left", dx=5, fontSize=11)
        layers.append(words.encode(x=alt.value(frame.width), y=frame.y_axis("at:Q"), text="said:N"))
    return layers


def _spread(heights: list[float], gap: float) -> list[float]:
    """Move ascending ``heights`` at least ``gap`` apart: up, and down from 1 where they would pass it."""
    steps = gap * np.arange(len(heights))
    starts = np.minimum(np.maximum.accumulate(heights - steps), 1 - steps[-1:])
    spread: list[float] = (starts + steps).tolist()
    return spread


def _said(every: Sequence[Method], key: str) -> str:
    """Return what bound and budget are, of the kinds of runs that are drawn."""
    kinds = []
    if any(not _beforehand(method) for method in every):
        kinds.append("A release as published counts as certified while its bound is at or below the budget")
    if planned := [run for method in filter(_beforehand, every) for run in method.runs]:
        kinds.append(
            "With noise at release the budget is the residual that the noise covers at the rows left: "
            "it is fixed beforehand and falls with them"
        )
        if any(not run.has(key) for run in planned):
            kinds[-1] += "; a protected run shows nothing that was measured"
    return ". ".join(kinds)


def _caption(every: Sequence[Method], without: Sequence[str], keyed: Keyed) -> str:
    runs = [run for method in every for run in method.runs]
    key, bound = keyed.key, keyed.plot.against
    caption = drawing.caption([keyed], _said(every, key))
    if any(r["outcome"] == "retrained" for run in runs for r in run.records):
        caption += "; retraining starts the sum again with a fresh perturbation"
    if any((both := run.series(bound))[0] and both == run.series(key) for run in runs):
        caption += "; where there is only a solid line, the measured residual is itself the bound"
    if without:
        caption += f"; without a bound, and so not drawn: {', '.join(without)}"
    if beyond := [method.label for method in every if not any(r.has(bound) for r in method.runs)]:
        caption += f"; measured alone, without any bound: {', '.join(beyond)}"
    return caption + "."
