"""How the figures look: colours that the colour-blind tell apart, and files that repeat byte for byte."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expunge.core.files import write_atomically

if TYPE_CHECKING:  # most figures do without matplotlib, which is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#1f2328", "#59636e", "#d8dee4", "#ffffff"
# Okabe and Ito's set without its yellow, which vanishes on white; the last two are a violet and a grey.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#6f42c1", "#7a7f85")
_RC: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.fonttype": "none",
    # Names may hold dollar signs; they are text, not formulas.
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
    "path.simplify": True,
}


@dataclass(frozen=True)
class Drawn:
    """A finished figure: its file name, the one sentence under it, and its renderings.

    ``chart`` is the Vega-Lite specification of what the page shows live; None of a picture of images.
    """

    name: str
    title: str
    caption: str
    svg: str
    png: bytes
    chart: dict[str, Any] | None = None

    def save(self, folder: Path) -> list[Path]:
        """Write ``name.png`` and ``name.svg`` into ``folder``, each whole or not; return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        png, svg = folder / f"{self.name}.png", folder / f"{self.name}.svg"
        write_atomically(png, self.png)  # in the place of a link, not through it
        write_atomically(svg, self.svg.encode())
        return [png, svg]


@contextmanager
def styled() -> Iterator[None]:
    """Set the style for the figures built and saved within; nothing outside changes.

    It starts from matplotlib's own defaults, so that a reader's ``matplotlibrc`` does not alter the files.
    """
    from matplotlib import rc_context, rcdefaults, rcParams

    with rc_context():
        rcdefaults()
        rcParams.update(_RC)
        yield


def canvas(
    width: float, height: float, panels: int = 1, below: Sequence[int] = ()
) -> tuple[Figure, list[Axes]]:
    """Return a figure with room for a legend outside of the data, and its panels in reading order.

    Args:
        width: In inches.
        height: In inches.
        panels: How many stand side by side.
        below: How many stand side by side in each further row; every row is as wide as the figure.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = (panels, *below)
    figure = Figure(figsize=(width, height), layout="constrained", facecolor=PAPER)
    FigureCanvasAgg(figure)
    columns = math.lcm(*rows)
    grid = figure.add_gridspec(len(rows), columns)
    axes = []
    for row, panels in enumerate(rows):
        span = columns // panels
        axes += [figure.add_subplot(grid[row, i * span : (i + 1) * span]) for i in range(panels)]
    for ax in axes:
        ax.set_facecolor("none")
    return figure, axes


def render(figure: Figure, name: str, title: str, caption: str) -> Drawn:
    """Render to PNG (160 dpi) and SVG; the same figure gives the same bytes on the same machine."""
    from matplotlib import rc_context

    png, svg = io.BytesIO(), io.StringIO()
    figure.savefig(png, format="png", dpi=160, metadata={"Software": None})
    with rc_context({"svg.hashsalt": f"expunge-{name}"}):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(svg, format="svg", metadata={**nothing, "Title": title}, facecolor="none")
    return Drawn(name, title, caption, svg.getvalue(), png.getvalue())
