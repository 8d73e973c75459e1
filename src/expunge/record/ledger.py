"""The append-only record of a run: one JSON line per request (or cell), on disk before the next begins.

Beside it stands a file of sums; see ``expunge.record.sums``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from expunge.core.errors import RunFolderError
from expunge.core.json_text import parse_json
from expunge.core.plain import plain
from expunge.core.regular import append_to, open_regular, read_regular
from expunge.core.system_errors import naming
from expunge.record.sums import LENGTH, MEND, sum_of, sums_of, whole_lines

FILE = "removals.jsonl"
RESULTS = "results.jsonl"  # that of a study
DONE = "DONE"  # the mark of a cell of a sweep that is complete
KEYS = (
    "request",
    "rows",
    "outcome",
    "reason",
    "removed_total",
    "retained",
    "residual_bound",
    "residual_measured",
    "budget",
    "epsilon_spent",
    "test_accuracy",
    "forget_accuracy",
    "retain_accuracy",
    "seconds",
)
OUTCOME_KEYS = KEYS[:7] + KEYS[8:10]  # what a request comes to, whatever was evaluated or timed besides


def read_ledger(path: Path, keys: Sequence[str] = KEYS, kind: str = "removal") -> Iterator[dict[str, Any]]:
    """Yield the records of the complete lines of a ledger.

    A last line without its newline was being written when the run ended: it does not count, and the request
    is to be served again. Every record holds ``keys``, of which the first numbers the lines, from 1; ``kind``
    is what the records are of, for messages.

    Raises:
        RunFolderError: A complete line is not as it was written or no record, numbers are missing, or it
            cannot be read.
    """
    for number, line in whole_lines(path):
        yield _record(path, number, line, keys, kind)


def _record(path: Path, number: int, line: bytes, keys: Sequence[str], kind: str) -> dict[str, Any]:
    try:
        record: dict[str, Any] = parse_json(line)
        found = {key: record[key] for key in keys}[keys[0]]
    except (ValueError, KeyError, TypeError):
        raise RunFolderError(f"{path}:{number}: not a {kind} record; the file is damaged") from None
    if found != number:
        raise RunFolderError(f"{path}:{number}: holds {keys[0]} {found}, expected {number}")
    return record


class Ledger:
    """Writes ``removals.jsonl``, or another file of the same make; see ``read_ledger`` for the arguments.

    It is appended to; what was being written when the run ended is cut off first, and not before: whoever
    finds a fault elsewhere leaves the files alone. ``keys`` come first in every line; ``mend`` says what to
    do about damage. What has been recorded is read from the disk where it is needed: nothing grows with it.

    Attributes:
        lines: Records so far.

    Raises:
        RunFolderError: There are records that are not as they were written, or have no sums.
    """

    def __init__(
        self, path: Path, keys: Sequence[str] = KEYS, kind: str = "removal", mend: str = MEND
    ) -> None:
        self.path, self.keys, self.kind, self.mend = path, keys, kind, mend
        self.lines, self._size = 0, 0
        self._prefix, self._of = hashlib.sha256(), (0, 0)
        sums = sums_of(path)
        self._found = [file.stat().st_size if file.exists() else 0 for file in (path, sums)]
        if path.exists() and not sums.exists() and next(whole_lines(path), None):
            raise RunFolderError(
                f"{sums}: missing, so that nobody knows whether {path.name} is as it was written; {mend}"
            )
        if path.exists():
            for number, line in whole_lines(path, self.mend):
                _record(path, number, line, keys, kind)
                self.lines, self._size = number, self._size + len(line)
        self._sums = append_to(sums)
        self._file = append_to(path)  # after its sums: it never is without
        self._is_cut = False
        _onto_disk(path.parent)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the files go."""
        self._file.close()
        self._sums.close()

    def _cut_off(self) -> None:
        """Leave ``lines`` records: the sums last, for a sum without its line does no harm.

        Such a sum is of a process that has died, or, where locks do not hold, of one that writes the line
        just now: nothing tells the two apart, and who then writes that line has spoiled the ledger for all.

        Raises:
            RunFolderError: Another process has written to the files since this one read them.
        """
        sizes = [self._size, self.lines * LENGTH]
        files = (self._file, self._sums)
        if self._is_cut:
            self._found = [file.seek(0, os.SEEK_END) for file in files]
        for number, (file, size) in enumerate(zip(files, sizes, strict=True)):
            self._require(*self._found)
            if self._found[number] > size:  # who has nothing to cut takes nothing that another writes now
                file.truncate(size)
                os.fsync(file.fileno())
                self._found[number] = size
        self._is_cut = True

    def append(self, record: dict[str, Any]) -> dict[str, Any]:
        """Write one record, wait until it is on disk, and return it as a reader of the file finds it.

        The sum, which comes first, is the claim to the line's place: where locks do not hold, as between
        hosts, two processes may both find it free, and who then finds the other's sum there writes no line.

        Raises:
            InvalidValue: A value is nothing that JSON has; nothing is written.
            RunFolderError: Another process has written to the files; nothing is written.
            OSError: It cannot be written; what there is of it is cut off when the run is continued.
        """
        ordered: dict[str, Any] = plain({key: record[key] for key in self.keys} | record, "record")
        line = json.dumps(ordered, allow_nan=False).encode() + b"\n"
        self._require_sizes()
        self._claim(sum_of(line))
        _write(self._file, line)
        self.lines, self._size = self.lines + 1, self._size + len(line)
        return ordered

    def records(self, first: int = 1) -> Iterator[dict[str, Any]]:
        """Yield the records from number ``first`` on, as they are on disk.

        Raises:
            RunFolderError: One is not as it was written.
        """
        for number, line in islice(whole_lines(self.path, self.mend), self.lines):
            if number >= first:
                yield _record(self.path, number, line, self.keys, self.kind)

    def prefix(self, lines: int) -> dict[str, Any]:
        """What a checkpoint keeps of the first ``lines`` records: their number, and the SHA-256 of all bytes.

        Cheap when asked of ever more lines: only what has come since is read.
        """
        if lines < self._of[0]:
            self._prefix, self._of = hashlib.sha256(), (0, 0)
        number, end = self._of
        with open_regular(self.path) as file:
            file.seek(end)
            for line in islice(file, lines - number):
                self._prefix.update(line)
                number, end = number + 1, end + len(line)
        self._of = number, end
        return {"lines": number, "sha256": self._prefix.hexdigest()}

    def keep(self, lines: int) -> None:
        """Cut off the records after the first ``lines``; an end amid it leaves a ledger that can be read."""
        self.prefix(lines)
        self.lines, self._size = self._of
        self._cut_off()

    def require_whole(self) -> None:
        """Count what is on disk: exactly what has been recorded here, and nothing that others wrote.

        Raises:
            RunFolderError: It holds something else.
        """
        self._require_sizes()
        if (found := sum(1 for _ in whole_lines(self.path, self.mend))) != self.lines:
            raise RunFolderError(f"{self.path}: holds {found} lines, this run has written {self.lines}")

    def require_alone(self) -> None:
        """See that the files are as large as this process found or made them; nothing is written.

        Raises:
            RunFolderError: Another process has written to them.
        """
        self._require(*((self._size, self.lines * LENGTH) if self._is_cut else self._found))

    def _require_sizes(self) -> None:
        if not self._is_cut:
            self._cut_off()
        self.require_alone()

    def _claim(self, claim: bytes) -> None:
        """Write a sum, and take it back where another process has written one too."""
        _write(self._sums, claim)
        try:
            self._require(self._size, (self.lines + 1) * LENGTH)
        except RunFolderError:
            content = read_regular(sums_of(self.path))
            if content.endswith(claim):
                self._sums.truncate(len(content) - LENGTH)
            raise

    def _require(self, *sizes: int) -> None:
        """Compare the sizes of the ledger and its sums on disk with what they are to be."""
        for path, size in zip((self.path, sums_of(self.path)), sizes, strict=True):
            if (found := path.stat().st_size) != size:
                raise RunFolderError(
                    f"{path}: holds {found} bytes, this run knows of {size}; "
                    "another process has been writing to it, or has cut it"
                )


def _write(file: BinaryIO, content: bytes) -> None:
    """Write all of it, and wait until it is on disk."""
    left = memoryview(content)
    with naming(file.name):
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())


def _onto_disk(folder: Path) -> None:
    """Wait until the names in a folder are on disk, where the system can do so."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
