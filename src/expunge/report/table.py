"""The side-by-side table: one row a run, as aligned text, Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import fields

from expunge.report import layout, text
from expunge.report.column import Column
from expunge.report.columns import columns
from expunge.report.row import Row
from expunge.report.rows import without_guarantee


def as_text(table: Sequence[Row], notes: Sequence[str] = ()) -> str:
    """Return an aligned table of plain text, with all warnings and the legend below.

    Args:
        table: The rows.
        notes: Warnings beyond those that the rows themselves give.
    """
    head = columns(table)
    heads = [[c.title for c in head], [c.sub for c in head]]
    body = layout.aligned(heads, [[c.cell(row) for c in head] for row in table])
    return "\n".join([body, *notes, *without_guarantee(table), "", legend(head)]) + "\n"


def legend(head: Sequence[Column]) -> str:
    """Return the columns' definitions, one a line."""
    width = max(len(c.title) for c in head)
    lines = [f"{c.title.ljust(width)}  {c.definition}" for c in head]
    return "\n".join(
        [*lines, f"(↑ more is better, ↓ less is better, {text.NONE} not measured or does not apply)"]
    )


def as_markdown(table: Sequence[Row], notes: Sequence[str] = ()) -> str:
    """Return the table in Markdown, with all warnings and the legend below; arguments as in ``as_text``."""
    head = columns(table)
    titles = [f"{c.title} ({c.sub})" if c.sub else c.title for c in head]
    body = layout.markdown(titles, [[c.cell(row) for c in head] for row in table])
    terms = "\n".join(f"- **{c.title}**: {c.definition}" for c in head)
    said = [layout.escaped(note) for note in (*notes, *without_guarantee(table))]
    return "\n\n".join([body, *said, terms]) + "\n"


def as_csv(table: Sequence[Row]) -> str:
    """Return the table's values unrounded; what is not known is an empty cell."""
    out = io.StringIO()
    names = [f.name for f in fields(Row)]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([["" if (v := getattr(row, n)) is None else v for n in names] for row in table])
    return out.getvalue()
