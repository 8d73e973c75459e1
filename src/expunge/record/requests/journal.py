"""Requests to a model that is being served, and what was answered: one that is asked again gets that again.

A line a step, on disk before the next begins. First the answer is ``prepared``; then the model is saved
without the rows, which decides; then the answer is ``answered``, or ``void`` where the model was not saved.
What a kill left open is settled by the saved model: the rows are in it, or they are not. Of rows there are
ids alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import DataError, InvalidValue
from expunge.core.read_back import of_file, read_as
from expunge.datasets.names import listed
from expunge.record.ledger import Ledger

PREPARED, ANSWERED, VOID = "prepared", "answered", "void"
UNCHANGED = "unchanged"
"""Outcome of a request whose rows had all left before."""
_KEYS = ("line", "step", "model", "request")
_MEND = "restore it from a copy, or delete it and its sums: requests are then answered anew"


@dataclass(frozen=True)
class Answer:
    """What a request came to.

    Attributes:
        request: Its id, by whoever asks.
        rows: Rows that it was served for, in the order asked.
        twice: Rows that it named more than once.
        gone: Rows that had left before it.
        outcome: See ``expunge.unlearners.Outcome``, like the next four; or ``unchanged``.
    """

    request: str
    rows: tuple[int, ...]
    twice: tuple[int, ...]
    gone: tuple[int, ...]
    outcome: str
    reason: str | None
    epsilon_spent: float | None
    residual_bound: float | None = None
    budget: float | None = None

    @property
    def left(self) -> tuple[int, ...]:
        """Rows that are not in the model any more because of it."""
        return self.rows if self.outcome in ("removed", "retrained") else ()

    @property
    def note(self) -> str | None:
        """What was left out of the request, in words."""
        found = ((self.twice, "named twice, and served once"), (self.gone, "had left before"))
        return "; ".join(f"{_listed(rows)} {what}" for rows, what in found if rows) or None

    def as_json(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {**asdict(self), "note": self.note}

    def require_same(self, rows: Iterable[int]) -> None:
        """Refuse the id for another request than the one it was answered for.

        Raises:
            RequestTaken: The rows are others.
        """
        if {*rows} != {*self.rows, *self.gone}:
            allowed = f"a new id, or the rows of this one: {_listed(sorted((*self.rows, *self.gone)))}"
            raise RequestTaken("request", self.request, allowed)

    @classmethod
    def of(cls, record: dict[str, Any]) -> Answer:
        """The answer in a line that prepares one."""
        rows = {key: tuple(record[key]) for key in ("rows", "twice", "gone")}
        return cls(**{field.name: record[field.name] for field in fields(cls)} | rows)


class RequestTaken(InvalidValue):
    """The id of a request has been answered already, and that was another request."""


class Journal:
    """The steps of all requests to one model, in a file beside it.

    Args:
        path: Of the journal; its sums go beside it.
        model: The lineage of the model: another training has other requests.

    Attributes:
        answers: Request id -> its answer, in the order that they were given.
        prepared: The answer that has been prepared last, while nobody knows what became of it.

    Raises:
        RunFolderError: A line is not as it was written.
        DataError: It is that of another model.
    """

    def __init__(self, path: Path, model: str) -> None:
        self.path, self.model = path, model
        self.answers: dict[str, Answer] = {}
        self.prepared: Answer | None = None
        self._ledger = Ledger(path, _KEYS, "request", _MEND)
        try:
            with of_file(path), read_as("a journal of requests"):
                for record in self._ledger.records():
                    self._require_own(record)
                    self._read(record)
        except BaseException:
            self._ledger.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        self._ledger.close()

    def prepare(self, answer: Answer) -> None:
        """Write what is to be answered once the model has been saved."""
        self._write(PREPARED, **asdict(answer))

    def answered(self) -> Answer:
        """Write that the model has been saved, and return what is answered, as it will be read."""
        answer = self.prepared
        assert answer is not None
        self._write(ANSWERED, answer.request)
        return answer

    def settle(self, retained: NDArray[np.bool_]) -> None:
        """Close what is open, by the rows (n,) that the saved model retains.

        Raises:
            DataError: The model retains rows whose removal was answered: it is an older one.
        """
        for answer in self.answers.values():
            for row in answer.left:
                if row >= len(retained) or retained[row]:
                    said = f"request {answer.request!r} was answered, and its row {row} is in the model"
                    raise DataError(f"{self.path}: {said}; allowed: the model as it was saved last")
        if self.prepared:
            saved = not retained[list(self.prepared.left)].any()
            self._write(ANSWERED if saved else VOID, self.prepared.request)

    def _write(self, step: str, request: str, **more: Any) -> None:
        line = {"line": self._ledger.lines + 1, "step": step, "model": self.model, "request": request}
        self._read(self._ledger.append(line | more))

    def _require_own(self, record: dict[str, Any]) -> None:
        if record["model"] != self.model:
            allowed = "its own, or none: delete this one and its sums where that training is served no more"
            raise DataError(f"{self.path}: of another training than the model; allowed: {allowed}")

    def _read(self, record: dict[str, Any]) -> None:
        if record["step"] == PREPARED:
            self.prepared = Answer.of(record)
            return
        if self.prepared is None:
            raise DataError(f"line {record['line']}: closes a request that is not open")
        if record["step"] == ANSWERED:
            self.answers[self.prepared.request] = self.prepared
        self.prepared = None


def _listed(rows: Collection[int]) -> str:
    return f"row{'' if len(rows) == 1 else 's'} {listed(map(str, rows), 6)}"
