"""Accuracy on the removed persons and on everybody else, against the images removed so far."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from statistics import mean

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from expunge.report.figures import drawing, style
from expunge.report.figures.drawing import Curve, Keyed, Line
from expunge.report.read.runs import Run, finite
from expunge.report.tables.table_rows import lasting

_SIDES = {"removed": "images of the removed persons", "rest": "images of everybody else"}
_STROKES = {"removed": "solid", "rest": (0, (4, 1.5))}
_WIDTHS = {"removed": 2.6, "rest": 1.6}  # one under the other can still be seen
_REFERENCE = (0, (1, 1.6))
_FEW = 40  # points of a line, up to which each gets a mark
_ASKED = (
    "A line is the mean over runs that differ only in {}, the band its 95% bootstrap interval; images of "
    "refused requests count as asked for"
)


@style.styled()
def draw_sides(runs: Sequence[Run], columns: Sequence[Keyed], name: str) -> style.Drawn | None:
    """Draw the two curves of every line beside the retrained model's values; None if no run has them."""
    removed = [keyed for keyed in columns if keyed.plot.kind == "removed"]
    parts = {keyed.plot.title for keyed in removed if any(run.has(keyed.key) for run in runs)}
    columns = [keyed for keyed in columns if keyed.plot.title in parts]
    panels = list(dict.fromkeys(keyed.plot.title for keyed in columns))
    shown = drawing.shown(runs, lambda run: any(run.has(keyed.key) for keyed in removed))
    lines = shown.lines
    if not lines:
        return None
    keys, across = _keys(lines, columns)
    figure, axes = style.canvas(drawing.WIDTH, 3.1 + 0.2 * -(-len(keys) // across), len(panels))
    for ax, panel in zip(axes, panels, strict=True):
        own = [keyed for keyed in columns if keyed.plot.title == panel]
        _panel(ax, lines, own, asked=bool(shown.alike))
    style.legend(figure, keys, columns=across)
    caption = drawing.caption(columns, "As the model stands after each request") + "."
    if not shown.alike:
        caption += " Images of refused requests do not count as removed."
    if _referenced(lines, columns):
        caption += " The aim for the removed persons is the retrained model's accuracy."
    return style.render(figure, name, drawing.heading(columns), caption + shown.said(_ASKED))


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


def _panel(ax: Axes, lines: Sequence[Line], columns: Sequence[Keyed], asked: bool) -> None:
    for line in lines:
        for keyed in columns:
            side = keyed.plot.kind
            own = _colour(lines, side, line.colour)
            found = Curve.of(line.runs, partial(curve, keyed=keyed, asked=asked))
            mark = "o" if len(found.x) <= _FEW else ""
            found.draw(ax, own, lw=_WIDTHS[side], ls=_STROKES[side], marker=mark, ms=4)
            if aims := _aims(line.runs, keyed):
                ax.axhline(mean(aims), color=own, lw=1.3, ls=_REFERENCE)
    along = "images asked to be removed so far" if asked else "images removed so far"
    ax.set(title=columns[0].plot.title, xlabel=along, ylabel=columns[0].plot.unit)
    ax.set_ylim(-0.03, 1.03)
    drawing.whole_requests(ax)


def _aims(runs: Sequence[Run], keyed: Keyed) -> list[float]:
    """The retrained model's last values, of the runs that have one."""
    found = (lasting(run, keyed.column.beside) for run in runs)
    return [value for value in found if value is not None]


def _colour(lines: Sequence[Line], side: str, colour: str) -> str:
    """The line's colour; where there is one alone, that of the side."""
    return colour if len(lines) > 1 else style.SERIES[side == "removed"]


def _referenced(lines: Sequence[Line], columns: Sequence[Keyed]) -> bool:
    return any(_aims(line.runs, keyed) for line in lines for keyed in columns)


def _keys(lines: Sequence[Line], columns: Sequence[Keyed]) -> tuple[list[Line2D], int]:
    """Return the entries of the legend and in how many columns they stand."""
    strokes = [
        drawing.key(label, _colour(lines, side, style.MUTED), ls=_STROKES[side], lw=_WIDTHS[side])
        for side, label in _SIDES.items()
    ]
    if _referenced(lines, columns):
        strokes.append(drawing.key("the retrained model", style.MUTED, ls=_REFERENCE, lw=1.5))
    if len(lines) == 1:
        return strokes, len(strokes)
    return drawing.side_by_side(drawing.run_keys(lines), strokes), 2
