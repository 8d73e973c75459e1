"""The table of a paper: published, ours, tolerance, verdict; on a terminal and as Markdown."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, zip_longest
from operator import itemgetter
from typing import Any
from urllib.parse import quote

from expunge.core import markdown
from expunge.core.screen import Page
from expunge.core.text import plain
from expunge.reproduce.results import NOT_RUN

Results = Mapping[str, Mapping[str, Any]]

HEAD = ("row", "quantity", "published", "ours", "tolerance", "verdict")
_SHARES = (0.27, 0.18, 0.16, 0.18, 0.21)  # of a terminal's width, after the first column
_GAP = "  "
_NARROW = 80  # columns; in fewer there is no room for six


def lines(results: Results) -> list[tuple[str, ...]]:
    """The table's lines, one a quantity."""
    return [
        (
            name,
            check["quantity"],
            f"{check['published']} ({check['source']})",
            check["ours"],
            check["tolerance"],
            _verdict(result, check),
        )
        for name, result in results.items()
        for check in result["checks"]
    ]


def _verdict(result: Mapping[str, Any], check: Mapping[str, Any]) -> str:
    """The verdict, with what must be known of the run before it and where it does not hold after it."""
    if check["verdict"] == NOT_RUN:
        return f"{NOT_RUN}: {check['detail'] or result.get('not_run') or ''}".rstrip(": ")
    changed = f"with {' '.join(result['overrides'])}: " if result["overrides"] else ""
    detail = f": {check['detail']}" if check["detail"] else ""
    return f"{'reduced: ' if result['reduced'] else ''}{changed}{check['verdict']}{detail}"


def counted(results: Results) -> str:
    """How many checks came out how, on one line."""
    counts = Counter(check["verdict"] for result in results.values() for check in result["checks"])
    rows, checks = len(results), sum(counts.values())
    ended = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    return f"{rows} row{'s' * (rows != 1)}, {checks} check{'s' * (checks != 1)}: {ended}"


def as_text(results: Results, page: Page | None = None) -> str:
    """The table for a terminal, cells wrapped; for a narrow one every quantity by itself."""
    page = page or Page()
    first = max(map(len, (HEAD[0], *results)))
    rest = page.width - first - len(_GAP) * len(_SHARES)
    room = [first, *(int(share * rest) for share in _SHARES)]
    if page.width < _NARROW:
        for name, quantity, *cells in lines(results):
            page.text(f"{name}: {quantity}", "bold")
            page.rows(list(zip(HEAD[2:], cells, strict=True)), indent=2)
        return str(page)
    shown = [*_wrapped(HEAD, room)]
    for name, own in groupby(lines(results), itemgetter(0)):
        shown.append(_GAP.join("-" * wide for wide in room))
        for k, (_, *cells) in enumerate(own):
            shown += _wrapped(["" if k else name, *cells], room)
    return "\n".join(shown) + "\n"


def _wrapped(cells: Sequence[str], room: Sequence[int]) -> Iterator[str]:
    folded = (textwrap.wrap(plain(cell), wide) for cell, wide in zip(cells, room, strict=True))
    for parts in zip_longest(*folded, fillvalue=""):
        yield _GAP.join(part.ljust(wide) for part, wide in zip(parts, room, strict=True)).rstrip()


def as_markdown(paper: str, results: Results) -> str:
    """The table, what each row is and by which command, what failed, and the pictures."""
    table = [HEAD, ("---",) * len(HEAD), *lines(results)]
    body = "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in table)
    parts = [f"{counted(results)}. All of them: `expunge-reproduce {paper}`.", body]
    for name, result in results.items():
        parts += _about(paper, name, result)
    return "\n\n".join(parts) + "\n"


def _about(paper: str, name: str, result: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {name}"
    yield f"{_cell(result['what'][:1].upper() + result['what'][1:])}."
    if result.get("not_run"):
        yield f"Not run: {_cell(result['not_run'])}."
    else:
        reduced = ["--reduced"] if result["reduced"] else []
        words = ["expunge-reproduce", paper, "--only", name, *reduced, *result["overrides"]]
        seeds = ", ".join(map(str, result.get("seeds", [])))
        versions = ", ".join(map(" ".join, result.get("versions", {}).items()))
        yield f"    {' '.join(words)}"
        yield f"{result['runs']} run{'s' * (result['runs'] != 1)}, seed {seeds}; {versions}."
    if result.get("failed") and not result.get("not_run"):
        yield "\n".join(["Not done:", "", *(f"- {_cell(line)}" for line in result["failed"])])
    if result["figures"]:
        yield "\n".join(f"![{name}: {figure}]({quote(f'{name}/{figure}')})" for figure in result["figures"])


def _cell(text: str) -> str:
    return markdown.escaped(plain(text)).replace("*", "\\*")
