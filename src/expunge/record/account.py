"""The account of a run's requests: what each record must be, given those before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from expunge.core.errors import BrokenInvariant, RunFolderError
from expunge.record.continued import KEY as CONTINUED
from expunge.record.continued import Continued
from expunge.record.ids import Ids
from expunge.record.ledger import KEYS
from expunge.record.requests import Request
from expunge.unlearners.base import OUTCOMES
from expunge.unlearners.invariants import require_numbers

_NOTHING = dict.fromkeys(KEYS)


class RequestAccount:
    """Follows the records of a run in their order.

    Args:
        rows: Training rows, where their number is known.
        epsilon: What the method promises, where it does.

    Attributes:
        gone: Ids that have left.
    """

    def __init__(self, rows: int | None = None, epsilon: float | None = None) -> None:
        self.rows, self.epsilon = rows, epsilon
        self.gone = Ids()
        self._requests = 0

    def add(self, record: Mapping[str, Any]) -> None:
        """Take the next record, of the ledger's keys, into account.

        Requests are numbered 1, 2, ...; ids are those of training rows, each once and not gone before, unless
        the request was refused; ``removed_total`` and ``retained`` are what has left and what stays; the
        numbers are as in ``require_numbers``.

        Raises:
            BrokenInvariant: It does not agree with itself or with those before; it has not been taken.
        """
        if record["request"] != self._requests + 1:
            raise BrokenInvariant("request", record["request"], f"the next number, {self._requests + 1}")
        require_numbers(record, self.epsilon)
        if CONTINUED in record:
            again = Continued.of(record[CONTINUED])
            if again is None or again.after + 1 != record["request"]:
                raise BrokenInvariant(CONTINUED, record[CONTINUED], "of the checkpoint before the request")
        leaving = set() if record["outcome"] == "refused" else self._ids(record["rows"])
        gone = len(self.gone) + len(leaving)
        for name, count in (("removed_total", gone), ("retained", self._left(gone))):
            if None not in (count, record[name]) and record[name] != count:
                raise BrokenInvariant(name, record[name], f"{count} by the rows of the requests")
        self.gone.update(leaving)
        self._requests += 1

    def _ids(self, rows: Any) -> set[int]:
        found: set[int] = set()
        for row in rows:
            if type(row) is not int or row < 0 or (self.rows is not None and row >= self.rows):
                last = "" if self.rows is None else f" to {self.rows - 1}"
                raise BrokenInvariant("rows", row, f"ids of training rows, from 0{last}")
            if row in found or row in self.gone:
                raise BrokenInvariant("rows", row, "ids that have not left before, each once")
            found.add(row)
        return found

    def _left(self, gone: int) -> int | None:
        return None if self.rows is None else self.rows - gone


def account_of(
    records: Iterable[Mapping[str, Any]],
    path: Path,
    rows: int | None = None,
    epsilon: float | None = None,
    requests: Sequence[Request] | None = None,
) -> RequestAccount:
    """The account after the records of the file ``path``, of which each is a line.

    With ``requests`` each is compared with what was asked for.

    Raises:
        RunFolderError: A record cannot be one; the line names it.
    """
    account = RequestAccount(rows, epsilon)
    for line, record in enumerate(records, start=1):
        try:
            if requests is not None:
                _require_asked(record, requests[line - 1 : line])
            account.add(record)
        except BrokenInvariant as error:
            raise RunFolderError(f"{path}:{line}: {error}") from None
    return account


def _require_asked(record: Mapping[str, Any], asked: Sequence[Request]) -> None:
    """Compare the rows of a record with its request, of which there may be none."""
    if not asked:
        raise BrokenInvariant("request", record["request"], "one that was asked for")
    if record["rows"] != list(asked[0].rows):
        raise BrokenInvariant("rows", record["rows"], f"those asked for, {list(asked[0].rows)}")


def require_account(folder: Path, summary: Mapping[str, Any], records: list[dict[str, Any]]) -> None:
    """Refuse records and counts of a run folder that no run can have come to.

    Nothing is asked of what its files do not have.

    Raises:
        RunFolderError: Such a record or count; the line names file and line.
    """
    rows, epsilon = summary.get("n_train"), summary.get("epsilon")
    known = rows if type(rows) is int else None
    promised = epsilon if isinstance(epsilon, (int, float)) else None
    account_of(({**_NOTHING, **r} for r in records), folder / "removals.jsonl", known, promised)
    try:
        require_counts(summary, {name: sum(r["outcome"] == name for r in records) for name in OUTCOMES})
    except BrokenInvariant as error:
        raise RunFolderError(f"{folder / 'summary.json'}:1: {error}") from None


def require_counts(summary: Mapping[str, Any], counts: Mapping[str, int]) -> None:
    """Check what a summary counts: as many of each outcome as there are records, which together are all.

    Raises:
        BrokenInvariant: A count is another.
    """
    for outcome, count in counts.items():
        if summary.get(outcome, count) != count:
            raise BrokenInvariant(outcome, summary[outcome], f"{count}, as many as there are records of it")
    if sum(counts.values()) != summary["requests"]:
        what = f"{' + '.join(counts)}, which is {sum(counts.values())}"
        raise BrokenInvariant("requests", summary["requests"], what)
