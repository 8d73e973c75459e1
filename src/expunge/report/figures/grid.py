"""Figures of a sweep: heat maps over two settings, trade-off curves, and what noise costs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any, NamedTuple

import altair as alt

from expunge.core.columns import Column
from expunge.record.columns import main_column
from expunge.report.figures import chart, curves, drawing, style
from expunge.report.figures.std import draw_std
from expunge.report.figures.tradeoff import draw_tradeoff
from expunge.report.read import guarantees, text
from expunge.report.read.runs import Run
from expunge.report.tables.columns import formatted
from expunge.report.tables.grids import SWEPT, Cell, SweptMethod, axes, swept
from expunge.report.tables.over_seeds import Interval
from expunge.report.tables.table_rows import ordered

# ColorBrewer's map from a light yellow to a dark blue: safe for the colour-blind, and darker means more in
# grey too. Its lightest and darkest ends are left out, so that cells differ from paper and from numbers.
_MAP = alt.SchemeParams("yellowgreenblue", extent=[0.06, 0.88])
_ON_LIGHT, _ON_DARK = "#101418", "#fafafa"
_TURN = 0.62  # share of the map above which numbers are light: 0.3 of relative luminance (WCAG 2)
_STEP, _SMALL_STEP, _UP = 66, 48, 38  # pixels of a cell
_MANY = 8  # values of a setting above which cells are small
_LABELS = 62  # pixels left of a panel
_NOTHING = "#eef1f4"  # where a cell has no number
_LEAST_SPAN = 0.02  # of accuracies


@dataclass(frozen=True)
class Measure:
    """One row of panels: its title, and the value of a cell.

    ``column`` is what is declared of the number that runs are compared by; None of removals supported, whose
    colours are on a log scale.
    """

    title: str
    column: Column | None = None

    def value(self, cell: Cell) -> Interval | None:
        """Return the number behind the colour."""
        return cell.supported if self.column is None else cell.main

    def number(self, value: float) -> str:
        """Return a number as it is written in a cell."""
        if self.column is None:
            return text.number(value)
        return f"{value:.3f}" if drawing.is_share(self.column) else formatted(self.column.format, value)

    def words(self, cell: Cell) -> str:
        """Return what is written in the cell; one of fewer seeds than the others says so itself."""
        value = self.value(cell)
        if value is None:
            return text.NONE
        if self.column is None and cell.served_all == cell.seeds:
            return f"all {text.number(cell.requests)}"
        return "≥ " * (self.column is None and cell.at_least) + self.number(value.mean)


class _Grid(NamedTuple):
    """What all panels have in common: the two settings, their values, and every cell there is."""

    keys: tuple[str, str]
    ticks: tuple[list[float], list[float]]
    cells: list[Cell]

    @property
    def seeds(self) -> int:
        return max(cell.seeds for cell in self.cells)


def write_grid(runs: Sequence[Run], folder: str | os.PathLike[str]) -> list[Path]:
    """Write the figures of a sweep as PNG and SVG.

    Args:
        runs: The runs of the sweep.
        folder: Where the files go; made if there is anything to write.

    Returns:
        The paths written, PNG before SVG; none where the runs are no grid.
    """
    return [path for drawn in draw_grid(ordered(runs)) for path in drawn.save(Path(folder))]


def draw_grid(runs: Sequence[Run]) -> list[style.Drawn]:
    """Draw heat maps and trade-off curves, as far as the runs sweep two settings, and what noise costs."""
    found = (draw_heat_maps(runs), draw_tradeoff(runs), draw_std(runs))
    return [drawn for drawn in found if drawn]


def draw_heat_maps(runs: Sequence[Run]) -> style.Drawn | None:
    """Draw accuracy and removals supported over two swept settings, a panel a method and number.

    All panels have all values of both settings, so that a cell that is missing is seen to be missing.
    """
    pair = axes(runs)
    if pair is None:
        return None
    every = swept(runs, *pair)
    places = [at for method in every if len(method.cells) > 1 for at in method.cells]
    ticks = (sorted({a for a, _ in places}), sorted({b for _, b in places}))
    # A method of one cell is there if the cell is one of the grid's.
    every = [method for method in every if all(a in ticks[0] and b in ticks[1] for a, b in method.cells)]
    grid = _Grid(pair, ticks, [cell for method in every for cell in method.cells.values()])
    main = main_column(run.columns for run in runs)
    able = [Measure(text.capital(main[1].head), main[1])] if main else []
    able.append(Measure("Removals supported"))
    measures = [m for m in able if any(m.value(cell) for cell in grid.cells)]
    if not measures:
        return None
    blocks = [_block(measure, every, grid) for measure in measures]
    title = f"{' and '.join(m.title for m in measures).capitalize()} over {' and '.join(map(_short, pair))}"
    said = guarantees.which_std(runs) if SWEPT[1] in pair else ""
    caption = f"{_caption(measures, grid)} {said}".strip()
    whole = alt.vconcat(*blocks, spacing=26).properties(title="")
    return chart.rendered(whole, "grid", title, caption)


def _block(measure: Measure, every: Sequence[SweptMethod], grid: _Grid) -> alt.FacetChart:
    """Return a panel a method, as many side by side as there is room for."""
    x, y = map(_names, grid.ticks)
    step, size = (_STEP, 12) if len(x) <= _MANY else (_SMALL_STEP, 9)
    wide = step * len(x)
    rows = [
        {"x": across, "y": up, "method": method.of.label, "place": place, "number": measure.title}
        | {"panel": curves.folded(method.of.label, wide)}
        | {"at": f"{_short(grid.keys[0])} {across}, {_short(grid.keys[1])} {up}"}
        | _square(measure, method.cells.get((a, b)), grid)
        for place, method in enumerate(every)
        for a, across in zip(grid.ticks[0], x, strict=True)
        for b, up in zip(grid.ticks[1], y, strict=True)
    ]
    look: dict[str, Any] = {"domain": False, "ticks": False, "grid": False, "labelAngle": 0}
    first, second = (alt.Axis(title=_short(key), **look) for key in grid.keys)
    of = alt.Chart().encode(
        x=alt.X("x:O", axis=first, scale=alt.Scale(domain=x)),
        y=alt.Y("y:O", axis=second, scale=alt.Scale(domain=y[::-1])),
        tooltip=[alt.Tooltip(f"{key}:N", title=key) for key in ("method", "at", "number", "value", "seeds")],
    )
    colour = alt.Color("share:Q", scale=alt.Scale(domain=[0, 1], scheme=_MAP), legend=None)
    squares = of.mark_rect(stroke=style.PAPER, strokeWidth=1.5).encode(
        color=alt.condition(alt.datum.share >= 0, colour, alt.value(_NOTHING))
    )
    ink = alt.when(alt.datum.share > _TURN).then(alt.value(_ON_DARK)).otherwise(alt.value(_ON_LIGHT))
    numbers = of.mark_text(fontSize=size).encode(text="words:N", color=ink)
    fewer = of.mark_text(dy=12, fontSize=size - 3).encode(text="fewer:N", color=ink)
    return (
        alt.layer(squares, numbers, fewer, data=chart.data(rows))
        .properties(width=wide, height=_UP * len(y))
        .facet(
            facet=curves.in_order("panel"),
            columns=max(1, chart.WIDTH * 5 // 4 // (wide + _LABELS)),
            spacing=18,
        )
        .resolve_axis(x="independent", y="independent")
        .properties(title=alt.Title(measure.title, offset=10))
    )


def _names(values: Sequence[float]) -> list[str]:
    """Return the values of a setting in words, no two alike."""
    short = [text.setting(value) for value in values]
    return short if len(set(short)) == len(short) else [repr(value) for value in values]


def _square(measure: Measure, cell: Cell | None, grid: _Grid) -> dict[str, Any]:
    """Return what is shown of a cell: its place in the colours, -1 for none, its number, and the tooltip."""
    value = measure.value(cell) if cell else None
    if cell is None or value is None:
        return {
            "share": -1,
            "words": text.NONE,
            "fewer": "",
            "value": "none",
            "seeds": cell.seeds if cell else 0,
        }
    every = [found.mean for c in grid.cells if (found := measure.value(c))]
    low, high = measure.number(value.low), measure.number(value.high)
    return {
        "share": _share(value.mean, every, measure),
        "words": measure.words(cell),
        "fewer": f"{cell.seeds} of {grid.seeds} seeds" if cell.seeds < grid.seeds else "",
        "value": measure.words(cell) + (f" [{low}, {high}]" if low != high else ""),
        "seeds": cell.seeds,
    }


def _share(value: float, every: Sequence[float], measure: Measure) -> float:
    """Return where a value lies between the smallest and the largest, from 0 to 1."""
    if measure.column is None:
        every, value = [log(max(v, 1.0)) for v in every], log(max(value, 1.0))
    # Noise of single test rows gets no colours of its own.
    low, high = min(every), max(every)
    if measure.column and drawing.is_share(measure.column):
        low = min(low, high - _LEAST_SPAN)
    return (value - low) / (high - low) if low < high else 1.0


def _short(key: str) -> str:
    """Return a setting's name without its group where it is the unlearner's, as everywhere in the report."""
    return text.plain(key.removeprefix("unlearner."))


def _caption(measures: Sequence[Measure], grid: _Grid) -> str:
    caption = "One cell a run" + (f", the mean over up to {grid.seeds} seeds" if grid.seeds > 1 else "")
    caption += "; darker is more, on the same scale in every panel of a row."
    if any(m.column is None for m in measures):
        caption += (
            " Removals supported: requests served before the first retraining or refusal; 'all' and ≥ where "
            "neither ever came, so that it might have been more. Their colours are on a log scale."
        )
    return f"{caption} {text.NONE}: not run, failed, or without this number."
