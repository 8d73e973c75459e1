"""Sums of a ledger's lines, in a file beside it: a line that is not as it was written is found on reading.

Line k of ``removals.sha256`` is the SHA-256 of line k of ``removals.jsonl``, with its newline, in hex. It is
on disk before the line itself, so that a whole line without its sum, or with another, is damage, while a sum
without its line was written when the run ended, and counts for nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from expunge.core.errors import RunFolderError
from expunge.core.regular import open_regular

LENGTH = 65  # of a line of sums
MEND = "restore it from a copy, or repeat the run (force=true)"


def sums_of(path: Path) -> Path:
    """The file of sums of a ledger."""
    return path.with_suffix(".sha256")


def sum_of(line: bytes) -> bytes:
    """The line of sums for a line of a ledger."""
    return hashlib.sha256(line).hexdigest().encode() + b"\n"


def whole_lines(path: Path, mend: str = MEND) -> Iterator[tuple[int, bytes]]:
    """Yield the number, from 1, and the bytes of every line of a ledger that has an end.

    Each is compared with its sum, if there is a file of sums. A last line without its newline was being
    written when the run ended: it does not count. ``mend`` says what to do about damage.

    Raises:
        RunFolderError: A line is not the one that was written, or a file cannot be read.
    """
    sums = sums_of(path)
    with ExitStack() as files:
        try:
            lines = files.enter_context(open_regular(path))
            known = files.enter_context(open_regular(sums)) if sums.exists() else None
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    return
                if known is not None and (found := known.read(LENGTH)) != sum_of(line):
                    has = "has no sum in" if len(found) < LENGTH else "is not that of"
                    raise RunFolderError(f"{path}:{number}: damaged, it {has} {sums.name}; {mend}")
                yield number, line
        except OSError as error:
            raise RunFolderError(f"{path}: cannot be read ({error.strerror})") from None


def require_sums(path: Path) -> None:
    """Compare the ledger of a run that is complete with its sums; without such a file nothing is known of it.

    Raises:
        RunFolderError: A line is not the one that was written, some are missing, or a file cannot be read.
    """
    sums = sums_of(path)
    if not sums.exists():
        return
    count = sum(1 for _ in whole_lines(path))
    if (size := sums.stat().st_size) != count * LENGTH:
        what = f"it has {count} whole lines, and {sums.name} {size / LENGTH:g}"
        raise RunFolderError(f"{path}:{count + 1}: damaged, {what}; {MEND}")
