"""Removed persons and everybody else along the images removed, beside the retrained model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from statistics import fmean
from typing import Any

from expunge.charts import lines, style
from expunge.charts.lines import Panel
from expunge.core.text import finite
from expunge.record.folders.runs import Run
from expunge.report.figures import drawing
from expunge.report.figures.drawing import Keyed
from expunge.report.figures.requests import able, finished
from expunge.report.read.measured import lasting
from expunge.report.read.methods import Method

_SIDES = {"removed": "images of the removed persons", "rest": "images of everybody else"}
_AIM = "the retrained model"


def draw_sides(runs: Sequence[Run], columns: Sequence[Keyed], name: str) -> style.Drawn | None:
    """Draw the two curves of every method beside the retrained model's values; None if no run has them."""
    removed, everyone, every = able(runs, [keyed for keyed in columns if keyed.plot.kind == "removed"])
    if not every:
        return None
    # Seeds refuse different requests, and so have removed different numbers of images at the same one.
    asked = any(len(method.runs) > 1 for method in every)
    panels = []
    for title in dict.fromkeys(keyed.plot.title for keyed in removed):
        own = [keyed for keyed in columns if keyed.plot.title == title]
        rows = [row for method in every for keyed in own for row in _side(method, keyed, asked)]
        along = "images asked to be removed so far" if asked else "images removed so far"
        panels.append(Panel(title, own[0].plot.unit, rows, share=True, along=along, reach=(0.0, 1.0)))
    columns = [keyed for keyed in columns if keyed.plot.title in {panel.title for panel in panels}]
    said = drawing.caption(columns, "As the model stands after each request") + "."
    said += f" Images of refused requests {'count as asked for' if asked else 'do not count as removed'}."
    if any(row.get("stroke") == _AIM for panel in panels for row in panel.rows):
        said += " The aim for the removed persons is the retrained model's accuracy."
    looks = (lines.SOLID, lines.DASHED, lines.DOTTED)
    dashes = dict(zip((*_SIDES.values(), _AIM), looks, strict=True))
    return finished(name, columns, everyone, every, panels, dashes, said)


def curve(run: Run, keyed: Keyed, asked: bool = False) -> tuple[list[float], list[float]]:
    """Return images removed so far and values; from no removal on where that value can be told.

    Args:
        run: The run.
        keyed: The column.
        asked: Count the images of refused requests too.
    """
    points = _points(run, keyed.key, asked)
    kept = lasting(run, keyed.plot.against)
    # The share kept is of the value before any removal.
    if points and kept and points[0][0] > 0:
        points.insert(0, (0.0, points[-1][1] / kept))
    return _apart(points)


def _points(run: Run, key: str, asked: bool) -> list[tuple[float, float]]:
    """Images removed so far and the value of a key, where a record has both."""
    images = list(accumulate(len(record["rows"]) for record in run.records))
    counts = images if asked else [record.get("removed_total") for record in run.records]
    pairs = [(finite(x), finite(r.get(key))) for x, r in zip(counts, run.records, strict=True)]
    return [(x, y) for x, y in pairs if x is not None and y is not None]


def _apart(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _side(method: Method, keyed: Keyed, asked: bool) -> list[dict[str, Any]]:
    """Return the places of one curve and of the retrained model's.

    Where that was measured once alone, it is a level line beside all of the curve.
    """
    stroke, beside = _SIDES[keyed.plot.kind], keyed.column.beside
    rows = drawing.rows(method, partial(curve, keyed=keyed, asked=asked), stroke=stroke)
    if not rows:
        return rows
    if all(len(_points(run, beside, asked)) > 1 for run in method.runs):
        aim = drawing.rows(method, lambda run: _apart(_points(run, beside, asked)), stroke=_AIM)
        for row in aim:
            row["line"] += f", {stroke}"  # both sides have one
        return rows + aim
    aims = [value for run in method.runs if (value := lasting(run, beside)) is not None]
    return rows + drawing.level(method, fmean(aims), [row["x"] for row in rows], _AIM) if aims else rows
