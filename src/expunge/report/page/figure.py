"""A figure as a part of the page, in the page's colours."""

from __future__ import annotations

import re
from html import escape

from expunge.report.figures import style


def figure_of(drawn: style.Drawn) -> str:
    """Return a figure and the sentence under it."""
    return f"""\
<figure>
<div class="scroll" tabindex="0" role="img" aria-label="{escape(drawn.title)}">
{_inline(drawn)}
</div>
<figcaption>{escape(drawn.caption)}</figcaption>
</figure>"""


def _inline(drawn: style.Drawn) -> str:
    """Return the SVG as an element of the page, in the page's colours.

    Identifiers get the figure's name in front, since two figures may use the same ones.
    """
    svg = re.sub(r"^.*?(?=<svg)|<metadata>.*?</metadata>\s*", "", drawn.svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'(\bid="|\bhref="#|url\(#)', rf"\g<1>{drawn.name}-", svg)
    # The page says how large a figure is; viewBox keeps its shape.
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    named = {style.INK: "ink", style.MUTED: "muted", style.GRID: "line", style.PAPER: "paper"}
    named.update((colour, f"s{i}") for i, colour in enumerate(style.SERIES))
    for colour, name in named.items():
        svg = svg.replace(f": {colour}", f": var(--{name})")
    return svg.strip()
