"""Tables as CSV, in which no spreadsheet takes another's text for a formula."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from typing import Any

_FORMULA = re.compile(r"'*\s*[=+\-@\t\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|-?inf", re.ASCII)


def as_csv(lines: Iterable[Mapping[str, Any]], head: Sequence[str] | None = None) -> str:
    """Return CSV with the values as they are; what a line does not have, None and nan are empty cells.

    A text that a spreadsheet would take for a formula has an apostrophe in front: names may be another's.

    Args:
        lines: One mapping a line.
        head: The columns; by default all keys, in the order in which they appear.
    """
    lines = list(lines)
    keys = list(dict.fromkeys(key for line in lines for key in line)) if head is None else head
    written = StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(map(unformulated, keys))
    writer.writerows([unformulated(line.get(key)) for key in keys] for line in lines)
    return written.getvalue()


def unformulated(value: Any) -> Any:
    """A cell that no spreadsheet computes, nor what comes after a break in it; numbers stay as they are."""
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        return None if value != value else value
    whole = value.replace("\r\n", "\n").replace("\r", "\n")  # a return alone is not quoted
    return f"'{whole}" if _FORMULA.match(whole) else whole
