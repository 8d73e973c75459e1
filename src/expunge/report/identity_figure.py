"""Accuracy on the removed persons and on everybody else, against the images removed so far."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from statistics import mean
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from expunge.report import drawing, style
from expunge.report.over_seeds import Interval, interval
from expunge.report.rows import lasting
from expunge.report.runs import Run, finite
from expunge.report.settings import alike, labels

_PARTS = {"train": "Training rows", "test": "Test rows"}
_SIDES = {"identity": "images of the removed persons", "rest": "images of everybody else"}
_STROKES = {"identity": "solid", "rest": (0, (4, 1.5))}
_WIDTHS = {"identity": 2.6, "rest": 1.6}  # one under the other can still be seen
_REFERENCE = (0, (1, 1.6))
_WHO = ("removal.identity",)
_FEW = 40  # points of a line, up to which each gets a mark


class Several(NamedTuple):
    """What has one curve of a kind: a run, or runs that differ only in their seed and in who is removed."""

    runs: Sequence[Run]
    label: str
    colour: str


class Curve(NamedTuple):
    """Accuracies of several runs along the images."""

    x: list[float]
    y: list[Interval]


def draw_identity(runs: Sequence[Run]) -> style.Drawn | None:
    """Draw the two curves of every run beside the retrained model's values; None if no run has them.

    Where these are more runs than can be told apart, those that differ only in their seed and in who is
    removed are drawn as one: their mean, and its interval.
    """
    parts = [part for part in _PARTS if any(_measured(run, part) for run in runs)]
    able = [line for line in drawing.lines(runs) if any(_measured(line[0], part) for part in parts)]
    together = len(able) > style.MOST
    every = _together([run for run, *_ in able]) if together else [Several([r], n, c) for r, n, c in able]
    shown = every[: style.MOST]
    if not shown:
        return None
    with style.styled():
        keys, columns = _keys(shown, parts)
        figure, axes = style.canvas(drawing.WIDTH, 3.1 + 0.2 * -(-len(keys) // columns), len(parts))
        for ax, part in zip(axes, parts, strict=True):
            _panel(ax, shown, part, together)
        style.legend(figure, keys, columns=columns)
        caption = _caption(shown, parts, together)
        if together:
            left = f"; {len(shown)} of {len(every)} lines are drawn" if len(shown) < len(every) else ""
            caption += f" {len(able)} runs{left}; the table has each."
        return style.render(figure, "identity", "Accuracy against removals", caption)


def _together(runs: Sequence[Run]) -> list[Several]:
    groups = alike(runs, _WHO)
    names = labels(groups, _WHO)
    return [
        Several(group, name, style.SERIES[i % style.MOST])
        for i, (group, name) in enumerate(zip(groups, names, strict=True))
    ]


def _caption(shown: Sequence[Several], parts: Sequence[str], together: bool) -> str:
    caption = (
        "Share classified rightly, of all images of the persons asked to be removed so far and of all "
        "other persons' images, as the model stands after each request."
    )
    if together:
        caption += (
            " A line is the mean over runs that differ only in their seed and in who is removed, the band "
            "its 95% bootstrap interval; images of refused requests count as asked for."
        )
    else:
        caption += " Images of refused requests do not count as removed."
    if _referenced(shown, parts):
        caption += " The aim for the removed persons is the retrained model's accuracy."
    return caption


def curve(run: Run, side: str, part: str, asked: bool = False) -> tuple[list[float], list[float]]:
    """Return images removed so far and accuracies; from no removal on where that accuracy can be told.

    Args:
        run: The run.
        side: ``identity`` or ``rest``.
        part: ``train`` or ``test``.
        asked: Count the images of refused requests too.
    """
    key = f"{side}_{part}_accuracy"
    images = list(accumulate(len(record["rows"]) for record in run.records))
    counts = images if asked else [record.get("removed_total") for record in run.records]
    pairs = [(finite(x), finite(r.get(key))) for x, r in zip(counts, run.records, strict=True)]
    points = [(x, y) for x, y in pairs if x is not None and y is not None]
    kept = lasting(run, f"{side}_{part}_kept")
    # The share kept is of the accuracy before any removal.
    if points and kept and points[0][0] > 0:
        points.insert(0, (0.0, points[-1][1] / kept))
    return [x for x, _ in points], [y for _, y in points]


def over_runs(runs: Sequence[Run], side: str, part: str) -> Curve:
    """Return the mean accuracy of several runs, and its interval, against the images asked to be removed.

    Numbers of images at which not every run was evaluated are left out.
    """
    found = [dict(zip(*curve(run, side, part, asked=True), strict=True)) for run in runs]
    x = sorted(set.intersection(*(set(values) for values in found)))
    return Curve(x, [interval([values[at] for values in found]) for at in x])


def _measured(run: Run, part: str) -> bool:
    return bool(run.series(f"identity_{part}_accuracy")[0])


def _panel(ax: Axes, shown: Sequence[Several], part: str, together: bool) -> None:
    for several in shown:
        for side, stroke in _STROKES.items():
            own = _colour(shown, side, several.colour)
            if together:
                x, found = over_runs(several.runs, side, part)
                y = [of.mean for of in found]
                ax.fill_between(
                    x, [of.low for of in found], [of.high for of in found], color=own, alpha=0.15, lw=0
                )
            else:
                x, y = curve(several.runs[0], side, part)
            ax.plot(x, y, color=own, lw=_WIDTHS[side], ls=stroke, marker="o" if len(x) <= _FEW else "", ms=4)
            if aims := _aims(several.runs, side, part):
                ax.axhline(mean(aims), color=own, lw=1.3, ls=_REFERENCE)
    along = "images asked to be removed so far" if together else "images removed so far"
    ax.set(title=_PARTS[part], xlabel=along, ylabel="share classified rightly")
    ax.set_ylim(-0.03, 1.03)
    drawing.whole_requests(ax)


def _aims(runs: Sequence[Run], side: str, part: str) -> list[float]:
    """The retrained model's last accuracies, of the runs that have one."""
    found = (lasting(run, f"retrain_{side}_{part}_accuracy") for run in runs)
    return [value for value in found if value is not None]


def _colour(shown: Sequence[Several], side: str, colour: str) -> str:
    """The run's colour; where there is one run alone, that of the side."""
    return colour if len(shown) > 1 else style.SERIES[side == "identity"]


def _referenced(shown: Sequence[Several], parts: Sequence[str]) -> bool:
    return any(_aims(several.runs, side, part) for several in shown for side in _SIDES for part in parts)


def _keys(shown: Sequence[Several], parts: Sequence[str]) -> tuple[list[Line2D], int]:
    """Return the entries of the legend and in how many columns they stand."""
    strokes = [
        drawing.key(label, _colour(shown, side, style.MUTED), ls=_STROKES[side], lw=_WIDTHS[side])
        for side, label in _SIDES.items()
    ]
    if _referenced(shown, parts):
        strokes.append(drawing.key("the retrained model", style.MUTED, ls=_REFERENCE, lw=1.5))
    if len(shown) == 1:
        return strokes, len(strokes)
    names = [drawing.key(several.label, several.colour) for several in shown]
    return drawing.side_by_side(names, strokes), 2
