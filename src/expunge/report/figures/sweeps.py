"""Curves of a sweep: what runs are compared by against removals supported, and against the noise's std."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from expunge.charts import lines, style
from expunge.charts.lines import Panel
from expunge.charts.rendering import rendered
from expunge.core import text
from expunge.core.columns import Column
from expunge.core.intervals import Interval, interval
from expunge.core.text import finite
from expunge.record.columns import main_column
from expunge.record.folders import guarantees
from expunge.record.folders.runs import Run
from expunge.report.figures import drawing
from expunge.report.read.methods import Method, placed
from expunge.report.read.names import alike, deciding
from expunge.report.tables.columns import formatted
from expunge.report.tables.grids import SWEPT, SweptMethod, swept

_FEWEST = 3  # points of a line
_RING = "M1,0A1,1,0,1,1,-1,0A1,1,0,1,1,1,0ZM.6,0A.6,.6,0,1,0,-.6,0A.6,.6,0,1,0,.6,0Z"
_HOLLOW = "M-.9,-1.1L1.1,0L-.9,1.1ZM-.5,-.5L-.5,.5L.4,0Z"  # an arrow, as the first is a dot
_KINDS = {
    (True, False): ("on the Pareto front", "circle"),
    (True, True): ("on the front, all requests served: at least", "triangle-right"),
    (False, False): ("another of the curve is better", _RING),
    (False, True): ("another is better, all requests served: at least", _HOLLOW),
}
"""Whether a point is on the front, and might lie further to the right -> what it is called, and its mark."""
_STD, _RESIDUAL, _RELEASES = "unlearner.std", "unlearner.residual", "unlearner.releases"
_ACROSS = {
    "std": "std of the noise (log scale)",
    "sensitivity": "distance to exact retraining (log scale)",
}
"""What is along the axis -> its title."""
_TOLD = {"said": "method", "at": "at", "value": "value", "seeds": "seeds"}
_DASHES = (lines.SOLID, lines.DASHED, lines.DOTTED, [8.0, 2.0, 1.5, 2.0])


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the places of the points that no other one beats, in ascending order of a.

    A point is beaten by one that has at least as much of both and more of one; of equal points all stay.

    Args:
        points: (a, b) each; of both more is better. Finite.
    """
    beaten = {(a, b) for a, b in points for c, d in points if c >= a and d >= b and (c, d) != (a, b)}
    return sorted((i for i, point in enumerate(points) if point not in beaten), key=lambda i: (points[i], i))


def draw_tradeoff(runs: Sequence[Run]) -> style.Drawn | None:
    """Draw one curve a method and epsilon; None unless one has three points over lam or std.

    Noise at release has no budget that ends: where there is nothing else, there is nothing to trade.
    """
    main = main_column(run.columns for run in runs)
    shown = swept(runs, *SWEPT) if main else []
    points = [_points(method, main[1]) for method in shown] if main else []
    if main is None or all(len(own) < _FEWEST for own in points):
        return None
    column, rows = main[1], sorted((row for own in points for row in own), key=lambda row: row["step"])
    endless = all(guarantees.noise(run, "releases") is not None for run in runs if run.certified)
    if endless and not any(row["ended"] for row in rows):
        return None
    panel = Panel(
        title="",
        unit=f"{column.head} after the last request",
        rows=rows,
        share=drawing.is_share(column),
        along="requests served before a retraining or refusal (log scale)",
        scale="symlog" if min(row["left"] for row in rows) < 1 else "log",
        steps=True,
        outcomes=dict(_KINDS.values()),
        told={**_TOLD, "supported": "supported"},
    )
    every = [method.of for method, own in zip(shown, points, strict=True) if own]
    seeds = max(row["seeds"] for row in rows)
    said = "Each point is a run with its own lam and std"
    said += f", the mean over up to {seeds} seeds, bars its 95% interval" if seeds > 1 else ""
    said += f". The line is the Pareto front: the best {column.head} of the runs that supported at least so "
    said += "many removals."
    if any(row["supported"].startswith("≥") for row in rows):
        said += " At an arrow all requests were served: it might have supported more."
    whole = lines.compose([panel], every, {"front": lines.SOLID})
    return rendered(whole, "tradeoff", f"{text.capital(column.head)} against removals supported", said)


def _points(method: SweptMethod, column: Column) -> list[dict[str, Any]]:
    """Return the cells with both numbers; those on the front are one line, by ``step``, others one each."""
    known = [
        (*at, cell, x, y) for at, cell in method.cells.items() if (x := cell.supported) and (y := cell.main)
    ]
    sign = -1 if column.arrow == "↓" else 1
    front = pareto([(x.mean, sign * y.mean) for *_, x, y in known])
    return [
        {
            **{**drawing.named(method.of), "said": method.of.label, "seeds": cell.seeds},
            **{"at": f"lam {text.setting(lam)}, std {text.setting(std)}", **_valued(y, column)},
            **{"x": x.mean, "left": x.low, "right": x.high, "ended": cell.served_all < cell.seeds},
            **{"outcome": _KINDS[i in front, cell.at_least][0], "line": "front" if i in front else f"{i}"},
            **{"step": front.index(i) if i in front else 0, "stroke": "front", "alone": True},
            "supported": "≥ " * cell.at_least + _words(x, text.number),
        }
        for i, (lam, std, cell, x, y) in enumerate(known)
    ]


