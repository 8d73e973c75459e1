"""A verdict on a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.core.errors import printable
from expunge.verify.lines import CROSS, OPEN, TICK, Line
from expunge.verify.verdict import Verdict

_WIDTH = 100
_LONGEST = 24
_HEADS = ("", "claimed", "recomputed", "")


def as_text(verdict: Verdict) -> str:
    """The claim, then every line; of a rejected run the first line that does not hold at the top."""
    held = sum(line.holds is True for line in verdict.lines)
    parts = []
    if (first := verdict.first) is None:
        parts.append(f"{TICK} {verdict.folder}: accepted, {held} lines hold\n")
    else:
        parts.append(f"{CROSS} {verdict.folder}: rejected\n\n{_first(first)}\n")
    parts.append("What is claimed")
    wide = max(map(len, verdict.claim), default=0)
    for about, words in verdict.claim.items():
        lead = f"  {about:<{wide}}  "
        parts += textwrap.wrap(words, _WIDTH, initial_indent=lead, subsequent_indent=" " * len(lead))
    parts.append("\nWhat was checked")
    rows = [_cells(line) for line in verdict.lines]
    name, claimed, found = (max(map(len, column)) for column in list(zip(*[*rows, _HEADS], strict=True))[:3])
    for mark, row in zip(["", *(line.mark for line in verdict.lines)], [_HEADS, *rows], strict=True):
        text = f"  {mark:1} {row[0]:<{name}}  {row[1]:>{claimed}}  {row[2]:>{found}}  {row[3]}"
        parts.append(text.rstrip())
    return plain("\n".join(parts)) + "\n"


@dataclass(frozen=True)
class LeftOut:
    """A folder that was not checked, and why; ``unreadable`` where it should have been."""

    folder: Path
    why: str
    unreadable: bool = False


def as_table(verdicts: Sequence[Verdict], left_out: Sequence[LeftOut] = ()) -> str:
    """One line a run: whether it is accepted, and the first line that does not hold."""
    rows = [(TICK, str(v.folder), "accepted") for v in verdicts if v.first is None]
    rows += [(CROSS, str(v.folder), f"{v.first.name}: {v.first.note}") for v in verdicts if v.first]
    rows += [(OPEN, str(one.folder), one.why) for one in left_out]
    wide = max(len(folder) for _, folder, _ in rows)
    good = sum(v.accepted for v in verdicts)
    lines = [f"{mark} {folder:<{wide}}  {what}" for mark, folder, what in rows]
    return plain("\n".join([f"\n{good} of {len(verdicts)} runs accepted", *lines])) + "\n"


def plain(text: str) -> str:
    """Text that steers no terminal: a run folder may be another's, and its words are printed."""
    return printable(text, but="\n")


def _first(line: Line) -> str:
    """The line that does not hold, in a sentence."""
    _, claimed, found, note = _cells(line)
    numbers = f": claimed {claimed or 'nothing'}, recomputed {found or 'nothing'}" if claimed != found else ""
    return f"{line.mark} {line.name}: {note}{numbers}"


def _cells(line: Line) -> tuple[str, str, str, str]:
    """Name, numbers and note; numbers that look alike and are not are shown to the last bit."""
    pair = line.claimed, line.recomputed
    claimed, found = map(figure, pair)
    if line.holds is False and claimed == found and pair[0] != pair[1]:
        claimed, found = (repr(one) if isinstance(one, float) else str(one) for one in pair)
    return line.name, claimed, found, line.note


def figure(value: Any) -> str:
    """A number or a word, short."""
    if value is None:
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else " ".join(str(value).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
