"""The picture of ``residual_bounds``: bounds and residuals against the number of removals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from expunge.certificate import Guarantee
from expunge.report.figures import style
from expunge.report.read import text

# Column of the summary -> the cell, the column of its record, and the line; published ones first, then ours.
_CURVES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "worst_case": ("fresh", "worst_case", {"ls": "-", "marker": "s", "color": style.SERIES[7]}),
    "data_dependent": ("fresh", "data_dependent", {"ls": "-", "marker": "D", "color": style.SERIES[1]}),
    "true": ("fresh", "true", {"ls": "--", "marker": "o", "color": style.INK}),
    "third_order": ("fresh", "third_order", {"ls": "-", "marker": "^", "color": style.SERIES[0]}),
    "corrected": ("corrected", "true", {"ls": ":", "marker": "v", "color": style.SERIES[2]}),
}
_BUDGET: dict[str, Any] = {"color": style.MUTED, "lw": 1.2, "ls": (0, (6, 2))}


def draw(
    records: Sequence[dict[str, Any]],
    guarantee: Guarantee,
    names: Mapping[str, str],
    sizes: Mapping[Any, str],
) -> style.Drawn:
    """Draw a panel for each size of a request, all with the same axes, the guarantee's budget across.

    ``names``: curve -> its name in the legend; ``sizes``: size of a request -> its name in the panel's title.
    """
    with style.styled():
        figure, axes = style.canvas(1.4 + 3.3 * len(sizes), 4.9, len(sizes))
        for ax in axes[1:]:
            ax.sharex(axes[0])
            ax.sharey(axes[0])
            ax.tick_params(labelleft=False)
        for ax, (size, words) in zip(axes, sizes.items(), strict=True):
            own = {record["update"]: record for record in records if record["batch_size"] == size}
            _panel(ax, own, guarantee.budget)
            ax.set_title(f"Removed {words}")
        axes[0].set_ylabel("norm of the gradient residual (log scale)")
        looks = {names[curve]: look for curve, (_, _, look) in _CURVES.items()}
        keys = [Line2D([], [], label=name, ms=5, lw=1.8, **look) for name, look in looks.items()]
        at = f"epsilon {text.number(guarantee.epsilon)}, delta {text.number(guarantee.delta)}"
        style.legend(figure, [*keys, Line2D([], [], **_BUDGET, label=f"budget at {at}")], columns=2)
        title = "Bounds on the gradient residual, and the residual itself"
        caption = (
            "Every bound is charged for the very same removals; a model may be released while its bound is "
            "below the budget."
        )
        return style.render(figure, "residual_bounds", title, caption)


def _panel(ax: Axes, records: dict[str, dict[str, Any]], budget: float) -> None:
    for update, column, look in _CURVES.values():
        x, y = records[update]["removed"], records[update][column]
        ax.plot(x, y, **look, lw=1.8, ms=4, markevery=max(1, len(x) // 8))
    ax.axhline(budget, **_BUDGET, zorder=1)
    ax.set(xscale="log", yscale="log", xlabel="rows removed (log scale)")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(numticks=12))
        style.plain_numbers(axis)
