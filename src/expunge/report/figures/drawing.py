"""What the figures of runs share: what is drawn of which methods, the places of a line, what captions say."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from expunge.core.columns import Column, Plot
from expunge.record.columns import merged
from expunge.report.read import text
from expunge.report.read.methods import Method
from expunge.report.read.runs import Run
from expunge.report.tables.over_seeds import interval

MOST_DOTS = 600  # single requests in a panel
_PLACES = 60  # of a line
_FEW = 12  # places of a line, up to which each has a mark
_MOST_MARKS = 60  # of one line
_MEAN = "{} is the mean over the seeds of a method, {} its 95% bootstrap interval"

Series = tuple[Sequence[float], Sequence[float]]


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


@dataclass(frozen=True)
class Curve:
    """Values of one or more runs, at every place where all of them have one: ``values[i]`` at ``x[i]``."""

    x: list[float]
    values: list[list[float]]

    @classmethod
    def of(cls, runs: Sequence[Run], read: Callable[[Run], Series]) -> Curve:
        """Return the curve of what ``read`` gives of each run."""
        found = [dict(zip(*read(run), strict=True)) for run in runs]
        x = sorted(set.intersection(*(set(values) for values in found)))
        return cls(x, [[values[at] for values in found] for at in x])

    @property
    def y(self) -> list[float]:
        """The means."""
        return [fmean(values) for values in self.values]

    def places(self, log: bool) -> list[dict[str, Any]]:
        """Return what is drawn of the curve: at most so many places, the lowest and highest among them.

        On a log axis a mean of zero is a gap. What is alone between gaps, and no line, has a mark and a bar.
        """
        y = self.y
        known = [not log or value > 0 for value in y]
        found = []
        for i in _telling(y):
            mean, low, high = interval(self.values[i])
            place: dict[str, Any] = {"x": short(self.x[i]), "y": short(mean) if known[i] else None}
            if low < high:
                place |= {"low": short(low), "high": short(high)}
            if known[i] and not any((*known[max(i - 1, 0) : i], *known[i + 1 : i + 2])):
                place["alone"] = True
            if known[i] and (len(y) <= _FEW or "alone" in place):
                place["mark"] = "full"
            found.append(place)
        return found


def curves(method: Method, read: Callable[[Run], Series]) -> list[tuple[list[Run], Curve]]:
    """Return a method's curve over its runs that have values; where no place is common to them, one each."""
    runs = [run for run in method.runs if read(run)[0]]
    together = Curve.of(runs, read) if runs else None
    if together is None or together.x:
        return [(runs, together)] if together else []
    return [([run], Curve.of([run], read)) for run in runs]


def rows(
    method: Method, read: Callable[[Run], Series], log: bool = False, **more: Any
) -> list[dict[str, Any]]:
    """Return the places of a method's line, with its interval over the seeds, as data."""
    return [
        {**named(method), "seeds": seeds(own), "line": f"{n}", **more, **place}
        for n, (own, curve) in enumerate(curves(method, read))
        for place in curve.places(log)
    ]


def named(method: Method) -> dict[str, str]:
    """Return what a row of data says of its method: what it is called in its facet, and that."""
    return {"method": method.name, "panel": method.panel}


def seeds(runs: Sequence[Run]) -> str:
    """Return the seeds of the runs in words."""
    return ", ".join(dict.fromkeys(text.shown(run.summary.get("seed")) for run in runs))


def short(value: float) -> float:
    """Return a number as exactly as a picture can show it, so that the page stays small."""
    return float(f"{value:.6g}")


def thin(values: list[Any], most: int) -> list[Any]:
    """Return at most ``most`` values, evenly picked, the first and the last among them."""
    if len(values) <= most:
        return values
    return [values[i] for i in np.linspace(0, len(values) - 1, most).round().astype(int)]


def _telling(y: Sequence[float]) -> list[int]:
    """Return the places of a line that are drawn: all, or the lowest and the highest of each stretch."""
    if len(y) <= _PLACES:
        return list(range(len(y)))
    stretches = np.array_split(np.arange(len(y)), _PLACES // 2 - 1)
    values = np.array(y)
    ends = ((part[values[part].argmin()], part[values[part].argmax()]) for part in stretches)
    return sorted({0, len(y) - 1, *(int(i) for pair in ends for i in pair)})


def marked(
    method: Method, outcome: str, at: Iterable[float], on: Mapping[float, float]
) -> list[dict[str, Any]]:
    """Return the marks of an outcome at the requests ``at``, of which ``on`` has the place on the line."""
    known = thin([x for x in sorted(set(at)) if x in on], _MOST_MARKS)
    return [{**named(method), "outcome": outcome, "x": x, "y": short(on[x])} for x in known]


def said(every: Sequence[Method], line: str = "A line", band: str = "the band") -> str:
    """Return the sentence that says what means are drawn; none where every method has one run."""
    return f" {_MEAN.format(line, band)}." if any(len(method.runs) > 1 for method in every) else ""


def gaps(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the sentence that says what gaps in lines are; none where there are none."""
    return " Gaps are values of zero, of which a log axis has none." * any(row["y"] is None for row in rows)


def missing(every: Sequence[Method], columns: Sequence[Keyed]) -> str:
    """Return the sentence that names methods of which numbers were to be recorded, and none is one."""
    parts = []
    for keyed in columns:
        recorded = having(every, lambda run, key=keyed.key: key in run.recorded)  # type: ignore[misc]
        if without := [m.label for m in recorded if not any(run.has(keyed.key) for run in m.runs)]:
            parts.append(
                f"{keyed.plot.title}: {', '.join(without)}" if len(columns) > 1 else ", ".join(without)
            )
    same = len({part.partition(": ")[2] for part in parts}) == 1 and len(parts) == len(columns) > 1
    parts = [parts[0].partition(": ")[2]] if same else parts
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
