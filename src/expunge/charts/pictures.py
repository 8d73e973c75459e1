"""Pictures of images, by matplotlib: what is no chart of numbers."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from expunge.charts.style import INK, MUTED, PAPER, Drawn

if TYPE_CHECKING:  # slow to import, and most runs have no pictures
    from matplotlib.figure import Figure

HEAT = "inferno"
"""Matplotlib's map of the colours of what is laid over an image."""
_OPAQUE = 0.75  # of it, where it is at its largest
_LOOK: Any = {
    **{
        "font.sans-serif": ["DejaVu Sans"],
        "svg.fonttype": "none",
        "xtick.color": MUTED,
        "ytick.color": MUTED,
    },
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), INK),
    **{"axes.titlesize": 11.5, "axes.titleweight": "bold", "axes.titlelocation": "left"},
    "text.parse_math": False,  # names may hold dollar signs
}


def picture(
    name: str,
    title: str,
    caption: str,
    size: tuple[float, float],
    shape: tuple[int, int],
    paint: Callable[[Figure, NDArray[Any]], None],
) -> Drawn:
    """Return a figure of pictures as PNG (160 dpi) and SVG: the same gives the same bytes on a machine.

    Args:
        name: Of its files.
        title: What it is.
        caption: The sentences under it.
        size: Width and height, in inches.
        shape: How many rows and columns of pictures there are.
        paint: Fills them, given the figure and the (rows, columns) axes.
    """
    from matplotlib import rc_context, rcdefaults, rcParams
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    png, svg = io.BytesIO(), io.StringIO()
    with rc_context():
        rcdefaults()  # a reader's matplotlibrc alters nothing
        rcParams.update(_LOOK)
        rcParams["svg.hashsalt"] = f"expunge-{name}"
        figure = Figure(figsize=size, layout="constrained", facecolor=PAPER)
        FigureCanvasAgg(figure)
        axes = figure.subplots(*shape, squeeze=False)
        for ax in axes.flat:
            ax.set(xticks=[], yticks=[], facecolor="none")
            ax.spines[:].set_visible(False)
        paint(figure, axes)
        figure.savefig(png, format="png", dpi=160, metadata={"Software": None})
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(svg, format="svg", metadata={**nothing, "Title": title}, facecolor="none")
    return Drawn(name, title, caption, svg.getvalue(), png.getvalue())


def unit(images: NDArray[Any]) -> NDArray[np.float64]:
    """Pixels from 0 to 1: 8-bit ones over 255, others between the least and the largest of an image."""
    if images.dtype == np.uint8:
        pixels = images / 255.0
    else:
        wide = images.astype(np.float64)
        axes = tuple(range(1, wide.ndim))
        low, high = wide.min(axes, keepdims=True), wide.max(axes, keepdims=True)
        pixels = (wide - low) / np.where(high > low, high - low, 1.0)
    return pixels if pixels.ndim == 3 or pixels.shape[3] == 3 else pixels.mean(axis=3)


def overlaid(grey: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """A grey image with a map over it, (height, width, 3): where the map is zero the image is as it was.

    Args:
        grey: (height, width), from 0 to 1.
        shares: (h, w), the map, from 0 to 1; linear between the centres of its positions.
    """
    from matplotlib import colormaps
    from scipy.ndimage import zoom

    factors = np.divide(grey.shape, shares.shape)
    heat = np.clip(zoom(shares, factors, order=1, mode="nearest", grid_mode=True), 0, 1)
    alpha = _OPAQUE * np.sqrt(heat)[:, :, None]
    return np.asarray((1 - alpha) * grey[:, :, None] + alpha * colormaps[HEAT](heat)[:, :, :3])
