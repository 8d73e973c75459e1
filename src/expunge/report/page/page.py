"""The page: one file without outside requests, in light and dark, for a telephone too, and as plain HTML.

Its scripts work on the tables and make the figures live. The policy in its head names them by their hashes,
so that nothing else runs, whatever the files of a run hold.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from expunge import __version__
from expunge.report.figures import style
from expunge.report.page import audited, tables
from expunge.report.page.facts import differing_facts, lead
from expunge.report.page.figures import figure_of
from expunge.report.page.headline import headline
from expunge.report.page.promises import promises
from expunge.report.page.render import rendered
from expunge.report.page.studies import section
from expunge.report.page.verified import verified
from expunge.report.read import guarantees
from expunge.report.tables import table, table_rows
from expunge.report.tables.contents import Contents


def page(
    contents: Contents, drawn: Sequence[style.Drawn] = (), links: Mapping[str, str] | None = None
) -> str:
    """Return the whole page.

    Args:
        contents: What it is about.
        drawn: The figures.
        links: Name of a run -> the address of its folder, relative to the page.
    """
    live = any(one.chart is not None for one in drawn)
    scripts = [*([_file("tables.js")] if contents.runs else []), *([_bundle()] if live else [])]
    body = rendered("report", **_parts(contents, drawn, links or {}))
    return document(contents.title, lead(contents), body, scripts)


def document(title: str, lead: str, body: Markup, scripts: Sequence[str] = ()) -> str:
    """Return a page of its own with this body; title and lead are text."""
    digests = [b64encode(sha256(script.encode()).digest()).decode() for script in scripts]
    policy = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return str(
        rendered(
            "document",
            title=title,
            lead=lead,
            body=body,
            css=Markup(_file("page.css")),
            scripts=[Markup(script) for script in scripts],
            policy=Markup(policy),
            version=__version__,
        )
    )


def _parts(contents: Contents, drawn: Sequence[style.Drawn], links: Mapping[str, str]) -> dict[str, Any]:
    """Return what the template of a report shows."""
    runs, groups, named = contents.runs, contents.groups, contents.named
    so_far = {one.run.folder: one.so_far for one in contents.begun}
    parts = {"missing": contents.missing(), "so_far": so_far, "studies": list(map(section, contents.studies))}
    if not runs:
        return {**parts, "headline": None}
    columns = table.heads(groups)
    return {
        **parts,
        "headline": headline(groups),
        "methods": tables.by_method(contents, links),
        "several": any(len(group.rows) > 1 for group in groups),
        "caption": table.CAPTION,
        "best": table.BEST if any(table.best(groups, column) for column in columns) else "",
        "warnings": [*contents.notes, *table_rows.notes(named)],
        "columns": columns,
        "guarantees": tables.of_guarantees(groups),
        "mark": guarantees.MARK,
        "verified": verified(contents.lines),
        "audited": audited.sections(runs),
        "figures": list(map(figure_of, drawn)),
        "live": any(one.chart is not None for one in drawn),
        "differences": tables.differences(runs, links),
        "promises": promises(named),
        "facts": differing_facts(contents.lines, links),
    }


def _file(name: str) -> str:
    return files("expunge.report.page").joinpath(name).read_text(encoding="utf-8")


@cache
def _bundle() -> str:
    """Return the script that makes figures live, with the libraries that it needs: a second's work."""
    from expunge.report.figures.chart import converter

    return converter().javascript_bundle(_file("charts.js"))
