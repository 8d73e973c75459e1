"""A number along the requests beside its bound, and the budget that the noise covers."""

from __future__ import annotations

from collections.abc import Sequence
from operator import methodcaller
from statistics import fmean
from typing import Any

from expunge.charts import lines, style
from expunge.core import text
from expunge.record.folders import guarantees
from expunge.record.folders.runs import Run
from expunge.report.figures import drawing
from expunge.report.figures.drawing import Keyed
from expunge.report.figures.requests import OUTCOMES, along_requests, finished
from expunge.report.read.methods import Method, methods

_MEASURED, _BOUND, _BUDGET = "measured", "bound by the certificate", "budget{}: what the noise covers"
_NAMED = 3  # budgets, of more the smallest and the largest


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
    budget = _BUDGET.format(_budgets([run for method in every for run in method.runs]))
    rows: list[dict[str, Any]] = []
    for method in every:
        fixed = _beforehand(method)
        of = {_MEASURED: key, **({budget: "budget"} if fixed else {_BOUND: bound})}
        for stroke, number in of.items():
            rows += drawing.rows(method, methodcaller("series", number), log=True, stroke=stroke)
        reads = [methodcaller("series", number) for number in (bound, key)]
        found = [dict(values) for read in reads for _, values in drawing.curves(method, read)]
        on = {x: fmean(values) for curve in found for x, values in curve.items()}
        for outcome in OUTCOMES:
            rows += drawing.marked(method, outcome, on, log=True)
        known = {value for run in method.runs if (value := run.number("budget")) and value > 0}
        for value in sorted({min(known), max(known)}) if known and not fixed else ():
            rows += drawing.level(method, value, list(on), budget)
    panel = along_requests(keyed.plot.title, keyed.plot.unit, rows, log=True)
    dashes = {_MEASURED: lines.SOLID, _BOUND: lines.DASHED, budget: lines.DOTTED}
    without = [m.label for m in everyone if not any(has(run) for run in m.runs)]
    return finished(name, columns, [], every, [panel], dashes, _bounds(every, without, keyed))


def _beforehand(method: Method) -> bool:
    """Whether the bound is the budget, fixed before anything was measured."""
    return any(guarantees.noise(run, "releases") is not None for run in method.runs)


def _budgets(runs: Sequence[Run]) -> str:
    """Return the budgets in words, of many the smallest and the largest; what falls is named by its end."""
    known = sorted({value for run in runs if (value := run.number("budget")) and value > 0})
    words = list(dict.fromkeys(map(text.number, known)))
    return " " * bool(words) + (
        " to ".join([words[0], words[-1]]) if len(words) > _NAMED else ", ".join(words)
    )


def _bounds(every: Sequence[Method], without: Sequence[str], keyed: Keyed) -> str:
    """Return what bound and budget are, of the kinds of runs that are drawn."""
    runs = [run for method in every for run in method.runs]
    key, bound = keyed.key, keyed.plot.against
    kinds = []
    if any(not _beforehand(method) for method in every):
        kinds.append("A release as published counts as certified while its bound is at or below the budget")
    if planned := [run for method in filter(_beforehand, every) for run in method.runs]:
        kinds.append(
            "With noise at release the budget is the residual that the noise covers at the rows left"
        )
        kinds[-1] += ": it is fixed beforehand and falls with them"
        if any(not run.has(key) for run in planned):
            kinds[-1] += "; a protected run shows nothing that was measured"
    said = drawing.caption([keyed], ". ".join(kinds))
    if any(r["outcome"] == "retrained" for run in runs for r in run.records):
        said += "; retraining starts the sum again with a fresh perturbation"
    if any((both := run.series(bound))[0] and both == run.series(key) for run in runs):
        said += "; where there is only a solid line, the measured residual is itself the bound"
    if without:
        said += f"; without a bound, and so not drawn: {', '.join(without)}"
    if beyond := [method.label for method in every if not any(r.has(bound) for r in method.runs)]:
        said += f"; measured alone, without any bound: {', '.join(beyond)}"
    return f"{said}."
