"""Figures of a sweep: heat maps over two settings, trade-off curves, and what noise costs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Rectangle

from expunge.core.columns import Column
from expunge.record.columns import main_column
from expunge.report.figures import drawing, style
from expunge.report.figures.std import draw_std
from expunge.report.figures.tradeoff import draw_tradeoff
from expunge.report.read import guarantees, text
from expunge.report.read.runs import Run
from expunge.report.tables.columns import formatted
from expunge.report.tables.grids import SWEPT, Cell, SweptMethod, axes, swept
from expunge.report.tables.table_rows import ordered

# ColorBrewer's map from a light yellow to a dark blue: safe for the colour-blind, and darker means more in
# grey too. Its lightest and darkest ends are left out, so that cells differ from paper and from numbers.
_MAP, _LIGHTEST, _DARKEST = "YlGnBu", 0.06, 0.88
_ON_LIGHT, _ON_DARK = "#101418", "#fafafa"
_TURN = 0.3  # luminance below which numbers are light
_ACROSS = 14  # cells that fit side by side
_MOST_PANELS = 3
_LEAST_SPAN = 0.02  # of accuracies


@dataclass(frozen=True)
class Measure:
    """One row of panels: its title, and the value of a cell.

    ``column`` is what is declared of the number that runs are compared by; None of removals supported, whose
    colours are on a log scale.
    """

    title: str
    column: Column | None = None

    def value(self, cell: Cell) -> float | None:
        """Return the number behind the colour."""
        return cell.supported if self.column is None else cell.main

    def words(self, cell: Cell) -> str:
        """Return what is written in the cell."""
        value = self.value(cell)
        if value is None:
            return ""
        if self.column:
            share = drawing.is_share(self.column)
            return f"{value:.3f}" if share else formatted(self.column.format, value)
        if cell.served_all == cell.seeds:
            return f"all {text.number(cell.requests)}"
        return f"≥ {text.number(value)}" if cell.at_least else text.number(value)


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
    curves = (draw_tradeoff(runs), draw_std(runs))
    return [*draw_heat_maps(runs), *(drawn for drawn in curves if drawn)]


@style.styled()
def draw_heat_maps(runs: Sequence[Run]) -> list[style.Drawn]:
    """Draw accuracy and removals supported over two swept settings, a column of panels a method.

    As many methods as fit stand in one figure, the others in further ones, on the same scale of colours.
    """
    pair = axes(runs)
    if pair is None:
        return []
    every = swept(runs, *pair)
    places = [at for method in every for at in method.cells]
    ticks = (sorted({a for a, _ in places}), sorted({b for _, b in places}))
    across = max(1, min(_MOST_PANELS, _ACROSS // len(ticks[0])))
    chunks = [every[i : i + across] for i in range(0, len(every), across)]
    cells = [cell for method in every for cell in method.cells.values()]
    main = main_column(run.columns for run in runs)
    able = [Measure(text.capital(main[1].head), main[1])] if main else []
    able.append(Measure("Removals supported"))
    measures = [m for m in able if any(m.value(cell) is not None for cell in cells)]
    said = guarantees.which_std(runs) if SWEPT[1] in pair else ""
    return [
        _heat_maps(chunk, measures, pair, ticks, cells, f"grid_{i}" if i > 1 else "grid", said)
        for i, chunk in enumerate(chunks if measures else [], start=1)
    ]


def _heat_maps(
    shown: Sequence[SweptMethod],
    measures: Sequence[Measure],
    pair: tuple[str, str],
    ticks: tuple[list[float], list[float]],
    cells: Sequence[Cell],
    name: str,
    said: str,
) -> style.Drawn:
    height = 0.3 + len(measures) * (0.95 + 0.36 * max(len(ticks[1]), 2))
    width = drawing.WIDTH if len(shown) > 1 else min(drawing.WIDTH, 2.6 + 0.75 * len(ticks[0]))
    figure, panels = style.canvas(width, height, len(shown), [len(shown)] * (len(measures) - 1))
    names = [drawing.wrapped(method.label, 74 // len(shown)) for method in shown]
    lines = max(name.count("\n") + 1 for name in names)
    for place, ax in enumerate(panels):
        row, column = divmod(place, len(shown))
        for x, a in enumerate(ticks[0]):
            for y, b in enumerate(ticks[1]):
                _square(ax, x, y, shown[column].cells.get((a, b)), measures[row], cells)
        _frame(ax, pair, ticks, first=column == 0)
        ax.set_title(names[column], fontsize=9.5, fontweight="normal")
        if column == 0:
            above = (0, 8 + 12 * lines)
            ax.annotate(measures[row].title, (0, 1), above, "axes fraction", "offset points", weight="bold")
    title = f"{' and '.join(m.title for m in measures).capitalize()} over {' and '.join(map(_short, pair))}"
    return style.render(figure, name, title, f"{_caption(measures, cells)} {said}".strip())


def _square(ax: Axes, x: int, y: int, cell: Cell | None, measure: Measure, cells: Sequence[Cell]) -> None:
    corner, value = (x - 0.5, y - 0.5), None if cell is None else measure.value(cell)
    if cell is None or value is None:
        blank = Rectangle(corner, 1, 1, facecolor="none", edgecolor=style.GRID, hatch="////", lw=0)
        ax.add_patch(blank)
        return
    share = _share(value, [v for c in cells if (v := measure.value(c)) is not None], measure)
    colour = to_rgb(colormaps[_MAP](_LIGHTEST + (_DARKEST - _LIGHTEST) * share))
    ax.add_patch(Rectangle(corner, 1, 1, facecolor=to_hex(colour), edgecolor=style.PAPER, lw=1))
    words = measure.words(cell)
    ink = _ON_DARK if _luminance(colour) < _TURN else _ON_LIGHT
    most = max(c.seeds for c in cells)
    fewer = f"\n{cell.seeds} of {most} seeds" if cell.seeds < most else ""
    ax.text(x, y, words + fewer, color=ink, ha="center", va="center", fontsize=7 if fewer else 8.5)


def _share(value: float, every: Sequence[float], measure: Measure) -> float:
    """Return where a value lies between the smallest and the largest, from 0 to 1."""
    if measure.column is None:
        every, value = [log(max(v, 1.0)) for v in every], log(max(value, 1.0))
    # Noise of single test rows gets no colours of its own.
    least = _LEAST_SPAN if measure.column and drawing.is_share(measure.column) else 1e-9
    low, high = min(min(every), max(every) - least), max(every)
    return (value - low) / (high - low)


def _luminance(colour: tuple[float, float, float]) -> float:
    """Return the relative luminance of an sRGB colour (WCAG 2), 0 for black and 1 for white."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _frame(ax: Axes, pair: tuple[str, str], ticks: tuple[list[float], list[float]], first: bool) -> None:
    x, y = ticks
    ax.set_xlim(-0.5, len(x) - 0.5)
    ax.set_ylim(-0.5, len(y) - 0.5)
    ax.set_xticks(range(len(x)), [text.setting(v) for v in x])
    ax.set_yticks(range(len(y)), [text.setting(v) for v in y] if first else [""] * len(y))
    ax.set_xlabel(_short(pair[0]))
    ax.set_ylabel(_short(pair[1]) if first else "")
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)


def _short(key: str) -> str:
    """Return a setting's name without its group where it is the unlearner's, as everywhere in the report."""
    return key.removeprefix("unlearner.")


def _caption(measures: Sequence[Measure], cells: Sequence[Cell]) -> str:
    seeds = max(cell.seeds for cell in cells)
    caption = "One cell a run" + (f", the mean over up to {seeds} seeds" if seeds > 1 else "")
    caption += "; darker is more, on the same scale in every panel of a row."
    if any(m.column is None for m in measures):
        caption += (
            " Removals supported: requests served before the first retraining or refusal; 'all' and ≥ where "
            "neither ever came, so that it might have been more. Their colours are on a log scale."
        )
    return caption + " Hatched: not run, failed, or without this number."
