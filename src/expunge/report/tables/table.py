"""The side-by-side table: one row a run, as Markdown and CSV."""

from __future__ import annotations

from collections.abc import Sequence

from expunge.report.tables import layout, table_rows
from expunge.report.tables.columns import columns
from expunge.report.tables.table_rows import Row


def as_markdown(table: Sequence[Row], notes: Sequence[str] = ()) -> str:
    """Return the table in Markdown, with all notes and the legend below.

    Args:
        table: The rows.
        notes: What is to be said beyond what the rows themselves give.
    """
    head = columns(table)
    titles = [f"{c.title} ({c.sub})" if c.sub else c.title for c in head]
    body = layout.markdown(titles, [[c.cell(row) for c in head] for row in table])
    terms = "\n".join(f"- **{layout.escaped(c.title)}**: {layout.escaped(c.definition)}" for c in head)
    said = [
        layout.escaped(note) for note in (*notes, *table_rows.guaranteed(table), *table_rows.notes(table))
    ]
    return "\n\n".join([body, *said, terms]) + "\n"


def as_csv(table: Sequence[Row]) -> str:
    """Return the table's values unrounded; what is not known is an empty cell."""
    from expunge.report.tables import frames  # slow to import, and the table alone can do without

    return frames.as_csv(row.values for row in table)
