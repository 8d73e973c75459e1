"""Tables of cells that are words already: aligned for a terminal, and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(heads: Sequence[Sequence[str]], body: Sequence[Sequence[str]]) -> str:
    """Return lines of aligned cells with a rule under the headings; all columns but the first to the right.

    Args:
        heads: One or more lines of headings.
        body: The lines below them, as long as the headings.
    """
    lines = [*heads, *body]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    laid = [
        "  ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    ]
    laid.insert(len(heads), "  ".join("-" * w for w in widths))
    return "\n".join(line.rstrip() for line in laid)


def markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first to the right."""
    lines = [head, ["---", *("---:" for _ in head[1:])], *body]
    return "\n".join("| " + " | ".join(map(escaped, line)) + " |" for line in lines)


def escaped(cell: str) -> str:
    """Return text that Markdown takes for text, and not for the end of a cell or for markup."""
    text = cell.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return text.replace("](", "\\](").replace("][", "\\][")  # nor for a link