def _valued(found: Interval, column: Column) -> dict[str, Any]:
    value = _words(found, lambda v: formatted(column.format, v))
    return {"y": found.mean, "low": found.low, "high": found.high, "value": value}


def _words(found: Interval, said: Callable[[float], str]) -> str:
    """Return a number as a tooltip has it: with its interval, where there is one."""
    ends = said(found.low), said(found.high)
    return said(found.mean) + (f" [{', '.join(ends)}]" if ends[0] != ends[1] else "")


def std_of(run: Run) -> float | None:
    """Return the standard deviation of a run's noise: as it was set, or as the run derived it."""
    found = finite(run.setting(_STD))
    return guarantees.noise(run, "std") if found is None else found


def draw_std(runs: Sequence[Run]) -> style.Drawn | None:
    """Draw one line a method and number of releases; None where none has three points.

    Where lines differ in how many releases they cover, the distance that the noise hides is a second axis:
    a larger number needs a larger std for the same distance.
    """
    main = main_column(run.columns for run in runs)
    every = _lines(runs)
    if main is None or not every:
        return None
    key, column = main
    covered = {guarantees.noise(line.runs[0], "releases") for line in every} - {None}
    # Few lines have room in one panel, where they can be compared: what told the facets is then the dashes.
    few = len(every) <= style.COLOURS
    kinds = list(dict.fromkeys(line.panel or text.NONE for line in every if few))
    shown = {} if len(kinds) < 2 or len(kinds) > len(_DASHES) else dict(zip(kinds, _DASHES, strict=False))
    rows = {
        at: [row for line in every for row in _over_std(line, key, column, at, bool(shown))]
        for at in (_ACROSS if len(covered) > 1 else ("std",))
    }
    if not rows["std"]:
        return None
    ends = [row[end] for row in rows["std"] for end in ("low", "high")]
    unit, share = f"{column.head} after the last request", drawing.is_share(column)
    panels = [
        Panel("", unit, own, _ACROSS[at], share=share, scale="log", reach=ends, told=_TOLD)
        for at, own in rows.items()
        if own
    ]
    drawn = [Method(m.label, m.runs, m.colour, "", m.name) for m in every] if shown else every
    whole = lines.compose(panels, drawn, shown or {"": lines.SOLID})
    title = f"{text.capital(column.head)} against std"
    said = _caption(every, len(rows)) + lines.beneath(panels, *(shown or [""]))
    return rendered(whole, "std", title, said.strip())


def _lines(runs: Sequence[Run]) -> list[Method]:
    """Return the lines, if one has points enough; what is published knows no number of releases."""
    able = [run for run in runs if run.certified and std_of(run) is not None]
    without = {_RESIDUAL, *(key for run in able for key in deciding(run) if key.endswith(".std"))}
    noisy = [run for run in able if guarantees.noise(run, "releases") is not None]
    other = [run for run in able if guarantees.noise(run, "releases") is None]
    groups = [*alike(noisy, without), *alike(other, {*without, _RELEASES})]
    if all(len({std_of(run) for run in group}) < _FEWEST for group in groups):
        return []
    order = [id(run) for run in runs]  # as in all other figures
    return placed(sorted(groups, key=lambda group: order.index(id(group[0]))), without, runs)


def _over_std(line: Method, key: str, column: Column, at: str, together: bool) -> list[dict[str, Any]]:
    """Return the means over seeds by std, or by the distance that it hides, where there is one."""
    found: dict[float, list[float]] = {}
    for run in line.runs:
        x, value = std_of(run) if at == "std" else guarantees.noise(run, at), run.number(key)
        if x is not None and x > 0 and value is not None:  # the axis is on a log scale
            found.setdefault(x, []).append(value)
    stroke = (line.panel or text.NONE) if together else ""
    of = {"method": line.name, "panel": "" if together else line.panel, "stroke": stroke, "line": line.label}
    return [
        {**of, "said": line.label, "x": x, "at": text.setting(x), "seeds": len(values), "mark": "full"}
        | _valued(interval(values), column)
        for x, values in sorted(found.items())
    ]


def _caption(every: Sequence[Method], panels: int) -> str:
    said = [guarantees.which_std(run for line in every for run in line.runs)]
    if panels == 2:
        said.append(
            "More releases that are covered need a larger std, by the square root of their number, to"
        )
        said[-1] += " hide the same distance to exact retraining."
    if len({guarantees.noise(line.runs[0], "releases") is None for line in every}) > 1:
        said.append("These are not the same thing: what a std costs is compared, not what it buys.")
    seeds = max(len({str(run.summary.get("seed")) for run in line.runs}) for line in every)
    if seeds > 1:
        said.append(f"Each point is the mean over up to {seeds} seeds, the band its 95% interval.")
    return " ".join(filter(None, said))
