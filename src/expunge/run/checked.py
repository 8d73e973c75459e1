"""What a run's requests come to, checked before it is recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import BrokenInvariant, DataError
from expunge.core.read_back import same
from expunge.record.account import account_of
from expunge.record.ledger import KEYS, Ledger
from expunge.record.requests import Request
from expunge.unlearners import Method, Unlearner
from expunge.unlearners.base import OUTCOMES
from expunge.unlearners.invariants import require_outcome


def promised(unlearner: Any, what: str) -> float | None:
    """``epsilon`` or ``delta`` of an unlearner that has a guarantee."""
    found: float | None = getattr(getattr(unlearner, "guarantee", None), what, None)
    return found


class Checked:
    """The account of a run's requests, and what their outcomes must be.

    Args:
        unlearner: What serves them.
        ledger: What has been recorded already.
        requests: What is asked for.
        rows: Training rows.

    Raises:
        RunFolderError: A record cannot be one, or is not that of its request.
    """

    def __init__(
        self, unlearner: Method | Unlearner, ledger: Ledger, requests: Sequence[Request], rows: int
    ) -> None:
        self._unlearner = unlearner
        self._account = account_of(ledger.records(), ledger.path, rows, requests=requests)

    def loaded(self, ledger: Ledger, served: int, removed: int, requested: NDArray[np.bool_]) -> None:
        """Compare what a state says of the first ``served`` requests with their records.

        Args:
            ledger: The records.
            served: Requests that the state is after.
            removed: Rows that have left by its count.
            requested: (n,) rows that were asked for.

        Raises:
            DataError: It says something else: it is of another run, or of another moment of this one.
        """
        asked, gone = (np.zeros(len(requested), dtype=bool) for _ in range(2))
        outcomes = dict.fromkeys(OUTCOMES, 0)
        for record in islice(ledger.records(), served):
            asked[record["rows"]] = True
            gone[record["rows"]] |= record["outcome"] != "refused"
            outcomes[record["outcome"]] += 1
        same("run.removed", removed, int(np.count_nonzero(gone)))
        _same_rows("run_requested", requested, asked)
        if isinstance(self._unlearner, Method):
            same("served", self._unlearner.served, served)
            _same_rows("removed_rows", ~self._unlearner.predictor.kept, gone)
            self._unlearner.require_served(outcomes)

    def outcome(self, outcome: Any, request: Request) -> None:
        """Check what ``remove`` returned.

        Raises:
            BrokenInvariant: It is no ``Outcome`` for this request; see ``require_outcome``.
        """
        with _said_of(request.number):
            require_outcome(outcome, request.rows, promised(self._unlearner, "epsilon"))
            if clash := sorted({*KEYS} & {*outcome.figures}):
                raise BrokenInvariant("figures", clash, "names that the ledger does not have")

    def record(self, record: dict[str, Any]) -> None:
        """Take a record into account; the rows that a method's model has left must be those of the account.

        Raises:
            BrokenInvariant: It does not agree with itself, with those before, or with the model.
        """
        self._account.epsilon = promised(self._unlearner, "epsilon")
        with _said_of(record["request"]):
            self._account.add(record)
            if isinstance(self._unlearner, Method):
                there = self._unlearner.predictor.there
                if there.count != record["retained"]:
                    must = f"{record['retained']}, those of the requests having left"
                    raise BrokenInvariant("rows of the model", there.count, must)
                left = np.asarray(record["rows"], dtype=np.int64)
                if record["outcome"] != "refused" and there.has(left).any():
                    raise BrokenInvariant("rows of the model", record["rows"], "others, these having left")


def _same_rows(name: str, found: NDArray[np.bool_], recorded: NDArray[np.bool_]) -> None:
    if len(other := np.flatnonzero(found != recorded)):
        raise DataError(
            f"{name}: row {other[0]} is {'not ' * (not found[other[0]])}there, unlike the records"
        )


@contextmanager
def _said_of(request: int) -> Iterator[None]:
    try:
        yield
    except BrokenInvariant as error:
        raise error.at(f"request {request}") from None
