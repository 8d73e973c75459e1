"""A verdict on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.core.screen import Page
from expunge.verify.lines import CROSS, OPEN, TICK, Line
from expunge.verify.verdict import Verdict

_LONGEST = 24
_HEADS = ("", "claimed", "recomputed", "")


def as_text(verdict: Verdict, page: Page | None = None) -> str:
    """The claim, then every line; of a rejected run the first line that does not hold at the top."""
    page = page or Page()
    held = sum(line.holds is True for line in verdict.lines)
    if (first := verdict.first) is None:
        page.whole(f"{TICK} {verdict.folder}: accepted, {held} lines hold")
    else:
        page.whole(f"{CROSS} {verdict.folder}: rejected")
        page.gap()
        page.text(_first(first))
    page.gap()
    page.text("What is claimed")
    if verdict.claim:
        page.rows(list(verdict.claim.items()), indent=2)
    page.gap()
    page.text("What was checked")
    lines = [(f"{line.mark} {name}", *rest) for line in verdict.lines for name, *rest in [_cells(line)]]
    page.rows([_HEADS, *lines], right=(1, 2), indent=2)
    return str(page)


@dataclass(frozen=True)
class LeftOut:
    """A folder that was not checked, and why; ``unreadable`` where it should have been."""

    folder: Path
    why: str
    unreadable: bool = False


def as_table(verdicts: Sequence[Verdict], left_out: Sequence[LeftOut] = (), page: Page | None = None) -> str:
    """Of every run whether it is accepted, or the first line that does not hold."""
    page = page or Page()
    rows = [(TICK, page.near(v.folder), "accepted") for v in verdicts if v.first is None]
    rows += [(CROSS, page.near(v.folder), f"{v.first.name}: {v.first.note}") for v in verdicts if v.first]
    rows += [(OPEN, page.near(one.folder), one.why) for one in left_out]
    page.gap()
    page.text(f"{sum(v.accepted for v in verdicts)} of {len(verdicts)} runs accepted")
    page.rows(rows)
    return str(page)


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
