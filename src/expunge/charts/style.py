"""What every figure shares: colours that the colour-blind tell apart, and what a finished figure is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.core.files import write_atomically

INK, MUTED, GRID, PAPER = "#1f2328", "#59636e", "#d8dee4", "#ffffff"
# Okabe and Ito's set without its yellow, which vanishes on white; the last two are a violet and a grey.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#6f42c1", "#7a7f85")
COLOURS = len(SERIES)
"""As many as can be told apart."""


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
