"""How times grow with size: series of two methods or more, their table and their picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.benchmarks.tables import short, table, times
from expunge.report.figures import style

FIXED = "ndpk"  # sizes that may stand still while another grows
MARKS = "os^Dv"  # of the methods, in their order


def series(
    name: str,
    sizes: Sequence[int],
    found: Sequence[Mapping[str, float | None]],
    fixed: Mapping[str, int],
    over: tuple[str, str] | None = None,
) -> dict[str, Any]:
    """Put together what was measured while one size grew.

    Args:
        name: Of the size that grows.
        sizes: Its values.
        found: For each of them the seconds of every method, None where one was not measured.
        fixed: The other sizes.
        over: Two methods, the first to be divided by the second; the first two where none are named.

    Returns:
        The same with ``ratio``, of those two, and ``exponent``, the slope of a straight line through the
        logarithms.
    """
    taken = {key: [one[key] for one in found] for key in found[0]}
    first, second = (taken[key] for key in over or list(taken)[:2])
    ratio = [a / b if a and b else None for a, b in zip(first, second, strict=True)]
    slopes = {key: _slope(sizes, values) for key, values in taken.items()}
    return {"name": name, "sizes": list(sizes), **fixed, "seconds": taken, "ratio": ratio, "exponent": slopes}


def _slope(sizes: Sequence[int], values: Sequence[float | None]) -> float | None:
    known = [(size, value) for size, value in zip(sizes, values, strict=True) if value]
    if len(known) < 2:
        return None
    x, y = np.log(known).T
    return float(np.polyfit(x, y, 1)[0])


def lines(found: Sequence[Mapping[str, Any]], heads: str, factor: float = 1) -> list[str]:
    """A table of each series, in Markdown.

    Args:
        found: The series.
        heads: Of the columns after that of the sizes: every method, and the ratio.
        factor: What the tables show of a second.
    """
    written: list[str] = []
    for one in found:
        rows = [
            [
                f"{size:,}",
                *("" if s is None else short(factor * s) for s in taken),
                "" if ratio is None else times(ratio),
            ]
            for size, ratio, *taken in zip(one["sizes"], one["ratio"], *one["seconds"].values(), strict=True)
        ]
        slopes = ["" if slope is None else f"{slope:.2f}" for slope in one["exponent"].values()]
        rows.append(["fitted exponent", *slopes, ""])
        fixed = ", ".join(f"{key} = {one[key]:,}" for key in FIXED if key in one)
        written += ["", *table(f"{one['name']} ({fixed})|{heads}", rows)]
    return written[1:]


def draw(
    panels: Sequence[tuple[Mapping[str, Any], str]],
    methods: Mapping[str, str],
    axis: tuple[str, float],
    name: str,
    title: str,
    caption: str,
) -> style.Drawn:
    """Time against every size, all axes logarithmic.

    Args:
        panels: Series, and the label of its sizes, which may name the fixed ones.
        methods: Key -> what the legend says.
        axis: Label of the times, and the seconds that make one on it.
        name: Of the file.
        title: Of the figure.
        caption: Of the figure.
    """
    with style.styled():
        figure, axes = style.canvas(round(1.8 + 2.8 * len(panels), 1), 3.6, panels=len(panels))
        for ax, (one, label) in zip(axes, panels, strict=True):
            panel(ax, one, list(methods), label.format(**one), axis[1])
        low, high = min(ax.get_ylim()[0] for ax in axes), max(ax.get_ylim()[1] for ax in axes)
        for ax in axes:
            ax.set_ylim(low, high)
        axes[0].set_ylabel(axis[0])
        handles = [
            style.Line2D([], [], color=colour, marker=mark, lw=1.8, label=what)
            for what, colour, mark in zip(methods.values(), style.SERIES, MARKS, strict=False)
        ]
        style.legend(figure, handles, columns=2)
        return style.render(figure, name, title, caption)


def panel(
    ax: style.Axes, found: Mapping[str, Any], methods: Sequence[str], label: str, unit: float = 1
) -> None:
    """A line for each method against size, both axes logarithmic; of two, with the slope of a straight line.

    Of more the slopes would stand on each other; they are in the table.

    Args:
        ax: Where.
        found: A series.
        methods: Keys of its ``seconds``.
        label: Of the axis of sizes.
        unit: Seconds that make one on the other axis.
    """
    for key, colour, mark in zip(methods, style.SERIES, MARKS, strict=False):
        known = [(size, s / unit) for size, s in zip(found["sizes"], found["seconds"][key], strict=True) if s]
        sizes, taken = zip(*known, strict=True)
        ax.loglog(sizes, taken, color=colour, marker=mark, lw=1.8)
        if found["exponent"][key] is not None and len(methods) == 2:
            place = len(sizes) // 2
            ax.annotate(
                f"{found['name']}^{found['exponent'][key]:.2f}",
                (sizes[place], taken[place]),
                (0, 9),
                textcoords="offset points",
                ha="right",
                color=colour,
            )
    ax.set_xlabel(label)
    ax.set_xticks(found["sizes"], [_tick(size) for size in found["sizes"]])
    ax.minorticks_off()
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.margins(x=0.1, y=0.12)


def _tick(size: int) -> str:
    return f"{size / 1000:.3g}k" if size >= 1000 else str(size)
