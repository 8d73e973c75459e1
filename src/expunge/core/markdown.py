"""Text and tables of text in Markdown, in which another's words are words and no markup."""

from __future__ import annotations

from collections.abc import Sequence


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first to the right."""
    lines = [head, ["---", *("---:" for _ in head[1:])], *body]
    return "\n".join("| " + " | ".join(map(escaped, line)) + " |" for line in lines)


def escaped(cell: str) -> str:
    """Return text that Markdown takes for text, and not for the end of a cell or for markup."""
    text = cell.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return text.replace("](", "\\](").replace("][", "\\][")  # nor for a link
