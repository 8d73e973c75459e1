"""What noise costs: what runs are compared by against its standard deviation, a line for each guarantee."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from expunge.core.columns import Column
from expunge.record.columns import main_column
from expunge.report.figures import chart, curves, panels, style
from expunge.report.read import guarantees, text
from expunge.report.read.methods import COLOURS, Method, placed
from expunge.report.read.run_settings import alike, settings
from expunge.report.read.runs import Run, finite
from expunge.report.tables.columns import formatted
from expunge.report.tables.over_seeds import interval

_STD, _RESIDUAL, _RELEASES = "unlearner.std", "unlearner.residual", "unlearner.releases"
_FEWEST = 3  # points of a line
_ACROSS = {
    "std": "std of the noise (log scale)",
    "sensitivity": "distance to exact retraining (log scale)",
}
"""What is along the axis -> its title."""
_TOLD = {"said": "method", "along": "at", "value": "value", "seeds": "seeds"}


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
    lines = _lines(runs)
    if main is None or not lines:
        return None
    key, column = main
    covered = {guarantees.noise(line.runs[0], "releases") for line in lines} - {None}
    shown = ("std", "sensitivity") if len(covered) > 1 else ("std",)
    rows = {at: [row for line in lines for row in _rows(line, key, column, at)] for at in shown}
    if not rows["std"]:
        return None
    half = curves.HALF if len(shown) > 1 else chart.WIDTH
    panels = [_panel(lines, rows, at, column, half) for at in shown if rows[at]]
    side_by_side = 2 if len(lines) <= COLOURS else 1
    whole = panels[0] if len(panels) == 1 else alt.concat(*panels, columns=side_by_side)
    title = f"{text.capital(column.head)} against std"
    return chart.rendered(whole, "std", title, _caption(lines, len(shown)))


def _lines(runs: Sequence[Run]) -> list[Method]:
    """Return the lines, if one has points enough; what is published knows no number of releases."""
    able = [run for run in runs if run.certified and std_of(run) is not None]
    without = {_RESIDUAL, *(key for run in able for key in settings(run) if key.endswith(".std"))}
    noisy = [run for run in able if guarantees.noise(run, "releases") is not None]
    other = [run for run in able if guarantees.noise(run, "releases") is None]
    groups = [*alike(noisy, without), *alike(other, {*without, _RELEASES})]
    if all(len({std_of(run) for run in group}) < _FEWEST for group in groups):
        return []
    return placed(groups, without, runs)


def _rows(line: Method, key: str, column: Column, at: str) -> list[dict[str, Any]]:
    """Return the means over seeds by std, or by the distance that it hides, where there is one."""
    places: dict[float, list[float]] = {}
    for run in line.runs:
        x, value = std_of(run) if at == "std" else guarantees.noise(run, at), run.number(key)
        if x is not None and x > 0 and value is not None:  # the axis is on a log scale
            places.setdefault(x, []).append(value)
    every = []
    for x, values in sorted(places.items()):
        mean, low, high = interval(values)
        ends = f" [{formatted(column.format, low)}, {formatted(column.format, high)}]" * (len(values) > 1)
        point: dict[str, Any] = {"x": x, "y": mean, "low": low, "high": high, "seeds": len(values)}
        point |= {"along": text.setting(x), "value": formatted(column.format, mean) + ends}
        every.append({**curves.of(line), **point})
    return every


def _panel(
    lines: Sequence[Method], rows: dict[str, list[dict[str, Any]]], at: str, column: Column, wide: int
) -> alt.LayerChart | alt.FacetChart:
    colour = panels.colour_of(lines)
    ends = curves.span([row[end] for row in rows["std"] for end in ("low", "high")], column)
    of = alt.Chart().encode(
        x=curves.log_axis(alt.X, "x", _ACROSS[at], [row["x"] for row in rows[at]]),
        y=alt.Y(
            "y:Q", title=f"{column.head} after the last request", scale=alt.Scale(domain=ends, zero=False)
        ),
        color=colour,
    )
    kinds = list(dict.fromkeys(row["panel"] or text.NONE for row in rows["std"]))
    own = rows[at]
    if len(kinds) > 1 and len(lines) <= COLOURS:  # there is room in one panel, where they can be compared
        own = [{**row, "kind": row["panel"] or text.NONE, "panel": ""} for row in own]
        domain = alt.Scale(domain=kinds)
        of = of.encode(
            shape=alt.Shape("kind:N", scale=domain, legend=chart.legend(kinds)),
            strokeDash=alt.StrokeDash("kind:N", scale=domain, legend=None),
        )
    told = [alt.Tooltip(f"{key}:N", title=title) for key, title in _TOLD.items()]
    layers = (
        of.mark_area().encode(y="low:Q", y2="high", opacity=chart.picked(0.16)),
        of.mark_line().encode(opacity=chart.picked()),
        of.mark_point(filled=True, size=50).encode(opacity=chart.picked(), tooltip=told),
    )
    return curves.faceted(layers, own, wide)


def _caption(lines: Sequence[Method], panels: int) -> str:
    said = [guarantees.which_std(run for line in lines for run in line.runs)]
    if panels == 2:
        said.append(
            "More releases that are covered need a larger std, by the square root of their number, to hide "
            "the same distance to exact retraining."
        )
    seeds = max(len({str(run.summary.get("seed")) for run in line.runs}) for line in lines)
    if len({guarantees.noise(line.runs[0], "releases") is None for line in lines}) > 1:
        said.append("These are not the same thing: what a std costs is compared, not what it buys.")
    if seeds > 1:
        said.append(f"Each point is the mean over up to {seeds} seeds, the band its 95% interval.")
    return " ".join(filter(None, said))
