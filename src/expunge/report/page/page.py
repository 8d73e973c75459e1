"""The page: one file without outside requests, readable in light and dark, on a telephone, and as plain HTML.

Its one script sorts the tables. The policy in its head names the script by its hash, so that nothing else
runs, whatever the files of a run hold.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template

from expunge import __version__
from expunge.report.figures import style
from expunge.report.page import audited, sections
from expunge.report.page import tables as html_tables
from expunge.report.page.figure import figure_of
from expunge.report.page.headline import headline
from expunge.report.page.promises import promises
from expunge.report.page.verified import verified
from expunge.report.tables import studies
from expunge.report.tables.contents import Contents

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
    title = "Removal of training rows" + (", side by side" if len(runs) > 1 else "")
    return document(
        title if runs else "Studies",
        " · ".join([sections.lead(runs)] * bool(runs) + [studies.lead(studied)] * bool(studied)),
        "\n".join(filter(None, _body(contents, drawn, links or {}))),
        # A page without a table to sort needs no script, and lets none run but the empty one.
        _file("sort.js") if runs else "",
    )


def document(title: str, lead: str, body: str, script: str = "") -> str:
    """Return a page of its own with this body, which is HTML already, as title and lead are."""
    return _PAGE.substitute(
        title=title,
        lead=lead,
        policy=_POLICY.format(script=b64encode(sha256(script.encode()).digest()).decode()),
        css=_file("page.css"),
        script=f"<script>{script}</script>\n" if script else "",
        body=body,
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
        *audited.sections(runs),
        html_tables.over_seeds(contents.groups) if contents.groups else "",
        *(["<h2>Figures</h2>", *map(figure_of, drawn)] if drawn else []),
        html_tables.differences(runs, links),
        *promises(lines),
        *studied,
        sections.settings(lines),
        sections.sources(lines, links),
    ]


def _file(name: str) -> str:
    return files("expunge.report.page").joinpath(name).read_text(encoding="utf-8")
