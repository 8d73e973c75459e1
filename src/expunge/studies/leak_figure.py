"""The picture of ``leak``: delta needed against epsilon, and what was claimed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from expunge.certificate.empirical import Curve
from expunge.linear.rows import Array
from expunge.report.figures import style
from expunge.report.read import text

_PANELS = {
    "Published: the decision tells": {
        "retrain": "retrains at the limit",
        "refuse": "refuses at the limit",
        "corrected": "corrected updates",
    },
    "Published: the residual depends on b": {
        "rounded": "u = b - round(b)",
        "away": "u = -budget sign(b)",
        "constant": "u constant",
    },
    "Noise at release": {
        "edge": "likelihood ratio, w~ at the edge",
        "all": "likelihood ratio, all releases",
        "one": "likelihood ratio, one release",
        "replay": "would the published have retrained?",
    },
}
_FLOOR, _TOP = 1e-5, 1.6
_MARKS = ("o", "s", "^", "D")
_CLAIM: dict[str, Any] = {"color": style.INK, "lw": 1.6, "ls": (0, (6, 2))}


def draw(curves: Mapping[str, Curve], epsilons: Array, claim: Mapping[str, float], draws: int) -> style.Drawn:
    """Draw a panel for each kind of attack, all with the same axes, and in each what was claimed.

    ``curves``: attack -> what it found at ``epsilons``; ``claim``: epsilon and delta; ``draws``: pairs.
    """
    with style.styled():
        figure, axes = style.canvas(12.0, 5.2, len(_PANELS))
        for ax, (title, labels) in zip(axes, _PANELS.items(), strict=True):
            keys = [
                _curve(ax, curves[name], epsilons, k, label) for k, (name, label) in enumerate(labels.items())
            ]
            claimed = max((curves[name].claimed for name in labels), key=lambda values: values.sum())
            ax.plot(epsilons, np.maximum(claimed, _FLOOR / 10), **_CLAIM, zorder=4)
            ax.plot(claim["epsilon"], claim["delta"], marker="*", ms=13, color=style.INK, zorder=5)
            ax.set(title=title, xlabel="epsilon", yscale="log", ylim=(_FLOOR, _TOP), xlim=(0, epsilons[-1]))
            ax.yaxis.set_major_locator(LogLocator(numticks=12))
            style.plain_numbers(ax.yaxis)
            keys.append(Line2D([], [], **_CLAIM, label="claimed"))
            ax.legend(handles=keys, loc="upper left", bbox_to_anchor=(-0.02, -0.14), handlelength=2.6)
        for ax in axes[1:]:
            ax.tick_params(labelleft=False)
        axes[0].set_ylabel("delta needed (log scale)")
        at = f"epsilon {text.number(claim['epsilon'])}, delta {text.number(claim['delta'])}"
        caption = (
            f"{draws:,} pairs. Thick: the estimate, where it is above 0. Thin: the most that it can "
            "be; shaded: down to the least,\nwhere that is above 0 (exact 99% limits). "
            f"Star: what is promised, {at}. The second panel is exact."
        )
        figure.supxlabel(caption, x=0.01, ha="left", fontsize=9, color=style.MUTED)
        return style.render(figure, "leak", "Delta needed against epsilon, and claimed", caption)


def _curve(ax: Axes, curve: Curve, epsilons: Array, place: int, label: str) -> Line2D:
    look: Any = {"color": style.SERIES[place], "marker": _MARKS[place], "ms": 4, "lw": 1.8}
    needed = curve.needed
    shown = np.where(needed.estimate > 0, needed.estimate, np.nan)
    ax.plot(epsilons, shown, **look, markevery=(place, 5))
    if not np.array_equal(needed.low, needed.high):
        ax.plot(
            epsilons,
            needed.high,
            **{**look, "lw": 0.8, "ms": 3, "mfc": style.PAPER},
            markevery=(place + 2, 5),
        )
        limits = np.maximum(needed.low, _FLOOR / 10), needed.high
        ax.fill_between(epsilons, *limits, where=needed.low > 0, color=look["color"], alpha=0.15, lw=0)
    return Line2D([], [], **look, label=label)
