"""A verdict on a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from expunge.verify.lines import CROSS, TICK, Line
from expunge.verify.verdict import Verdict

_WIDTH = 100
_LONGEST = 24


def as_text(verdict: Verdict) -> str:
    """The claim, then every line; of a rejected run the first line that does not hold at the top."""
    held = sum(line.holds is True for line in verdict.lines)
    parts = []
    if (first := verdict.first) is None:
        parts.append(f"{TICK} {verdict.folder}: accepted, {held} lines hold\n")
    else:
        parts.append(f"{CROSS} {verdict.folder}: rejected\n\n{_line(first, 0, 0)}\n")
    parts.append("What is claimed")
    wide = max(map(len, verdict.claim), default=0)
    for about, words in verdict.claim.items():
        lead = f"  {about:<{wide}}  "
        parts += textwrap.wrap(words, _WIDTH, initial_indent=lead, subsequent_indent=" " * len(lead))
    parts.append("\nWhat was checked")
    name, number = max(len(line.name) for line in verdict.lines), 9
    parts += [f"    {'':<{name}}  {'claimed':>{number}}  {'recomputed':>10}"]
    parts += [_line(line, name, number) for line in verdict.lines]
    return "\n".join(parts) + "\n"


def as_table(verdicts: Sequence[Verdict], unfinished: Sequence[Path] = ()) -> str:
    """One line a run: whether it is accepted, and the first line that does not hold."""
    rows = [(TICK, str(v.folder), "accepted") for v in verdicts if v.first is None]
    rows += [(CROSS, str(v.folder), f"{v.first.name}: {v.first.note}") for v in verdicts if v.first]
    rows += [(" ", str(folder), "unfinished, not checked") for folder in unfinished]
    wide = max(len(folder) for _, folder, _ in rows)
    good = sum(v.accepted for v in verdicts)
    lines = [f"{mark} {folder:<{wide}}  {what}" for mark, folder, what in rows]
    return "\n".join([f"\n{good} of {len(verdicts)} runs accepted", *lines]) + "\n"


def _line(line: Line, name: int, number: int) -> str:
    if not name:
        numbers = f" (claimed {figure(line.claimed)}, recomputed {figure(line.recomputed)})"
        return f"{line.mark} {line.name}: {line.note}{numbers if line.claimed != line.recomputed else ''}"
    claimed, found = figure(line.claimed), figure(line.recomputed)
    return f"  {line.mark} {line.name:<{name}}  {claimed:>{number}}  {found:>10}  {line.note}".rstrip()


def figure(value: Any) -> str:
    """A number or a word, short."""
    if value is None:
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else " ".join(str(value).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
