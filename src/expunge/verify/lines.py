"""A line of the check: what was claimed, what came out, and whether the one holds by the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TICK, CROSS, OPEN = "✓", "✗", "–"


@dataclass(frozen=True)
class Line:
    """One thing that was checked.

    Attributes:
        name: What it is called, in the docs too.
        holds: None where it could not be looked at, and ``note`` says why.
        claimed: By the run folder.
        recomputed: By this checker.
        note: What is compared; where it does not hold, what is wrong.
    """

    name: str
    holds: bool | None
    claimed: Any = None
    recomputed: Any = None
    note: str = ""

    @property
    def mark(self) -> str:
        """A tick, a cross, or neither."""
        return OPEN if self.holds is None else TICK if self.holds else CROSS

    def as_json(self) -> dict[str, Any]:
        """For ``verified.json``."""
        return {**vars(self), "claimed": _plain(self.claimed), "recomputed": _plain(self.recomputed)}


class Faults:
    """Collects what is wrong of one line: the first fault is shown, the others are counted."""

    def __init__(self) -> None:
        self.first: tuple[str, Any, Any] | None = None
        self.more = 0

    def __bool__(self) -> bool:
        return self.first is not None

    def add(self, note: str, claimed: Any = None, recomputed: Any = None) -> None:
        """Note a fault."""
        if self.first is None:
            self.first = note, claimed, recomputed
        else:
            self.more += 1

    def need(self, holds: bool, note: str, claimed: Any = None, recomputed: Any = None) -> bool:
        """Note a fault unless this ``holds``."""
        if not holds:
            self.add(note, claimed, recomputed)
        return holds

    def line(self, name: str, note: str, claimed: Any = None, recomputed: Any = None) -> Line:
        """The line: with the first fault, or, where there is none, with these."""
        if self.first is None:
            return Line(name, True, claimed, recomputed, note)
        said, got, right = self.first
        more = f" (and {self.more} more)" if self.more else ""
        return Line(name, False, got, right, said + more)


def _plain(value: Any) -> Any:
    """What JSON has: numbers that are none are text."""
    if isinstance(value, float) and not abs(value) < float("inf"):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
