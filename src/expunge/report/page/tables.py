"""The page's tables: runs side by side, over seeds, and the settings in which runs differ."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from expunge.report.read import guarantees, text
from expunge.report.read.run_settings import differing
from expunge.report.read.runs import Run
from expunge.report.tables import seeds_table
from expunge.report.tables.columns import TableColumn, columns
from expunge.report.tables.over_seeds import SeedGroup
from expunge.report.tables.table_rows import Row
from expunge.report.tables.table_rows import notes as notes_of

_TALL = 24  # lines; a longer table scrolls below its headings
_FEW = 4  # runs that stand side by side in the table of settings; of more, each has a row


def side_by_side(lines: Sequence[Row], notes: Sequence[str]) -> str:
    """Return the table of the runs, its warnings, and what its columns mean."""
    head = columns(lines)
    body = [[(c.cell(row), c.value(row)) for c in head] for row in lines]
    warned = "".join(f'<p class="warning">{escape(note)}</p>\n' for note in [*notes, *notes_of(lines)])
    terms = "\n".join(f"<dt>{escape(c.title)}</dt><dd>{escape(c.definition)}</dd>" for c in head)
    return f"""\
<h2>Side by side</h2>
{_of_columns("runs", "Table of the runs", head, [c.sub for c in head], body)}
{warned}<details>
<summary>What the columns mean (↑ more is better, ↓ less is better)</summary>
<dl class="terms">
{terms}
</dl>
</details>"""


def of_guarantees(lines: Sequence[Row]) -> str:
    """Return what each certified run guarantees, and in which words; empty where there is none."""
    able = [row for row in lines if row.guarantee]
    if not able:
        return ""
    heads = [_heading(f"guarantees.{key}", title, tip) for key, title, tip in _GUARANTEES]
    body = [_line(_label(row.unlearner), map(_cell, *_guarantee(row))) for row in able]
    said = guarantees.grouped((row.guarantee, row.unlearner) for row in able)
    words = "\n".join(
        f"<li>{escape(text.capital(what))}."
        f"{f' <small>({escape(guarantees.named(names, len(lines)))})</small>' if len(said) > 1 else ''}</li>"
        for what, names in said.items()
    )
    return f"""\
<h2>Guarantees</h2>
{_boxed("Guarantees", ' class="sortable"', heads, body)}
<ul>
{words}
</ul>
<p class="note">{guarantees.MARK}: this ε is a figure and protects nobody, or does not hold as stated.
What that
means, and what no certificate says: <a href="#limits">below</a>.</p>"""


_GUARANTEES = (
    ("run", "unlearner", ""),
    ("scheme", "guarantee", ""),
    ("releases", "releases covered", "Models that may leave, seen together: the first, and one a request"),
    ("released", "of them out", "Models that have left"),
    ("spent", "ε so far", "At δ; with noise at release that of all that are out together"),
    ("epsilon", "ε", "Promised in all; as published that of one model"),
    ("delta", "δ", "Promised in all; as published that of one model"),
    ("std", "std of the noise", "Standard deviation of the noise in each weight of a release"),
    ("hidden", "distance hidden", "How far the model inside may be from exact retraining, at most"),
)


def _guarantee(row: Row) -> tuple[list[str], list[float | None]]:
    """Return the cells of a run in the table of guarantees, and the numbers behind them."""
    delta = row.of.number("delta")
    mark = f" {guarantees.MARK}" if guarantees.marked(row.of) else ""
    counts = [row.releases, row.released]
    numbers = [row.epsilon_spent, row.epsilon, delta, row.std, row.sensitivity]
    shown = [*map(text.count, counts), *map(text.number, numbers)]
    return [guarantees.scheme(row.of) + mark, *shown], [None, *counts, *numbers]


def over_seeds(groups: Sequence[SeedGroup]) -> str:
    """Return the table of means and intervals over seeds."""
    head = seeds_table.heads(groups)
    body = [[(seeds_table.cell(group, c), seeds_table.value(group, c)) for c in head] for group in groups]
    return f"""\
