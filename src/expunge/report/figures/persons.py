"""Accuracy on the removed persons and on everybody else, against the images removed so far."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from statistics import mean
from typing import Any

from expunge.report.figures import chart, drawing, panels, style
from expunge.report.figures.drawing import Keyed
from expunge.report.figures.panels import Panel
from expunge.report.read.methods import Method, methods
from expunge.report.read.runs import Run, finite
from expunge.report.tables.table_rows import lasting

_SIDES = {"removed": "images of the removed persons", "rest": "images of everybody else"}
_AIM = "the retrained model"
_DASHES = {_SIDES["removed"]: panels.SOLID, _SIDES["rest"]: panels.DASHED, _AIM: panels.DOTTED}


def draw_sides(runs: Sequence[Run], columns: Sequence[Keyed], name: str) -> style.Drawn | None:
    """Draw the two curves of every method beside the retrained model's values; None if no run has them."""
    removed = [keyed for keyed in columns if keyed.plot.kind == "removed"]
    parts = {keyed.plot.title for keyed in removed if any(run.has(keyed.key) for run in runs)}
    columns = [keyed for keyed in columns if keyed.plot.title in parts]
    everyone = methods(runs)
    every = drawing.having(everyone, lambda run: any(run.has(keyed.key) for keyed in removed))
    if not every:
        return None
    # Seeds refuse different requests, and so have removed different numbers of images at the same one.
    asked = any(len(method.runs) > 1 for method in every)
    found = []
    for title in dict.fromkeys(keyed.plot.title for keyed in columns):
        own = [keyed for keyed in columns if keyed.plot.title == title]
        rows = [row for method in every for keyed in own for row in _rows(method, keyed, asked)]
        along = "images asked to be removed so far" if asked else "images removed so far"
        found.append(Panel(title, own[0].plot.unit, rows, share=True, along=along, reach=(0.0, 1.0)))
    used = {row["stroke"] for panel in found for row in panel.rows}
    dashes = {stroke: dash for stroke, dash in _DASHES.items() if stroke in used}
    said = drawing.caption(columns, "As the model stands after each request") + "."
    said += f" Images of refused requests {'count as asked for' if asked else 'do not count as removed'}."
    if _AIM in used:
        said += " The aim for the removed persons is the retrained model's accuracy."
    said += drawing.said(every) + drawing.missing(everyone, columns)
    return chart.rendered(panels.compose(found, every, dashes), name, drawing.heading(columns), said)


def curve(run: Run, keyed: Keyed, asked: bool = False) -> tuple[list[float], list[float]]:
    """Return images removed so far and values; from no removal on where that value can be told.

    Args:
        run: The run.
        keyed: The column.
        asked: Count the images of refused requests too.
    """
    images = list(accumulate(len(record["rows"]) for record in run.records))
    counts = images if asked else [record.get("removed_total") for record in run.records]
    pairs = [(finite(x), finite(r.get(keyed.key))) for x, r in zip(counts, run.records, strict=True)]
    points = [(x, y) for x, y in pairs if x is not None and y is not None]
    kept = lasting(run, keyed.plot.against)
    # The share kept is of the value before any removal.
    if points and kept and points[0][0] > 0:
        points.insert(0, (0.0, points[-1][1] / kept))
    return [x for x, _ in points], [y for _, y in points]


def _rows(method: Method, keyed: Keyed, asked: bool) -> list[dict[str, Any]]:
    """Return the places of one curve, and of the retrained model's last value, beside all of it."""
    read = partial(curve, keyed=keyed, asked=asked)
    rows = drawing.rows(method, read, stroke=_SIDES[keyed.plot.kind])
    found = (lasting(run, keyed.column.beside) for run in method.runs)
    aims = [value for value in found if value is not None]
    if not rows or not aims:
        return rows
    places = [row["x"] for row in rows]
    aim = {**drawing.named(method), "y": drawing.short(mean(aims)), "stroke": _AIM}
    seeds = drawing.seeds(method.runs)
    return rows + [{**aim, "x": x, "line": keyed.key, "seeds": seeds} for x in (min(places), max(places))]
