"""Figures of any runs: those that their numbers ask for, of extractors, maps, a sweep, and times."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from expunge.record.columns import merged
from expunge.report import style
from expunge.report.bounded_figure import draw_bounded
from expunge.report.cost_figure import draw_cost
from expunge.report.drawing import Keyed
from expunge.report.extractor_figures import draw_extractors
from expunge.report.grid import draw_grid
from expunge.report.identity_figure import draw_sides
from expunge.report.map_figures import draw_maps
from expunge.report.network_figures import draw_distance, draw_lines, draw_smoothed
from expunge.report.rows import ordered
from expunge.report.runs import Run

_DRAWN_BY: dict[str, Callable[[Sequence[Run], Sequence[Keyed], str], style.Drawn | None]] = {
    "bounded": draw_bounded,
    "line": draw_lines,
    "smoothed": draw_smoothed,
    "stem": draw_distance,
    "pair": draw_distance,
    "removed": draw_sides,
    "rest": draw_sides,
}
"""``Plot.kind`` -> what draws it, in the order of the figures; others are no figures along the requests."""


def write_run_figures(run: Run, folder: str | os.PathLike[str]) -> list[Path]:
    """Write the figures of one finished run, as far as it has the values: all but the comparison of times.

    Args:
        run: The run; only its folder's files are used.
        folder: Where the files go; made if it is not there.

    Returns:
        The paths written, PNG before SVG.
    """
    return [path for drawn in (*draw_plots([run]), *draw_maps([run])) for path in drawn.save(Path(folder))]


def draw_all(runs: Sequence[Run]) -> list[style.Drawn]:
    """Draw the figures that ``runs`` have values for, in the table's order of runs."""
    runs = ordered(runs)
    # What a sweep is made for comes first.
    drawn = (*draw_grid(runs), *draw_plots(runs), draw_extractors(runs), *draw_maps(runs), draw_cost(runs))
    return [one for one in drawn if one is not None]


def draw_plots(runs: Sequence[Run]) -> list[style.Drawn]:
    """Draw the figures that the runs' own numbers ask for, by kind and then as they are declared.

    Numbers of one figure that are drawn in different ways get a figure each.
    """
    kinds = list(_DRAWN_BY)
    groups: dict[tuple[str, int], list[Keyed]] = {}
    for key, column in merged(run.columns for run in runs).items():
        if column.plot and column.plot.kind in kinds:
            by = [_DRAWN_BY[kind] for kind in kinds].index(_DRAWN_BY[column.plot.kind])
            groups.setdefault((column.plot.figure, by), []).append((key, column))
    found, names = [], set[str]()
    for (figure, by), columns in sorted(groups.items(), key=lambda group: group[0][1]):
        name = re.sub(r"\W+", "_", figure)  # a file's name, from a file
        name = f"{name}_{kinds[by]}" if name in names else name
        names.add(name)
        columns.sort(key=lambda keyed: keyed[1].plot is not None and keyed[1].plot.joins)
        found.append(_DRAWN_BY[kinds[by]](runs, columns, name))
    return [drawn for drawn in found if drawn is not None]
