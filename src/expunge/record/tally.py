"""What a run's records come to, gone through once: all that is kept of each is a few numbers."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np

from expunge.record.continued import KEY as CONTINUED
from expunge.record.continued import Continued
from expunge.record.ledger import KEYS
from expunge.record.times import is_removal
from expunge.unlearners.base import OUTCOMES


class Tally:
    """Counts, last values and means of records that come one after the other.

    Args:
        over_run: Key -> what a summary has of it; see ``Column.over_run``. Other keys are ``served``.
        role: The role of the method, which says what of it is a removal.

    Attributes:
        requests: How many there were.
        counts: Outcome -> how many had it.
        supported: Requests before the first that was not ``removed``.
        seconds: Of each removal; see ``times``.
        last: The last record; empty as long as there is none.
        continued: What took the place of other records; see ``Continued.as_json``.
    """

    def __init__(self, over_run: Mapping[str, str], role: str = "") -> None:
        self._over_run, self._role = over_run, role
        self.requests, self.supported = 0, 0
        self.counts = dict.fromkeys(OUTCOMES, 0)
        self.seconds = array("d")
        self.last: Mapping[str, Any] = {}
        self.continued: list[dict[str, int]] = []
        self._own: dict[str, _Value] = {}

    def add(self, record: Mapping[str, Any]) -> None:
        """Take the next record; an outcome that is none is in no count."""
        outcome = record["outcome"]
        if outcome in self.counts:
            self.counts[outcome] += 1
        if outcome == "removed" and self.supported == self.requests:
            self.supported += 1
        self.requests += 1
        if is_removal(outcome, self._role):
            self.seconds.append(record["seconds"])
        self.last = record
        if again := Continued.of(record.get(CONTINUED)):
            self.continued.append(again.as_json())
        for key in record:
            if key not in (*KEYS, CONTINUED) and key not in self._own:
                self._own[key] = _Value(self._over_run.get(key, "served"))
        for key, value in self._own.items():
            value.add(record.get(key), outcome)

    def own(self) -> dict[str, float | None]:
        """What the summary has of keys beyond the ledger's, in the order of their first appearance."""
        return {key: value.result() for key, value in self._own.items()}


class _Value:
    """What is known of one key: ``mean`` or ``most`` of all, the ``last`` record's, or a ``served`` one's."""

    def __init__(self, how: str) -> None:
        self._how = how
        self._all = array("d")
        self._latest: Any = None

    def add(self, value: Any, outcome: str) -> None:
        if self._how == "last":  # evaluated after the last request, whatever it is evaluated at besides
            self._latest = value
        elif value is not None and self._how in ("mean", "most"):
            self._all.append(value)
        elif value is not None and outcome != "refused":
            self._latest = value

    def result(self) -> float | None:
        if self._how == "mean":
            return float(np.mean(self._all)) if self._all else None
        if self._how == "most":
            return max(self._all, default=None)
        found: float | None = self._latest
        return found
