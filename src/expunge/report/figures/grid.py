"""Heat maps of a sweep over two settings, a panel a method and number; and the curves that go with them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import log
from pathlib import Path
from typing import Any

from expunge.charts import style
from expunge.charts.chart import Spec
from expunge.charts.heat_maps import heat_maps
from expunge.charts.rendering import rendered
from expunge.core import text
from expunge.core.columns import Column
from expunge.core.intervals import Interval
from expunge.record.columns import main_column
from expunge.record.folders import guarantees
from expunge.record.folders.runs import Run
from expunge.record.folders.sweeps import LeftOut
from expunge.report.figures import drawing
from expunge.report.figures.sweeps import draw_std, draw_tradeoff
from expunge.report.tables.columns import formatted
from expunge.report.tables.grids import SWEPT, Cell, Pair, SweptMethod, asked, axes, swept
from expunge.report.tables.table_rows import ordered

_LEAST_SPAN = 0.02  # of accuracies


@dataclass(frozen=True)
class Measure:
    """One row of panels: its title, and the number of a cell.

    ``column`` is what is declared of the number that runs are compared by; None of removals supported, whose
    colours are on a log scale.
    """

    title: str
    column: Column | None = None

    def value(self, cell: Cell | None) -> Interval | None:
        """Return the number behind the colour."""
        return None if cell is None else cell.supported if self.column is None else cell.main

    def number(self, value: float) -> str:
        """Return a number as it is written in a cell."""
        if self.column is None:
            return text.number(value)
        return f"{value:.3f}" if drawing.is_share(self.column) else formatted(self.column.format, value)

    def square(self, cell: Cell | None, seeds: int) -> dict[str, Any]:
        """Return what is shown of a cell: its number, its words, what the tooltip says, of many ``seeds``."""
        value = self.value(cell)
        if cell is None or value is None:
            return {"words": text.NONE, "value": "none", "seeds": cell.seeds if cell else 0}
        words = "≥ " * (self.column is None and cell.at_least) + self.number(value.mean)
        if self.column is None and cell.served_all == cell.seeds:
            words = f"all {text.number(cell.requests)}"
        low, high = self.number(value.low), self.number(value.high)
        return {
            **{"share": self.shade(value.mean), "words": words, "seeds": cell.seeds},
            "fewer": f"{cell.seeds} of {seeds} seeds" if cell.seeds < seeds else "",
            "value": words + (f" [{low}, {high}]" if low != high else ""),
        }

    def shade(self, value: float) -> float:
        """Return where a number lies on the scale of the colours."""
        return log(max(value, 1.0)) if self.column is None else value

    def ends(self, cells: Sequence[Cell]) -> tuple[float, float]:
        """Return the ends of the scale; noise of single test rows gets no colours of its own."""
        every = [self.shade(value.mean) for cell in cells if (value := self.value(cell))]
        low, high = min(every), max(every)
        if self.column and drawing.is_share(self.column):
            low = min(low, high - _LEAST_SPAN)
        return (low, high) if low < high else (low - 1.0, high)


def write_grid(
    runs: Sequence[Run], folder: str | os.PathLike[str], left_out: Sequence[LeftOut] = ()
) -> list[Path]:
    """Write the figures of a sweep as PNG and SVG.

    Args:
        runs: The runs of the sweep.
        folder: Where the files go; made if there is anything to write.
        left_out: Cells of which there is no run.

    Returns:
        The paths written, PNG before SVG; none where the runs are no grid.
    """
    return [path for drawn in draw_grid(ordered(runs), left_out) for path in drawn.save(Path(folder))]


def draw_grid(runs: Sequence[Run], left_out: Sequence[LeftOut] = ()) -> list[style.Drawn]:
    """Draw heat maps and trade-off curves, as far as the runs sweep two settings, and what noise costs."""
    found = (draw_heat_maps(runs, left_out), draw_tradeoff(runs), draw_std(runs))
    return [drawn for drawn in found if drawn]


def draw_heat_maps(runs: Sequence[Run], left_out: Sequence[LeftOut] = ()) -> style.Drawn | None:
    """Draw accuracy and removals supported over two swept settings, a panel a method and number.

    All panels have all values of both settings, those that no run came of too, so that a cell that is missing
    is seen to be missing.
    """
    pair = axes(runs, left_out)
    if pair is None:
        return None
    every = swept(runs, *pair)
    gone = {(who, at): one.kind for one in left_out for who, at in asked(one, pair)}
    places = [at for method in every if len(method.cells) > 1 for at in method.cells]
    places += [at for _, at in gone]
    ticks = [sorted({at[i] for at in places}) for i in (0, 1)]
    # A method of one cell is there if the cell is one of the grid's.
    every = [m for m in every if all(at[0] in ticks[0] and at[1] in ticks[1] for at in m.cells)]
    cells = [cell for method in every for cell in method.cells.values()]
    main = main_column(run.columns for run in runs)
    able = [Measure(text.capital(main[1].head), main[1])] if main else []
    measures = [m for m in (*able, Measure("Removals supported")) if any(map(m.value, cells))]
    if not measures:
        return None
    short = [text.plain(key.removeprefix("unlearner.")) for key in pair]
    blocks = [_block(measure, every, gone, ticks, short) for measure in measures]
    title = f"{' and '.join(m.title for m in measures).capitalize()} over {' and '.join(short)}"
    seeds = max(cell.seeds for cell in cells)
    said = "One cell a run" + (f", the mean over up to {seeds} seeds" if seeds > 1 else "")
    said += "; darker is more, on the same scale in every panel of a row."
    if measures[-1].column is None:
        said += " Removals supported: requests served before the first retraining or refusal; 'all' and ≥ "
        said += "where neither ever came, so that it might have been more. Their colours are on a log scale."
    said += f" {text.NONE}: not run, or without this number. "
    said += guarantees.which_std(runs) if SWEPT[1] in pair else ""
    own = {"scale": {"color": "independent"}}
    whole = {"vconcat": blocks, "spacing": 26, "title": "", "resolve": own}
    return rendered(whole, "grid", title, said.strip())


def _block(
    measure: Measure,
    every: Sequence[SweptMethod],
    gone: Mapping[tuple[str, Pair], str],
    ticks: Sequence[Sequence[float]],
    short: Sequence[str],
) -> Spec:
    """Return the panels of a number, one a method.

    Args:
        measure: The number.
        every: The methods.
        gone: What became of the cells of which there is no run: unlearner or empty, and the two values.
        ticks: The values of both settings.
        short: What these are called.
    """
    x, y = map(_names, ticks)
    cells = [cell for method in every for cell in method.cells.values()]
    seeds = max(cell.seeds for cell in cells)
    rows: list[dict[str, Any]] = []
    for place, method in enumerate(every):
        of = {"method": method.of.label, "place": place, "number": measure.title}
        for at, names in zip(product(ticks[0], ticks[1]), product(x, y), strict=True):
            own = {"x": names[0], "y": names[1], "at": f"{short[0]} {names[0]}, {short[1]} {names[1]}"}
            rows.append({**of, **own, **measure.square(method.cells.get(at), seeds)})
            for who in (method.of.runs[0].unlearner, ""):
                if at not in method.cells and (who, at) in gone:
                    rows[-1]["words"] = gone[who, at]
    return heat_maps(rows, measure.title, (short[0], x), (short[1], y), measure.ends(cells))


def _names(values: Sequence[float]) -> list[str]:
    """Return the values of a setting in words, no two alike."""
    short = [text.setting(value) for value in values]
    return short if len(set(short)) == len(short) else [repr(value) for value in values]
