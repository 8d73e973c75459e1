"""The page: one file without scripts or outside requests, readable in light and dark and on a telephone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template

from expunge import __version__
from expunge.report import sections, studies, style, table
from expunge.report.headline import headline
from expunge.report.promises import promises
from expunge.report.rows import Row, without_guarantee
from expunge.report.runs import Run, StudyRun

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
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
</body>
</html>
""")


def page(
    runs: Sequence[Run],
    lines: Sequence[Row],
    notes: Sequence[str],
    drawn: Sequence[style.Drawn],
    unfinished: Sequence[str] = (),
    studied: Sequence[StudyRun] = (),
) -> str:
    """Return the whole page.

    Args:
        runs: The runs, in the table's order.
        lines: Their rows of the table.
        notes: Warnings that belong under the table, beyond those that its rows give.
        drawn: The figures.
        unfinished: Names of the folders that were left out.
        studied: The studies, which come after the runs.
    """
    body = [
        *(_of_runs(runs, lines, notes, drawn) if runs else []),
        *map(studies.section, studied),
        *([sections.settings(runs, lines), sections.sources(runs, lines, unfinished)] if runs else []),
    ]
    title = "Removal of training rows" + (", side by side" if len(runs) > 1 else "")
    return _PAGE.substitute(
        title=title if runs else "Studies",
        lead=" · ".join([sections.lead(runs)] * bool(runs) + [studies.lead(studied)] * bool(studied)),
        policy=_POLICY,
        css=files("expunge.report").joinpath("page.css").read_text(encoding="utf-8"),
        body="\n".join(body),
        version=escape(__version__),
    )


def _of_runs(
    runs: Sequence[Run], lines: Sequence[Row], notes: Sequence[str], drawn: Sequence[style.Drawn]
) -> list[str]:
    return [
        headline(runs, lines),
        _table(lines, notes),
        *(["<h2>Figures</h2>", *map(_figure, drawn)] if drawn else []),
        *promises(runs, lines),
    ]


def _table(lines: Sequence[Row], notes: Sequence[str]) -> str:
    head = table.columns(lines)
    titles = "".join(_heading(column) for column in head)
    body = "\n".join(
        "<tr>" + "".join(_cell(column.cell(row), first=i == 0) for i, column in enumerate(head)) + "</tr>"
        for row in lines
    )
    warned = "".join(
        f'<p class="warning">{escape(note)}</p>\n' for note in [*notes, *without_guarantee(lines)]
    )
    terms = "\n".join(f"<dt>{escape(c.title)}</dt><dd>{escape(c.definition)}</dd>" for c in head)
    return f"""\
<h2>Side by side</h2>
<div class="scroll" tabindex="0" role="region" aria-label="Table of the runs">
<table>
<thead><tr>{titles}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>
{warned}<details>
<summary>What the columns mean (↑ more is better, ↓ less is better)</summary>
<dl class="terms">
{terms}
</dl>
</details>"""


def _heading(column: table.Column) -> str:
    tip, sub = escape(column.definition), f"<small>{escape(column.sub)}</small>" if column.sub else ""
    return f'<th scope="col"><abbr title="{tip}">{escape(column.title)}</abbr>{sub}</th>'


def _cell(content: str, first: bool) -> str:
    if not first:
        return f"<td>{escape(content)}</td>"
    # A setting stays with its value when a long label wraps.
    label = re.sub(r"(\w+ [^ ,()]+)(?=[,)])", r'<span class="whole">\1</span>', escape(content))
    return f'<th scope="row">{label}</th>'


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
