"""What a run's requests come to, checked before it is recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from expunge.core.errors import BrokenInvariant
from expunge.record.account import account_of
from expunge.record.ledger import KEYS, Ledger
from expunge.record.requests import Request
from expunge.unlearners import Method, Unlearner
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


@contextmanager
def _said_of(request: int) -> Iterator[None]:
    try:
        yield
    except BrokenInvariant as error:
        raise error.at(f"request {request}") from None
