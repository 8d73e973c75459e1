"""The append-only record of removal requests: one JSON line each, on disk before the next one begins."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from expunge.errors import RunFolderError

FILE = "removals.jsonl"
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


def read_ledger(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the complete lines of a ledger and the byte length they take.

    A last line without its newline was being written when the run ended: it does not count, and the request
    is to be served again.

    Raises:
        RunFolderError: A complete line is not a record, or numbers are missing.
    """
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    records = []
    for number, line in enumerate(content[:whole].splitlines(), start=1):
        try:
            record = json.loads(line)
            found = {key: record[key] for key in KEYS}["request"]
        except (ValueError, KeyError, TypeError):
            raise RunFolderError(f"{path}:{number}: not a removal record; the file is damaged") from None
        if found != number:
            raise RunFolderError(f"{path}:{number}: holds request {found}, expected {number}")
        records.append(record)
    return records, whole


class Ledger:
    """Writes ``removals.jsonl``.

    Args:
        path: The file; appended to, after an incomplete last line has been cut off.
    """

    def __init__(self, path: Path) -> None:
        self.records: list[dict[str, Any]] = []
        whole = 0
        if path.exists():
            self.records, whole = read_ledger(path)
            os.truncate(path, whole)
        self._file = open(path, "ab")  # noqa: SIM115 (closed by __exit__)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, record: dict[str, Any]) -> None:
        """Write one record and wait until it is on disk."""
        ordered = {key: record[key] for key in KEYS} | record
        self._file.write(json.dumps(ordered, allow_nan=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.records.append(ordered)
