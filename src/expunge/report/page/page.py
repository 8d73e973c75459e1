"""The page: one file without outside requests, in light and dark, for a telephone too, and as plain HTML.

Its scripts work on the tables and make the figures live. The policy in its head names them by their hashes,
so that nothing else runs, whatever the files of a run hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from expunge.charts.style import Drawn
from expunge.core.groups import grouped
from expunge.record.folders import guarantees
from expunge.record.folders.begun import Begun
from expunge.record.folders.findings import read_verified
from expunge.report.page import audits, promises
from expunge.report.page.headline import headline
from expunge.report.page.render import asset, rendered
from expunge.report.page.settings import settings
from expunge.report.read.names import differing, is_set_alike
from expunge.report.tables import notes, table, variance
from expunge.report.tables.contents import Contents
from expunge.report.tables.over_seeds import SeedGroup
from expunge.report.tables.table_rows import Row, rows


def page(contents: Contents, drawn: Sequence[Drawn] = (), links: Mapping[str, str] | None = None) -> str:
    """Return the whole page.

    Args:
        contents: What it is about.
        drawn: The figures.
        links: Name of a run -> the address of its folder, relative to the page.
    """
    live = any(one.chart is not None for one in drawn)
    scripts = [asset("tables.js")] if contents.runs else []
    if live:
        from expunge.charts.libraries import libraries  # with it comes all that draws charts

        scripts.append(libraries() + asset("charts.js"))
    found = _of_runs(contents) if contents.runs else {}
    shown = {"contents": contents, "drawn": drawn, "live": live, "links": links or {}, **found}
    return rendered("report", title=contents.title, scripts=scripts, **shown)


def _of_runs(contents: Contents) -> dict[str, Any]:
    """Return what the template shows of runs besides the contents themselves."""
    runs, groups, named = contents.runs, contents.groups, contents.named
    columns = table.heads(groups)
    found = ((row, read_verified(row.of.folder)) for row in contents.lines)
    return {
        "headline": headline(groups),
        "columns": columns,
        "cells": table.body(groups, columns),
        "sources": variance.sources(groups),
        "against_many": contents.against_many,
        "begun": _begun(contents),
        "warnings": [*contents.notes, *notes.besides(named)],
        "guaranteed": _guaranteed(groups),
        "verified": [(row, one) for row, one in found if one is not None],
        "audited": audits.of_runs(runs),
        "certified": promises.certified(named),
        "uncertified": promises.uncertified(named),
        "differing": differing(runs),
        "settings": settings(runs),
    }


def _begun(contents: Contents) -> list[list[tuple[Begun, Row]]]:
    """Return the unfinished runs of each method, and last those of methods of which no run is finished."""
    left = list(zip(contents.begun, rows([one.run for one in contents.begun]), strict=True))
    found = []
    for group in contents.groups:
        own = [one for one in left if is_set_alike(one[0].run, group.rows[0].of)]
        left = [one for one in left if one not in own]
        found.append(own)
    return [*found, left]


def _guaranteed(groups: Sequence[SeedGroup]) -> dict[str, str]:
    """Return what certified methods guarantee, in words, with their names where it is not the same of all."""
    said = [(row.guarantee, group.label) for group in groups for row in group.rows if row.guarantee]
    found = grouped(dict.fromkeys(said))
    return {
        words: guarantees.named(names, len(groups)) if len(found) > 1 else ""
        for words, names in found.items()
    }
