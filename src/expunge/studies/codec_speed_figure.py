"""The picture of ``codec_speed``: seconds an attribute, beside what was published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from expunge.report.figures import style
from expunge.report.read import text

LABELS = {"codec": "CODEC, ties broken at random", "lcodec": "L-CODEC, ties broken by noise"}
MARKERS = {"codec": "o", "lcodec": "D"}


def draw(
    records: Sequence[dict[str, Any]], published: Mapping[str, tuple[float, float]], n: int
) -> style.Drawn:
    """Draw a line for each attribute, slowest on top, with a dot for each method; n samples.

    ``published``: method -> fastest and slowest attribute, in seconds.
    """
    times = {(r["attribute"], r["method"]): max(float(r["seconds"]), 1e-6) for r in records}
    names = list(dict.fromkeys(r["attribute"] for r in records))
    names.sort(key=lambda name: max(v for (a, _), v in times.items() if a == name))
    methods = [method for method in LABELS if any(m == method for _, m in times)]
    with style.styled():
        figure, (ax,) = style.canvas(7.4, 2.0 + 0.19 * len(names))
        keys: list[Line2D] = []  # for each method its dot, and under it the band that was published
        for method in methods:
            band: Any = {"color": style.SERIES[list(LABELS).index(method)], "alpha": 0.16}
            dot: Any = {"color": band["color"], "ls": "none", "marker": MARKERS[method]}
            at = [(times[name, method], y) for y, name in enumerate(names) if (name, method) in times]
            x, y = zip(*at, strict=True)
            ax.axvspan(*published[method], **band, lw=0)
            ax.plot(x, y, **dot, ms=5, mew=0.5, mec=style.PAPER)
            keys.append(Line2D([], [], **dot, label=LABELS[method], ms=6))
            keys.append(Line2D([], [], **band, label="published, n = 20,000", lw=8))
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(numticks=10))
        style.plain_numbers(ax.xaxis)
        ax.set_yticks(range(len(names)), [text.plain(name) for name in names])
        ax.tick_params(axis="y", labelsize=8, length=0)
        ax.set_ylim(-0.7, len(names) - 0.3)
        title = "Time to select for one attribute"
        ax.set(title=title, xlabel=f"seconds for one FOCI (log scale; n = {n:,})", ylabel="target attribute")
        style.legend(figure, keys, columns=2)
        caption = "Dots: each attribute as the target. Bands: the range published for n = 20,000."
        return style.render(figure, "codec_speed", title, caption)
