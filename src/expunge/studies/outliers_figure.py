"""The picture of ``outliers``: the digits whose removal changes the model most and least."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from expunge.charts import style
from expunge.charts.pictures import picture

_TITLES = {
    "most": "Digits whose removal changes the model most",
    "least": "Digits whose removal changes the model least",
}
_WRONG = style.SERIES[1]
_PAD = 0.14  # above and below a strip with what stands under it, in inches
_GAP = 0.22  # between two digits, in widths of a digit


def draw(records: Sequence[dict[str, Any]], images: NDArray[Any], unit: float) -> style.Drawn:
    """Draw a strip of digits for each end and class, the most extreme on the left.

    ``images``: (n, height, width) of all training rows, as stored; ``unit``: the stored value of full ink.
    """
    strips = [(end, record) for end in _TITLES for record in records]
    columns = len(strips[0][1]["most"]["row"])
    caption = "Below each: its row and the norm of the step that removes it; coloured if misclassified."

    def paint(figure: Figure, axes: NDArray[Any]) -> None:
        for ax, (end, record) in zip(axes.flat, strips, strict=True):
            _strip(ax, record[end], images, unit)
            ax.set_ylabel(f"class {record['class']}")
            if record is records[0]:
                ax.set_title(_TITLES[end])
        figure.set_layout_engine("constrained", h_pad=_PAD)
        figure.supxlabel(caption, x=0.01, ha="left", fontsize=9, color=style.MUTED)

    title = "Digits by how much their removal changes the model"
    size = 0.8 * columns + 0.6, 1.15 * len(strips) + 0.8
    return picture("outliers", title, caption, size, (len(strips), 1), paint)


def _strip(ax: Axes, shown: dict[str, Any], images: NDArray[Any], unit: float) -> None:
    height, width = images.shape[1:]
    pitch = width + round(_GAP * width)
    joined = np.zeros((height, pitch * len(shown["row"]) - (pitch - width)))
    for place, row in enumerate(shown["row"]):
        joined[:, place * pitch : place * pitch + width] = images[row]
    ax.imshow(joined, cmap="gray_r", vmin=0, vmax=unit, interpolation="nearest")
    labels = [f"{row}\n{norm:#.2g}" for row, norm in zip(shown["row"], shown["norm"], strict=True)]
    ax.set_xticks([place * pitch + (width - 1) / 2 for place in range(len(labels))], labels)
    ax.tick_params(length=0, labelsize=8, pad=2)
    for label, margin in zip(ax.get_xticklabels(), shown["margin"], strict=True):
        label.set_color(style.INK if margin > 0 else _WRONG)
