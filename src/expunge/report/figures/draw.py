"""Figures of any runs: those that their numbers ask for, of extractors, maps, a sweep, and times."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from expunge.charts import style
from expunge.record.folders.runs import Run
from expunge.record.folders.sweeps import LeftOut
from expunge.report.figures import drawing, requests
from expunge.report.figures.bounds import draw_bounded
from expunge.report.figures.cost import draw_cost
from expunge.report.figures.distance import draw_distance
from expunge.report.figures.drawing import Keyed
from expunge.report.figures.extractors import draw_extractors
from expunge.report.figures.grid import draw_grid
from expunge.report.figures.maps import draw_maps
from expunge.report.figures.sides import draw_sides
from expunge.report.figures.variance import draw_variance
from expunge.report.tables.table_rows import ordered

_DRAWN_BY: dict[str, requests.Draw] = {
    "bounded": draw_bounded,
    "line": requests.draw_lines,
    "smoothed": requests.draw_smoothed,
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


def draw_all(runs: Sequence[Run], left_out: Sequence[LeftOut] = ()) -> list[style.Drawn]:
    """Draw the figures that ``runs`` have values for, in the table's order; ``left_out`` came to no run."""
    runs = ordered(runs)
    # What a sweep is made for comes first.
    sweep = draw_grid(runs, left_out)
    drawn = (
        *sweep,
        draw_variance(runs),
        *draw_plots(runs),
        draw_extractors(runs),
        *draw_maps(runs),
        draw_cost(runs),
    )
    return [one for one in drawn if one is not None]


def draw_plots(runs: Sequence[Run]) -> list[style.Drawn]:
    """Draw the figures that the runs' own numbers ask for, by kind and then as they are declared.

    Numbers of one figure that are drawn in different ways get a figure each, and so does each with a bound.
    """
    drawers = list(dict.fromkeys(_DRAWN_BY.values()))
    groups: dict[tuple[int, str, str], list[Keyed]] = {}
    for keyed in sorted(drawing.plotted(runs, _DRAWN_BY), key=lambda keyed: keyed.plot.joins):
        by = drawers.index(_DRAWN_BY[keyed.plot.kind])
        groups.setdefault((by, keyed.plot.figure, keyed.key if by == 0 else ""), []).append(keyed)
    found, names = list[style.Drawn | None](), list[str]()
    for (by, figure, _), columns in sorted(groups.items(), key=lambda group: group[0][0]):
        names.append(re.sub(r"\W+", "_", figure))  # a file's name, from a file
        again = names.count(names[-1])
        found.append(drawers[by](runs, columns, f"{names[-1]}_{again}" if again > 1 else names[-1]))
    return [drawn for drawn in found if drawn is not None]
