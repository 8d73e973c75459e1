"""Accuracy on the removed persons and on everybody else, against the images removed so far."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from expunge.report import drawing, style
from expunge.report.rows import lasting
from expunge.report.runs import Run, finite

_PARTS = {"train": "Training rows", "test": "Test rows"}
_SIDES = {"identity": "images of the removed persons", "rest": "images of everybody else"}
_STROKES = {"identity": "solid", "rest": (0, (4, 1.5))}
_WIDTHS = {"identity": 2.6, "rest": 1.6}  # one under the other can still be seen
_REFERENCE = (0, (1, 1.6))
_FEW = 40  # points of a line, up to which each gets a mark


def draw_identity(runs: Sequence[Run]) -> style.Drawn | None:
    """Draw the two curves of every run beside the retrained model's values; None if no run has them."""
    parts = [part for part in _PARTS if any(_measured(run, part) for run in runs)]
    able = [line for line in drawing.lines(runs) if any(_measured(line[0], part) for part in parts)]
    shown = able[: style.MOST]
    if not shown:
        return None
    with style.styled():
        keys, columns = _keys(shown, parts)
        figure, axes = style.canvas(drawing.WIDTH, 3.1 + 0.2 * -(-len(keys) // columns), len(parts))
        for ax, part in zip(axes, parts, strict=True):
            _panel(ax, shown, part)
        style.legend(figure, keys, columns=columns)
        caption = (
            "Share classified rightly, of all images of the persons asked to be removed so far and of all "
            "other persons' images, as the model stands after each request. Images of refused requests do "
            "not count as removed."
        )
        if _referenced(shown, parts):
            caption += " The aim for the removed persons is the retrained model's accuracy."
        caption += drawing.not_drawn(len(shown), len(able))
        return style.render(figure, "identity", "Accuracy against removals", caption)


def curve(run: Run, side: str, part: str) -> tuple[list[float], list[float]]:
    """Return images removed so far and accuracies; from no removal on where that accuracy can be told.

    Args:
        run: The run.
        side: ``identity`` or ``rest``.
        part: ``train`` or ``test``.
    """
    key = f"{side}_{part}_accuracy"
    pairs = [(finite(r.get("removed_total")), finite(r.get(key))) for r in run.records]
    points = [(x, y) for x, y in pairs if x is not None and y is not None]
    kept = lasting(run, f"{side}_{part}_kept")
    # The share kept is of the accuracy before any removal.
    if points and kept and points[0][0] > 0:
        points.insert(0, (0.0, points[-1][1] / kept))
    return [x for x, _ in points], [y for _, y in points]


def _measured(run: Run, part: str) -> bool:
    return bool(run.series(f"identity_{part}_accuracy")[0])


def _panel(ax: Axes, shown: Sequence[drawing.Line], part: str) -> None:
    for run, _, colour in shown:
        for side, stroke in _STROKES.items():
            own = _colour(shown, side, colour)
            x, y = curve(run, side, part)
            ax.plot(x, y, color=own, lw=_WIDTHS[side], ls=stroke, marker="o" if len(x) <= _FEW else "", ms=4)
            if (aim := lasting(run, f"retrain_{side}_{part}_accuracy")) is not None:
                ax.axhline(aim, color=own, lw=1.3, ls=_REFERENCE)
    ax.set(title=_PARTS[part], xlabel="images removed so far", ylabel="share classified rightly")
    ax.set_ylim(-0.03, 1.03)
    low, high = ax.get_xlim()
    if high - low < 1:
        ax.set_xlim((low + high) / 2 - 1, (low + high) / 2 + 1)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))


def _colour(shown: Sequence[drawing.Line], side: str, colour: str) -> str:
    """The run's colour; where there is one run alone, that of the side."""
    return colour if len(shown) > 1 else style.SERIES[side == "identity"]


def _referenced(shown: Sequence[drawing.Line], parts: Sequence[str]) -> bool:
    keys = [f"retrain_{side}_{part}_accuracy" for side in _SIDES for part in parts]
    return any(lasting(run, key) is not None for run, *_ in shown for key in keys)


def _keys(shown: Sequence[drawing.Line], parts: Sequence[str]) -> tuple[list[Line2D], int]:
    """Return the entries of the legend and in how many columns they stand."""
    strokes = [
        drawing.key(label, _colour(shown, side, style.MUTED), ls=_STROKES[side], lw=_WIDTHS[side])
        for side, label in _SIDES.items()
    ]
    if _referenced(shown, parts):
        strokes.append(drawing.key("the retrained model", style.MUTED, ls=_REFERENCE, lw=1.5))
    if len(shown) == 1:
        return strokes, len(strokes)
    return drawing.side_by_side(drawing.run_keys(shown), strokes), 2
