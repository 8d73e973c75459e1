"""Trade-off curves: what runs are compared by against removals supported, with the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from expunge.record.columns import main_column
from expunge.report.figures import drawing, style
from expunge.report.read import guarantees, text
from expunge.report.read.runs import Run
from expunge.report.tables.grids import SWEPT, Cell, SweptMethod, swept

_FEWEST = 3  # points of a curve
_FADED = 0.35
_WIDER = 4.5  # points by which the first of many curves is larger than the last
_FAR = 500.0  # a larger ratio of counts leaves room for powers of ten alone
_OPEN: dict[str, Any] = {"marker": ">", "mfc": style.PAPER, "mew": 1.4}  # it might lie further to the right


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the places of the points that no other one beats, in ascending order of a.

    A point is beaten by one that has at least as much of both and more of one; of equal points all stay.

    Args:
        points: (a, b) each; of both more is better. Finite.
    """
    beaten = {(a, b) for a, b in points for c, d in points if c >= a and d >= b and (c, d) != (a, b)}
    return sorted((i for i, point in enumerate(points) if point not in beaten), key=lambda i: (points[i], i))


@style.styled()
def draw_tradeoff(runs: Sequence[Run]) -> style.Drawn | None:
    """Draw one curve a method and epsilon; None unless one has three points over lam or std.

    Noise at release has no budget that ends: where there is nothing else, there is nothing to trade.
    """
    main = main_column(run.columns for run in runs)
    able = [method for method in swept(runs, *SWEPT) if len(_known(method)) >= _FEWEST]
    shown = able[: style.MOST]
    if not shown or main is None:
        return None
    _, column = main
    cells = [cell for method in shown for cell in _known(method)]
    endless = all(guarantees.noise(run, "releases") is not None for run in runs if run.certified)
    if endless and all(cell.served_all == cell.seeds for cell in cells):
        return None
    names, marks = _keys(shown, cells)
    columns = drawing.legend_columns(method.label for method in shown)
    keys = drawing.side_by_side(names, marks) if columns == 2 else [*names, *marks]
    figure, (ax,) = style.canvas(drawing.WIDTH, 3.9 + 0.2 * len(keys) / columns)
    for place, method in enumerate(shown):
        # Earlier curves are larger, so that one under another can still be seen.
        wider = _WIDER * (1 - (place + 1) / len(shown))
        _curve(ax, _known(method), style.SERIES[place], wider, less=column.arrow == "↓")
    _scale(ax, [_point(cell)[0] for cell in cells])
    if drawing.is_share(column):
        drawing.room(ax)
    title = f"{text.capital(column.head)} against removals supported"
    ax.set(title=title, ylabel=f"{column.head} after the last request")
    ax.set_xlabel("requests served before a retraining or refusal (log scale)")
    style.legend(figure, keys, columns=columns)
    return style.render(figure, "tradeoff", title, _caption(cells, column.head, len(shown), len(able)))


def _known(method: SweptMethod) -> list[Cell]:
    return [c for c in method.cells.values() if c.supported is not None and c.main is not None]


def _point(cell: Cell) -> tuple[float, float]:
    return cell.supported or 0.0, cell.main or 0.0


def _curve(ax: Axes, cells: Sequence[Cell], colour: str, wider: float, less: bool) -> None:
    points = [_point(cell) for cell in cells]
    front = pareto([(a, -b) for a, b in points] if less else points)
    # Up to a point's number of removals its value can be had: the step before it.
    x, y = zip(*(points[i] for i in front), strict=True)
    ax.plot(x, y, drawstyle="steps-pre", color=colour, lw=1.6 + wider / 2)
    for i, (cell, point) in enumerate(zip(cells, points, strict=True)):
        on_front = i in front
        ax.plot(
            *point,
            **(_OPEN if cell.at_least else {"marker": "o", "mec": "none"}),
            ls="none",
            ms=6.5 + wider,
            color=colour,
            alpha=1.0 if on_front else _FADED,
            clip_on=False,  # a point at the edge of the axes is drawn whole
            zorder=3 if on_front else 2,
        )


def _scale(ax: Axes, counts: Sequence[float]) -> None:
    """Give the x axis a log scale of plain numbers, with a place for none at all where that came about."""
    none = min(counts) < 1
    if none:
        ax.set_xscale("symlog", linthresh=1, linscale=0.4)
    else:
        ax.set_xscale("log")
    low, high = (-0.1 if none else min(counts) / 1.3), 1.15 * max(1.0, *counts)
    far = high > _FAR * max(min(counts), 1.0)
    steps = [m * 10**power for power in range(9) for m in ((1,) if far else (1, 2, 5))]
    ticks = [tick for tick in (0, *steps) if low <= tick <= high]
    ax.set_xticks(ticks, [text.number(tick) for tick in ticks])
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlim(low, high)


def _keys(shown: Sequence[SweptMethod], cells: Sequence[Cell]) -> tuple[list[Line2D], list[Line2D]]:
    """Return the entries of the legend: the curves, and what the points are."""
    names = [drawing.key(m.label, style.SERIES[i], marker="o", ms=6) for i, m in enumerate(shown)]
    marks = [
        drawing.dot_key("on the Pareto front", ms=7),
        drawing.dot_key("another of the curve is better", ms=7, alpha=_FADED),
    ]
    if any(cell.at_least for cell in cells):
        marks.append(drawing.dot_key("all requests served: at least", ms=7, **_OPEN))
    return names, marks


def _caption(cells: Sequence[Cell], head: str, drawn: int, every: int) -> str:
    seeds = max(cell.seeds for cell in cells)
    caption = "Each point is a run with its own lam and std"
    caption += f", the mean over up to {seeds} seeds" if seeds > 1 else ""
    caption += (
        f". The line is the Pareto front: the best {head} of the runs that supported at least so many "
        "removals."
    )
    if any(cell.at_least for cell in cells):
        caption += " At an arrow all requests were served: it might have supported more."
    return caption + (f" The first {drawn} of {every} curves are drawn." if drawn < every else "")
