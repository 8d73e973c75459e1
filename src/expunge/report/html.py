"""The page: one file without outside requests, readable in light and dark, on a telephone, and as plain HTML.

Its one script sorts the tables. The policy in its head names the script by its hash, so that nothing else
runs, whatever the files of a run hold.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template

from expunge import __version__
from expunge.report import html_tables, sections, studies, style
from expunge.report.contents import Contents
from expunge.report.headline import headline
from expunge.report.promises import promises
from expunge.report.verified import verified

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{script}'; "
    "base-uri 'none'; form-action 'none'"
)
_PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="$policy">
<title>$title</title>
<style>
$css</style>
</head>
<body>
<header>
<h1>$title</h1>
<p class="lead">$lead</p>
</header>
<main>
$body
</main>
<footer class="note"><p>Made by expunge-report $version.</p></footer>
$script</body>
</html>
""")


def page(
    contents: Contents, drawn: Sequence[style.Drawn] = (), links: Mapping[str, str] | None = None
) -> str:
    """Return the whole page.

    Args:
        contents: What it is about.
        drawn: The figures.
        links: Name of a run -> the address of its folder, relative to the page.
    """
    runs, studied = contents.runs, contents.studies
    # A page without a table to sort needs no script, and lets none run but the empty one.
    script = _file("sort.js") if runs else ""
    title = "Removal of training rows" + (", side by side" if len(runs) > 1 else "")
    return _PAGE.substitute(
        title=title if runs else "Studies",
        lead=" · ".join([sections.lead(runs)] * bool(runs) + [studies.lead(studied)] * bool(studied)),
        policy=_POLICY.format(script=b64encode(sha256(script.encode()).digest()).decode()),
        css=_file("page.css"),
        script=f"<script>{script}</script>\n" if script else "",
        body="\n".join(filter(None, _body(contents, drawn, links or {}))),
        version=escape(__version__),
    )


def _body(contents: Contents, drawn: Sequence[style.Drawn], links: Mapping[str, str]) -> list[str]:
    runs, lines = contents.runs, contents.lines
    missing = sections.missing(contents.missing())
    studied = [studies.section(study) for study in contents.studies]
    if not runs:
        return [missing, *studied]
    return [
        headline(lines, contents.groups),
        missing,
        html_tables.side_by_side(lines, contents.notes),
        html_tables.of_guarantees(lines),
        verified(lines),
        html_tables.over_seeds(contents.groups) if contents.groups else "",
        *(["<h2>Figures</h2>", *map(_figure, drawn)] if drawn else []),
        html_tables.differences(runs, links),
        *promises(lines),
        *studied,
        sections.settings(lines),
        sections.sources(lines, links),
    ]


def _file(name: str) -> str:
    return files("expunge.report").joinpath(name).read_text(encoding="utf-8")


def _figure(drawn: style.Drawn) -> str:
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
