"""What the figures of runs share: what is drawn of which methods, the places of a line, what captions say."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from expunge.charts import style
from expunge.charts.places import places, short, thin
from expunge.core import text
from expunge.core.columns import Column, Plot
from expunge.record.columns import merged
from expunge.record.folders.runs import Run
from expunge.report.read.methods import Method

MOST_DOTS = 600  # single requests in a panel
_MOST_MARKS = 60  # of one line

Read = Callable[[Run], tuple[Sequence[float], Sequence[float]]]
"""Gives the places and values of a run."""


class Keyed(NamedTuple):
    """A number that is drawn: its key in the records, what is declared of it, and of how it is drawn."""

    key: str
    column: Column
    plot: Plot


def plotted(runs: Sequence[Run], kinds: Collection[str]) -> list[Keyed]:
    """Return the numbers of the runs that are drawn in one of these ways, in declared order."""
    return [
        Keyed(key, column, replace(column.plot, title=column.plot.title or column.head))
        for key, column in merged(run.columns for run in runs).items()
        if column.plot and column.plot.kind in kinds
    ]


def having(every: Sequence[Method], has: Callable[[Run], bool]) -> list[Method]:
    """Return the methods with the runs that have something to draw, as far as there are any.

    The same run made twice is one run, the first.
    """
    found = []
    for method in every:
        by_seed = {str(run.summary.get("seed")): run for run in reversed(method.runs) if has(run)}
        if own := [run for run in method.runs if any(run is kept for kept in by_seed.values())]:
            found.append(replace(method, runs=own))
    return found


def curves(method: Method, read: Read) -> list[tuple[list[Run], dict[float, list[float]]]]:
    """Return runs, and their values at every place where all of them have one.

    Of a method these are all of its runs that have values; where no place is common to them, one each.
    """
    found = [(run, dict(zip(*read(run), strict=True))) for run in method.runs]
    found = [(run, values) for run, values in found if values]
    common = sorted(set[float].intersection(*(set(values) for _, values in found))) if found else []
    if common:
        return [([run for run, _ in found], {x: [values[x] for _, values in found] for x in common})]
    return [([run], {x: [values[x]] for x in sorted(values)}) for run, values in found]


def rows(method: Method, read: Read, log: bool = False, **more: Any) -> list[dict[str, Any]]:
    """Return the places of a method's line, with its interval over the seeds, as ``lines`` draws them."""
    return [
        {**named(method), "seeds": seeds(own), "line": f"{n}", **more, **place}
        for n, (own, curve) in enumerate(curves(method, read))
        for place in places(curve, log)
    ]


def level(method: Method, value: float, over: Sequence[float], stroke: str) -> list[dict[str, Any]]:
    """Return the ends of a horizontal line over all of some places."""
    of = {**named(method), "seeds": seeds(method.runs), "line": text.number(value), "stroke": stroke}
    more = 0 if min(over) < max(over) else 1  # a single place stands in the middle
    return [{**of, "x": x, "y": short(value)} for x in (min(over) - more, max(over) + more)]


def marked(method: Method, outcome: str, on: Mapping[float, float], log: bool) -> list[dict[str, Any]]:
    """Return the marks of an outcome on a line, between two of its places on the way from one to another."""
    asked = {r["request"] for run in method.runs for r in run.records if r["outcome"] == outcome}
    x = sorted(at for at, y in on.items() if y > 0 or not log)
    at = thin([r for r in sorted(asked) if x and x[0] <= r <= x[-1]], _MOST_MARKS)
    y = [np.log(on[place]) if log else on[place] for place in x]
    found = [float(np.exp(value) if log else value) for value in np.interp(at, x, y)] if at else []
    return [
        {**named(method), "outcome": outcome, "x": r, "y": short(y)} for r, y in zip(at, found, strict=True)
    ]


def named(method: Method) -> dict[str, str]:
    """Return what a row of data says of its method: what it is called in its facet, and that."""
    return {"method": method.name, "panel": method.panel}


def seeds(runs: Sequence[Run]) -> str:
    """Return the seeds of the runs in words."""
    return ", ".join(dict.fromkeys(text.shown(run.summary.get("seed")) for run in runs))


def said(every: Sequence[Method], line: str = "A line", band: str = "the band") -> str:
    """Return the sentence that says what means are drawn; none where every method has one run."""
    several = any(len(method.runs) > 1 for method in every)
    return f" {line} is the mean over the seeds of a method, {band} its 95% bootstrap interval." * several


def gaps(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the sentence that says what gaps in lines are; none where there are none."""
    return " Gaps are values of zero, of which a log axis has none." * any(row["y"] is None for row in rows)


def missing(every: Sequence[Method], columns: Sequence[Keyed]) -> str:
    """Return the sentence that names methods of which numbers were to be recorded, and none is one."""
    found: dict[str, list[str]] = {}
    for keyed in columns:
        recorded = (m for m in every if any(keyed.key in run.recorded for run in m.runs))
        if without := [m.label for m in recorded if not any(run.has(keyed.key) for run in m.runs)]:
            found.setdefault(", ".join(without), []).append(keyed.plot.title)
    parts = [who if len(of) == len(columns) else f"{' and '.join(of)}: {who}" for who, of in found.items()]
    return f" Not measured, and so not drawn: {'; '.join(parts)}." if parts else ""


def is_share(column: Column) -> bool:
    """Whether a number is a share of rows: from 0 to 1, on a linear axis."""
    return column.format in ("accuracy", "share")


def heading(columns: Sequence[Keyed]) -> str:
    """Return the title of a figure: what its numbers say, else the titles of its panels."""
    said = next((keyed.plot.heading for keyed in columns if keyed.plot.heading), "")
    return said or " and ".join(dict.fromkeys(keyed.plot.title for keyed in columns))


def caption(columns: Sequence[Keyed], otherwise: str) -> str:
    """Return what the figure's numbers say of it, without a full stop; else ``otherwise``."""
    return next((keyed.plot.caption for keyed in columns if keyed.plot.caption), otherwise)


def hues(every: Sequence[Method]) -> dict[str, str]:
    """Return the colours of the methods by their labels."""
    return {method.label: style.SERIES[method.colour] for method in every}
