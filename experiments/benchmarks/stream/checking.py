"""What a run of a long stream must have left."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from expunge.core.errors import DataError
from expunge.record.ledger import read_ledger
from expunge.record.sums import require_sums

_COST = re.compile(
    rb'("(?:seconds|memory_mb|gpu_memory_mb)": )(?:[-+.0-9e]+|null)'
)  # no run has that of another


def counts(folder: Path, requests: int) -> dict[str, Any]:
    """Counts of a finished run, which add up: each request once, each row once, each release counted.

    Raises:
        DataError: They do not, a line is not as it was written, or something of the run is left over.
    """
    ledger = folder / "removals.jsonl"
    require_sums(ledger)
    gone: set[int] = set()
    outcomes: dict[str, int] = {"removed": 0, "retrained": 0, "refused": 0}
    for number, record in enumerate(read_ledger(ledger), start=1):
        outcomes[record["outcome"]] += 1
        if record["outcome"] != "refused":
            _need(not gone & {*record["rows"]}, f"line {number}: a row leaves twice")
            gone |= {*record["rows"]}
        _need(record["request"] == number, f"line {number}: holds request {record['request']}")
        _need(record["removed_total"] == len(gone), f"line {number}: removed_total is another")
    summary = json.loads((folder / "summary.json").read_text())
    _need(sum(outcomes.values()) == requests == summary["requests"], "requests are lost")
    _need({key: summary[key] for key in outcomes} == outcomes, "the summary counts otherwise")
    served = requests - outcomes["refused"]
    _need(summary["released"] == 1 + served, "releases are not counted")
    _need("continued" not in summary, "records have been replaced")
    _need(not [*folder.glob("checkpoint*")], "a checkpoint is left")
    _need((folder / "figures").is_dir(), "there are no figures")
    return {"served": served, "refused": outcomes["refused"], "released": summary["released"]}


def same_but_for_times(one: Path, other: Path) -> bool:
    """Whether two ledgers are the same, byte for byte, with times and memory left out."""
    with open(one, "rb") as ours, open(other, "rb") as theirs:
        pairs = zip(ours, theirs, strict=True)
        return all(_COST.sub(rb"\1", a) == _COST.sub(rb"\1", b) for a, b in pairs)


def _need(holds: bool, otherwise: str) -> None:
    if not holds:
        raise DataError(f"removals.jsonl: {otherwise}")
