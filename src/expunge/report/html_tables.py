"""The page's tables: runs side by side, over seeds, and the settings in which runs differ."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from expunge.report import seeds_table, text
from expunge.report.columns import Shown, columns
from expunge.report.over_seeds import SeedGroup
from expunge.report.rows import Row
from expunge.report.rows import notes as notes_of
from expunge.report.runs import Run
from expunge.report.settings import differing

_TALL = 24  # lines; a longer table scrolls below its headings
_FEW = 4  # runs that stand side by side in the table of settings; of more, each has a row


@dataclass(frozen=True)
class _Head:
    """A heading: its key in the page's address, title, tooltip, second line, and how it sorts at first."""

    key: str
    title: str
    tip: str = ""
    sub: str = ""
    first: str = "ascending"


@dataclass(frozen=True)
class _Cell:
    """A cell: HTML, and the number it is sorted by."""

    html: str
    value: float | None = None


def side_by_side(lines: Sequence[Row], notes: Sequence[str]) -> str:
    """Return the table of the runs, its warnings, and what its columns mean."""
    head = columns(lines)
    heads = [_Head(c.key, c.title, c.definition, c.sub, _first(c)) for c in head]
    body = [
        [_Cell(_label(row.unlearner)), *(_Cell(escape(c.cell(row)), c.value(row)) for c in head[1:])]
        for row in lines
    ]
    warned = "".join(f'<p class="warning">{escape(note)}</p>\n' for note in [*notes, *notes_of(lines)])
    terms = "\n".join(f"<dt>{escape(c.title)}</dt><dd>{escape(c.definition)}</dd>" for c in head)
    return f"""\
<h2>Side by side</h2>
{_sortable("runs", "Table of the runs", heads, body)}
{warned}<details>
<summary>What the columns mean (↑ more is better, ↓ less is better)</summary>
<dl class="terms">
{terms}
</dl>
</details>"""


def over_seeds(groups: Sequence[SeedGroup]) -> str:
    """Return the table of means and intervals over seeds."""
    head = seeds_table.heads(groups)
    heads = [_Head(c.key, c.title, c.definition, seeds_table.sub(c), _first(c)) for c in head]
    body = [
        [
            _Cell(_label(seeds_table.cell(group, head[0]))),
            *(_Cell(escape(seeds_table.cell(group, c)), seeds_table.value(group, c)) for c in head[1:]),
        ]
        for group in groups
    ]
    return f"""\
<h2>Over seeds</h2>
{_sortable("seeds", "Table over seeds", heads, body)}
<p class="note">{escape(seeds_table.CAPTION)}</p>"""


def differences(runs: Sequence[Run], links: Mapping[str, str]) -> str:
    """Return the settings in which the runs differ, with links to the run folders; empty for a single run.

    Args:
        runs: The runs.
        links: Name of a run -> the address of its folder.
    """
    found = differing(runs)
    if not found:
        return ""
    named = [linked(run, links) for run in runs]
    if len(runs) <= _FEW:
        titles = "".join(f'<th scope="col">{name}</th>' for name in named)
        lines = [
            _line([f"<code>{escape(key)}</code>", *map(escape, values)]) for key, values in found.items()
        ]
        laid = _boxed("Settings that differ", "", f'<th scope="col">setting</th>{titles}', lines)
    else:
        heads = [_Head("folder", "run folder"), *(_Head(key, key) for key in found)]
        columns_ = [_numbered(values) for values in found.values()]
        body = [[_Cell(name), *cells] for name, cells in zip(named, zip(*columns_, strict=True), strict=True)]
        laid = _sortable("settings", "Settings that differ", heads, body)
    return f"<h2>Settings that differ</h2>\n{laid}"


def linked(run: Run, links: Mapping[str, str]) -> str:
    """Return the run's name, with a link to its folder where there is one."""
    name = f"<code>{escape(text.plain(run.name))}</code>"
    return f'<a href="{escape(links[run.name])}">{name}</a>' if run.name in links else name


def _sortable(name: str, label: str, heads: Sequence[_Head], body: Sequence[Sequence[_Cell]]) -> str:
    """Return a table that the page's script makes sortable; without it, it is a table all the same."""
    titles = "".join(_heading(name, head) for head in heads)
    lines = [_line([c.html for c in cells], [c.value for c in cells]) for cells in body]
    return _boxed(label, ' class="sortable"', titles, lines)


def _heading(name: str, head: _Head) -> str:
    tip, sub = escape(head.tip), f"<small>{escape(head.sub)}</small>" if head.sub else ""
    words = re.sub(r" (?=[↑↓]$)", "\u00a0", escape(head.title))
    title = f'<abbr title="{tip}">{words}</abbr>' if tip else f"<span>{words}</span>"
    key = escape(f"{name}.{head.key}")
    return f'<th scope="col" data-key="{key}" data-first="{head.first}">{title}{sub}</th>'


def _line(cells: Sequence[str], values: Sequence[float | None] = ()) -> str:
    known = ["" if v is None else f' data-value="{v!r}"' for v in (values or [None] * len(cells))]
    first = f'<th scope="row">{cells[0]}</th>'
    rest = zip(cells[1:], known[1:], strict=True)
    return f"<tr>{first}{''.join(f'<td{value}>{cell}</td>' for cell, value in rest)}</tr>"


def _boxed(label: str, kind: str, titles: str, lines: Sequence[str]) -> str:
    """Return a table in a box of its own that scrolls where the page is too narrow for it."""
    body = "\n".join(lines)
    tall = " tall" if len(lines) > _TALL else ""
    return f"""\
<div class="scroll{tall}" tabindex="0" role="region" aria-label="{label}">
<table{kind}>
<thead><tr>{titles}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>"""


def _label(label: str) -> str:
    """Return a label in which a setting stays with its value when it wraps."""
    return re.sub(r"(\w+ [^ ,()]+)(?=[,)])", r'<span class="whole">\1</span>', escape(label))


def _first(column: Shown) -> str:
    """Return which way a column is sorted at first: the best on top."""
    return "descending" if column.column.arrow == "↑" else "ascending"


def _numbered(values: Sequence[str]) -> list[_Cell]:
    """Return cells with their numbers where all that is set are numbers."""
    numbers = [_number(value) for value in values]
    known = all(n is not None for n, v in zip(numbers, values, strict=True) if v != text.NONE)
    return [_Cell(escape(v), n if known else None) for n, v in zip(numbers, values, strict=True)]


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None
