"""How times grow with size: series of two methods or more, their table and their picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from experiments.benchmarks.tables import short, table, times
from expunge.charts import chart, style
from expunge.charts.rendering import rendered

SHORT = "datum.value >= 1e6 ? format(datum.value / 1e6, '.3~r') + 'M' : format(datum.value, ',')"
FIXED = "ndpk"  # sizes that may stand still while another grows
MARKS = ("circle", "square", "triangle-up", "diamond", "triangle-down")  # of the methods, in their order


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
    taken = [t / axis[1] for one, _ in panels for times in one["seconds"].values() for t in times if t]
    drawn = [panel(one, methods, label.format(**one), axis, taken) for one, label in panels]
    return rendered(alt.concat(*drawn, columns=chart.columns(len(drawn))), name, title, caption)


def panel(
    found: Mapping[str, Any],
    methods: Mapping[str, str],
    label: str,
    axis: tuple[str, float],
    room: Sequence[float] | None = None,
    wide: int = 260,
    columns: int = 2,
) -> alt.LayerChart:
    """A line for each method against size, both axes logarithmic; of two, with the slope of a straight line.

    Of more the slopes would stand on each other; they are in the table.

    Args:
        found: A series.
        methods: Key of its ``seconds`` -> what the legend says.
        label: Of the axis of sizes.
        axis: Label of the times, and the seconds that make one on it.
        room: What else must have its place on the axis of times.
        wide: Pixels.
        columns: Of the legend.
    """
    rows = [
        {"method": said, "x": size, "y": s / axis[1]}
        for key, said in methods.items()
        for size, s in zip(found["sizes"], found["seconds"][key], strict=True)
        if s
    ]
    names = list(methods.values())
    legend = chart.legend(names, columns=columns)
    across = alt.X(**chart.log_axis("x", label, found["sizes"]))
    across["axis"] = alt.Axis(values=found["sizes"], labelExpr=SHORT)
    of = alt.Chart(chart.data(rows)).encode(
        x=across,
        y=alt.Y(**chart.log_axis("y", axis[0], [*(row["y"] for row in rows), *(room or ())])),
        color=alt.Color(
            "method:N", scale=alt.Scale(domain=names, range=list(style.SERIES)[: len(names)]), legend=legend
        ),
        opacity=chart.picked(),
    )
    marks = alt.Scale(domain=names, range=list(MARKS)[: len(names)])
    shape = alt.Shape("method:N", scale=marks, legend=legend)
    layers = [
        of.mark_line(),
        of.mark_point(filled=True, size=50).encode(shape=shape, tooltip=["method:N", "x:Q", "y:Q"]),
    ]
    if len(methods) == 2:
        layers.append(
            of.mark_text(align="right", dx=-4, dy=-10)
            .encode(text="words:N")
            .properties(data=chart.data(_slopes(found, methods, rows)))
        )
    return alt.layer(*layers).properties(width=wide, height=220)


def _slopes(
    found: Mapping[str, Any], methods: Mapping[str, str], rows: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Where on each line its slope is written."""
    written = []
    for key, said in methods.items():
        own, slope = [row for row in rows if row["method"] == said], found["exponent"][key]
        if slope is not None:
            written.append({**own[len(own) // 2], "words": f"{found['name']}^{slope:.2f}"})
    return written
