"""What noise costs: what runs are compared by against its standard deviation, a line for each guarantee."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from matplotlib.axes import Axes

from expunge.core.columns import Column
from expunge.record.columns import main_column
from expunge.report.figures import drawing, style
from expunge.report.read import guarantees, text
from expunge.report.read.run_settings import alike, labels, settings
from expunge.report.read.runs import Run, finite

_STD, _RESIDUAL, _RELEASES = "unlearner.std", "unlearner.residual", "unlearner.releases"
_FEWEST = 3  # points of a line


class _NoiseLine(NamedTuple):
    """Runs that differ in nothing but the noise, and in their seed."""

    runs: list[Run]
    label: str
    colour: str


def std_of(run: Run) -> float | None:
    """Return the standard deviation of a run's noise: as it was set, or as the run derived it."""
    found = finite(run.setting(_STD))
    return guarantees.noise(run, "std") if found is None else found


@style.styled()
def draw_std(runs: Sequence[Run]) -> style.Drawn | None:
    """Draw one line a method and number of releases; None where none has three points, or too many have.

    Where lines differ in how many releases they cover, the distance that the noise hides is a second axis:
    a larger number needs a larger std for the same distance.
    """
    main = main_column(run.columns for run in runs)
    lines = _lines([run for run in runs if run.certified])
    if main is None or not 0 < len(lines) <= style.MOST:
        return None
    key, column = main
    covered = {guarantees.noise(line.runs[0], "releases") for line in lines} - {None}
    panels = 2 if len(covered) > 1 else 1
    figure, axes = style.canvas(drawing.WIDTH, 3.6 + 0.2 * len(lines), panels)
    for ax, at in zip(axes, ("std", "sensitivity"), strict=False):
        for line in lines:
            _draw(ax, line, key, at)
        ax.set_xscale("log")
        style.plain_numbers(ax.xaxis)
        if drawing.is_share(column):
            drawing.room(ax)
    _frame(axes, column, panels)
    style.legend(figure, [drawing.key(line.label, line.colour, marker="o", ms=5) for line in lines], 1)
    title = f"{text.capital(column.head)} against std"
    return style.render(figure, "std", title, _caption(lines, panels))


def _lines(runs: Sequence[Run]) -> list[_NoiseLine]:
    """Return the lines that have points enough; what is published knows no number of releases."""
    able = [run for run in runs if std_of(run) is not None]
    without = {_RESIDUAL, *(key for run in able for key in settings(run) if key.endswith(".std"))}
    noisy = [run for run in able if guarantees.noise(run, "releases") is not None]
    other = [run for run in able if guarantees.noise(run, "releases") is None]
    groups = [*alike(noisy, without), *alike(other, {*without, _RELEASES})]
    groups = [group for group in groups if len({std_of(run) for run in group}) >= _FEWEST]
    said = labels(groups, without)
    return [_NoiseLine(group, said[i], style.SERIES[i % style.MOST]) for i, group in enumerate(groups)]


def _draw(ax: Axes, line: _NoiseLine, key: str, at: str) -> None:
    """Draw the means over seeds by std, or by the distance that it hides, where there is one."""
    places: dict[float, list[float]] = {}
    for run in line.runs:
        x, value = std_of(run) if at == "std" else guarantees.noise(run, at), run.number(key)
        if x and value is not None:
            places.setdefault(x, []).append(value)
    points = sorted((x, fmean(values)) for x, values in places.items())
    along, means = [point[0] for point in points], [point[1] for point in points]
    ax.plot(along, means, color=line.colour, marker="o", ms=4.5, lw=1.6, alpha=0.9)


def _frame(axes: Sequence[Axes], column: Column, panels: int) -> None:
    where = text.capital(column.head)
    titles = [f"{where} against std", "Against the distance hidden"]
    units = ["std of the noise (log scale)", "distance to exact retraining (log scale)"]
    for ax, title, unit in zip(axes, titles, units, strict=False):
        ax.set(title=title, xlabel=unit)
    axes[0].set_ylabel(f"{column.head} after the last request")


def _caption(lines: Sequence[_NoiseLine], panels: int) -> str:
    said = [guarantees.which_std(run for line in lines for run in line.runs)]
    if panels == 2:
        said.append(
            "More releases that are covered need a larger std, by the square root of their number, to hide "
            "the same distance to exact retraining (right)."
        )
    seeds = max(len({str(run.summary.get("seed")) for run in line.runs}) for line in lines)
    if len({guarantees.noise(line.runs[0], "releases") is None for line in lines}) > 1:
        said.append("These are not the same thing: what a std costs is compared, not what it buys.")
    return " ".join([*said, f"Each point is the mean over up to {seeds} seeds." if seeds > 1 else ""]).strip()