<h2>Over seeds</h2>
{_of_columns("seeds", "Table over seeds", head, map(seeds_table.sub, head), body)}
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
        heads = [f'<th scope="col">{title}</th>' for title in ("setting", *named)]
        lines = [_line(f"<code>{escape(key)}</code>", map(_cell, values)) for key, values in found.items()]
    else:
        heads = [_heading("settings.folder", "run folder")]
        heads += [_heading(f"settings.{key}", key) for key in found]
        lines = list(map(_line, named, zip(*map(_numbered, found.values()), strict=True)))
    kind = ' class="sortable"' * (len(runs) > _FEW)
    return f"<h2>Settings that differ</h2>\n{_boxed('Settings that differ', kind, heads, lines)}"


def linked(run: Run, links: Mapping[str, str]) -> str:
    """Return the run's name, with a link to its folder where there is one."""
    name = f"<code>{escape(text.plain(run.name))}</code>"
    return f'<a href="{escape(links[run.name])}">{name}</a>' if run.name in links else name


def _of_columns(
    name: str,
    label: str,
    head: Sequence[TableColumn],
    subs: Iterable[str],
    body: Sequence[Sequence[tuple[str, float | None]]],
) -> str:
    """Return a table that the page's script makes sortable; without it, it is a table all the same.

    Args:
        name: Of the table in the page's address.
        label: What it is, for those who do not see it.
        head: Its columns.
        subs: Second lines of the headings.
        body: The cells of each line: words, and the number that they are sorted by.
    """
    heads = [  # sorted so at first that the best is on top
        _heading(f"{name}.{c.key}", c.title, c.definition, sub, descending=c.column.arrow == "↑")
        for c, sub in zip(head, subs, strict=True)
    ]
    lines = [_line(_label(first), [_cell(*cell) for cell in rest]) for (first, _), *rest in body]
    return _boxed(label, ' class="sortable"', heads, lines)


def _heading(key: str, title: str, tip: str = "", sub: str = "", descending: bool = False) -> str:
    """Return a heading: its key in the page's address, title, tooltip, second line, how it sorts at first."""
    words = re.sub(r" (?=[↑↓]$)", "\u00a0", escape(title))
    named = f'<abbr title="{escape(tip)}">{words}</abbr>' if tip else f"<span>{words}</span>"
    small = f"<small>{escape(sub)}</small>" if sub else ""
    first = "descending" if descending else "ascending"
    return f'<th scope="col" data-key="{escape(key)}" data-first="{first}">{named}{small}</th>'


def _cell(words: str, value: float | None = None) -> str:
    """Return a cell with the number that it is sorted by."""
    known = "" if value is None else f' data-value="{value!r}"'
    return f"<td{known}>{escape(words)}</td>"


def _line(first: str, cells: Iterable[str]) -> str:
    return f'<tr><th scope="row">{first}</th>{"".join(cells)}</tr>'


def _boxed(label: str, kind: str, heads: Iterable[str], lines: Sequence[str]) -> str:
    """Return a table in a box of its own that scrolls where the page is too narrow for it."""
    body = "\n".join(lines)
    tall = " tall" if len(lines) > _TALL else ""
    return f"""\
<div class="scroll{tall}" tabindex="0" role="region" aria-label="{label}">
<table{kind}>
<thead><tr>{"".join(heads)}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>"""


def _label(label: str) -> str:
    """Return a label in which a setting stays with its value when it wraps."""
    return re.sub(r"(\w+ [^ ,()]+)(?=[,)])", r'<span class="whole">\1</span>', escape(label))


def _numbered(values: Sequence[str]) -> list[str]:
    """Return cells with their numbers where all that is set are numbers."""
    numbers = [_number(value) for value in values]
    known = all(n is not None for n, v in zip(numbers, values, strict=True) if v != text.NONE)
    return [_cell(v, n if known else None) for n, v in zip(numbers, values, strict=True)]


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None
