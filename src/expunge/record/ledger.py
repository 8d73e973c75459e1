"""The append-only record of a run: one JSON line per request (or cell), on disk before the next begins."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from expunge.core.errors import RunFolderError
from expunge.core.json_text import parse_json
from expunge.core.plain import plain
from expunge.core.regular import read_regular

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


def read_ledger(
    path: Path, keys: Sequence[str] = KEYS, kind: str = "removal"
) -> tuple[list[dict[str, Any]], int]:
    """Return the complete lines of a ledger and the byte length they take.

    A last line without its newline was being written when the run ended: it does not count, and the request
    is to be served again. Every record holds ``keys``, of which the first numbers the lines, from 1; ``kind``
    is what the records are of, for messages.

    Raises:
        RunFolderError: A complete line is not a record, or numbers are missing.
    """
    content = read_regular(path)
    whole = content.rfind(b"\n") + 1
    records = []
    for number, line in enumerate(content[:whole].splitlines(), start=1):
        try:
            record = parse_json(line)
            found = {key: record[key] for key in keys}[keys[0]]
        except (ValueError, KeyError, TypeError):
            raise RunFolderError(f"{path}:{number}: not a {kind} record; the file is damaged") from None
        if found != number:
            raise RunFolderError(f"{path}:{number}: holds {keys[0]} {found}, expected {number}")
        records.append(record)
    return records, whole


class Ledger:
    """Writes ``removals.jsonl``, or another file of the same make; see ``read_ledger`` for the arguments.

    It is appended to, after an incomplete last line has been cut off; ``keys`` come first in every line.
    """

    def __init__(self, path: Path, keys: Sequence[str] = KEYS, kind: str = "removal") -> None:
        self.keys = keys
        self.records: list[dict[str, Any]] = []
        whole = 0
        if path.exists():
            self.records, whole = read_ledger(path, keys, kind)
            os.truncate(path, whole)
        self._file = open(path, "ab")  # noqa: SIM115 (closed by __exit__)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def append(self, record: dict[str, Any]) -> dict[str, Any]:
        """Write one record, wait until it is on disk, and return it as a reader of the file finds it.

        Raises:
            InvalidValue: A value is nothing that JSON has; nothing is written.
        """
        ordered: dict[str, Any] = plain({key: record[key] for key in self.keys} | record, "record")
        self._file.write(json.dumps(ordered, allow_nan=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.records.append(ordered)
        return ordered
