"""A run that went on from its checkpoint, though what it had recorded after that did not come out again."""

from __future__ import annotations

import re
from dataclasses import dataclass

KEY = "continued"
"""Of the first record served again, and of the summary."""
_TEXT = re.compile(
    r"from the checkpoint after request (\d+): (\d+) records replaced, (\d+) models had left with them"
)


@dataclass(frozen=True)
class Continued:
    """What the first of the new records says.

    Attributes:
        after: Request of the checkpoint.
        replaced: Records that there had been after it, those that had replaced others in their turn included.
        released: Models that had left with them: where releases are counted they stay in the count.
    """

    after: int
    replaced: int
    released: int = 0

    def __str__(self) -> str:
        replaced = f"{self.replaced} records replaced, {self.released} models had left with them"
        return f"from the checkpoint after request {self.after}: {replaced}"

    @classmethod
    def of(cls, text: object) -> Continued | None:
        """What a record says; None where it is nothing of the kind."""
        found = _TEXT.fullmatch(text) if isinstance(text, str) else None
        return cls(*map(int, found.groups())) if found else None

    def as_json(self) -> dict[str, int]:
        """What the summary has of it."""
        return {"request": self.after + 1, "replaced": self.replaced, "released": self.released}

    def and_before(self, other: Continued | None) -> Continued:
        """With the records that an earlier one from the same checkpoint had replaced."""
        if other is None:
            return self
        return Continued(self.after, self.replaced + other.replaced, self.released + other.released)
