"""The ledger by itself: numbers without gaps, outcomes that there are, each row once, totals that add up."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.json_text import parse_json
from expunge.verify.exact import number
from expunge.verify.files import LEDGER, SUMS, RunFiles
from expunge.verify.lines import Faults, Line

OUTCOMES = ("removed", "retrained", "refused")
CONTINUED = "continued"
_NORMS = ("residual_bound", "residual_measured", "budget", "epsilon_spent")
_SHARES = ("test_accuracy", "forget_accuracy", "retain_accuracy")
_KEYS = ("request", "rows", "outcome", "reason", "removed_total", "retained", *_NORMS, *_SHARES, "seconds")
_GOES_ON = re.compile(
    r"from the checkpoint after request ([0-9]+): ([0-9]+) records replaced, "
    r"([0-9]+) models had left with them"
)


@dataclass(frozen=True)
class Ledger:
    """The records of a run.

    Attributes:
        records: Each a line.
        replaced: Records that were replaced, and releases that had left with them: an entry for each time.
        kept: (n,) rows that stay after the last.
        gone: Ids that left with each record.
        served: How many requests were served up to and including each record.
        stays: How many rows of each class of ``classes`` stay after each record, (records, classes).
        classes: Labels.
    """

    records: list[dict[str, Any]]
    kept: NDArray[np.bool_]
    gone: list[NDArray[np.int64]]
    served: list[int]
    stays: NDArray[np.int64]
    classes: NDArray[np.int64]
    replaced: list[dict[str, int]]

    @property
    def removals(self) -> int:
        """Requests that were served."""
        return self.served[-1] if self.served else 0

    @property
    def released(self) -> list[int]:
        """Models that had left after the training (not counted itself) and after each record, in turn."""
        before = {entry["request"]: entry["released"] for entry in self.replaced}
        more = accumulate(before.get(place, 0) for place in range(1, len(self.served) + 1))
        return [0, *(count + others for count, others in zip(self.served, more, strict=True))]


def read_ledger(files: RunFiles, labels: NDArray[np.int64]) -> tuple[Ledger, Line]:
    """Read the records as far as they can be, and the line that says whether they are right."""
    faults, records = Faults(), []
    if files.ledger and not files.ledger.endswith(b"\n"):
        faults.add("the last line has no end: the run was cut off amid it")
    if files.sums is not None:
        _check_sums(files.ledger, files.sums, faults)
    for place, text in enumerate(files.ledger.split(b"\n"), start=1):
        if not text:
            if place <= files.ledger.count(b"\n"):
                faults.add(f"line {place} is empty")
            continue
        try:
            record = parse_json(text)
        except (ValueError, RecursionError) as error:
            faults.add(f"line {place} is no JSON that can be read ({error})")
            continue
        if not isinstance(record, dict) or (missing := [key for key in _KEYS if key not in record]):
            lacks = f"has no {missing[0]!r}" if isinstance(record, dict) else "is no record"
            faults.add(f"line {place} {lacks}")
            continue
        records.append(record)
    ledger = _Account(labels).follow(records, faults)
    count, stay = f"{ledger.removals} served", f"{int(ledger.kept.sum())} stay"
    return ledger, faults.line("ledger", "numbered, each row once, totals as the rows say", count, stay)


def _check_sums(ledger: bytes, sums: bytes, faults: Faults) -> None:
    """Every line is the one that was written, and there are as many as were."""
    lines, known = ledger.split(b"\n")[:-1], sums.split(b"\n")[:-1]
    faults.need(len(lines) == len(known), f"lines, by {SUMS}", len(lines), len(known))
    for place, (line, claimed) in enumerate(zip(lines, known, strict=False), start=1):
        right = hashlib.sha256(line + b"\n").hexdigest()
        said = claimed.decode(errors="replace")
        faults.need(said == right, f"line {place} is not the one that {SUMS} is of", said, right)


class _Account:
    """What has left, line by line."""

    def __init__(self, labels: NDArray[np.int64]) -> None:
        self.labels = labels
        self.classes, self.index = np.unique(labels, return_inverse=True)
        self.counts = np.bincount(self.index, minlength=len(self.classes))
        self.kept = np.ones(len(labels), dtype=bool)

    def follow(self, records: list[dict[str, Any]], faults: Faults) -> Ledger:
        served: list[int] = []
        stays, gone, before = [], [], None
        replaced: list[dict[str, int]] = []
        for place, record in enumerate(records, start=1):
            where = f"line {place}"
            faults.need(_is(record["request"], place), f"{where}: request", record["request"], place)
            _check_numbers(record, where, faults)
            known = faults.need(
                record["outcome"] in OUTCOMES, f"{where}: outcome", record["outcome"], OUTCOMES
            )
            leaves = known and record["outcome"] != "refused"
            gone.append(self._take(record["rows"], where, leaves, faults))
            for key, count in (
                ("removed_total", len(self.labels) - int(self.counts.sum())),
                ("retained", int(self.counts.sum())),
            ):
                faults.need(_is(record[key], count), f"{where}: {key} by the rows", record[key], count)
            if record["outcome"] == "refused" and before is not None:
                counted = () if CONTINUED in record else ("epsilon_spent",)  # with those it took the place of
                for key in ("residual_bound", "budget", *counted):
                    same = record[key] == before[key]
                    faults.need(same, f"{where}: a refusal changes {key}", record[key], before[key])
            if CONTINUED in record:
                replaced.append(_replaced(record[CONTINUED], place, faults))
            served.append((served[-1] if served else 0) + bool(leaves))
            stays.append(self.counts)
            before = record
        table = np.array(stays, dtype=np.int64).reshape(len(records), len(self.classes))
        return Ledger(records, self.kept, gone, served, table, self.classes, replaced)

    def _take(self, rows: Any, where: str, leaves: bool, faults: Faults) -> NDArray[np.int64]:
        """Let the rows of a request leave, if it was served; return those that have."""
        n = len(self.labels)
        if not isinstance(rows, list) or not rows:
            faults.add(f"{where}: rows", rows, "a list of ids")
            rows = []
        seen: dict[int, None] = {}
        for row in rows:
            if isinstance(row, bool) or not isinstance(row, int) or not 0 <= row < n:
                faults.add(f"{where}: rows", row, f"ids from 0 to {n - 1}")
            elif row in seen:
                faults.add(f"{where}: row {row} is named twice", row, "each once")
            elif leaves and not self.kept[row]:
                faults.add(f"{where}: row {row} had left before", row, "each once")
            else:
                seen[row] = None
        gone = np.array(list(seen) if leaves else [], dtype=np.int64)
        self.kept[gone] = False
        self.counts = self.counts - np.bincount(self.index[gone], minlength=len(self.classes))
        return gone


def _check_numbers(record: dict[str, Any], where: str, faults: Faults) -> None:
    for key in (*_NORMS, *_SHARES):
        most = 1.0 if key in _SHARES else float("inf")
        value = record[key]
        good = value is None or (number(value) is not None and 0 <= value <= most)
        faults.need(good, f"{where}: {key}", value, "a number from 0, or null")
    faults.need(number(record["seconds"]) is not None, f"{where}: seconds", record["seconds"], "a number")
    if record["outcome"] == "refused":
        faults.need(isinstance(record["reason"], str), f"{where}: a refusal has a reason", record["reason"])


def _replaced(said: Any, place: int, faults: Faults) -> dict[str, int]:
    """What the line says of others whose place it took: where it went on, how many, how many releases."""
    numbers = _GOES_ON.fullmatch(said) if isinstance(said, str) else None
    after, count, released = map(int, numbers.groups()) if numbers else (-1, 0, 0)
    right = after + 1 == place and count > 0
    faults.need(
        right, f"line {place}: {CONTINUED}", said, f"from the checkpoint after request {place - 1}: ..."
    )
    return {"request": place, "replaced": count, "released": released}


def _is(value: Any, count: int) -> bool:
    return not isinstance(value, bool) and isinstance(value, int) and value == count


def same_number(claimed: Any, right: Any) -> bool:
    """Whether two numbers of JSON, or null, are the same, to the last bit."""
    if claimed is None or right is None or isinstance(claimed, (str, bool)) or isinstance(right, (str, bool)):
        return bool(claimed is right or claimed == right)
    return bool(claimed == right)


def check_summary(files: RunFiles, ledger: Ledger) -> Line:
    """The summary's counts and last numbers are the ledger's."""
    faults, summary, records = Faults(), files.summary, ledger.records
    counts = {outcome: sum(r["outcome"] == outcome for r in records) for outcome in OUTCOMES}
    first = next((k for k, r in enumerate(records) if r["outcome"] != "removed"), len(records))
    counts |= {"requests": len(records), "removals_supported": first}
    for key, count in counts.items():
        faults.need(_is(summary.get(key), count), f"{key} by {LEDGER}", summary.get(key), count)
    exhausted = first < len(records)
    said = summary.get("budget_exhausted", exhausted)
    faults.need(said is exhausted, f"budget_exhausted by {LEDGER}", said, exhausted)
    said = summary.get(CONTINUED, [])
    faults.need(said == ledger.replaced, f"{CONTINUED} by {LEDGER}", said, ledger.replaced)
    last = records[-1] if records else dict.fromkeys(_NORMS)
    keys = [*_NORMS[:3], *(["epsilon_spent"] if "epsilon_spent" in summary and records else [])]
    for key in keys:
        claimed = summary.get(key)
        faults.need(same_number(claimed, last[key]), f"{key}: the ledger's last", claimed, last[key])
    return faults.line(
        "summary", f"counts and last numbers are those of {LEDGER}", len(records), len(records)
    )
