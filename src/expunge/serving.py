"""``RemovalService``: a saved model that serves each request once, whatever ends the process meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing, check_consistent_length

from expunge.core.checks import require_name, require_switch
from expunge.core.errors import DataError, InvalidValue
from expunge.core.homes import resolved
from expunge.core.locks import Taken, exclusive
from expunge.core.row_ids import row_ids
from expunge.core.threads import Shared, alone
from expunge.estimator import CertifiedLogisticRegression
from expunge.record.known_data import both_or_none
from expunge.record.requests.journal import UNCHANGED, Answer, Journal

_OF_OUTCOME = ("outcome", "reason", "residual_bound", "budget", "epsilon_spent")


class RemovalService(Shared):
    """A model in a file, with a journal of requests beside it (``NAME.requests.jsonl``).

    A request has an id, and is served once: who asks again, because the answer was lost on the way or the
    process was killed, gets the answer that there was, word for word. When it is given the rows are out of
    the file, as they are out of the model; until then whoever predicts sees the release before.
    One process at a time serves a file; its threads are served one after the other.

    Args:
        path: A model written by ``CertifiedLogisticRegression.save``.
        X: As for ``load``, like ``y``: without them a request brings its rows along.
        y: Labels.
        live: See ``save``: without X and y, let the file hold what can give removed rows back.
        sample_weight: Weights of the rows, where ``fit`` was given some.

    Attributes:
        model: The model as it stands, to predict with. Its ``remove`` and ``save`` go past the journal.

    Raises:
        DataError: The file is none, another process serves it, or its journal is of another training or is
            ahead of it.
        RunFolderError: The journal is damaged.
    """

    model: CertifiedLogisticRegression
    _journal: Journal
    _is_in_doubt: bool

    def __init__(
        self, path: str | Path, X: Any = None, y: Any = None, live: bool = False, sample_weight: Any = None
    ) -> None:
        self.path = resolved(Path(path))
        self._data, self._live = (X, y, sample_weight), require_switch("live", live)
        if not self.path.is_file():
            raise DataError(f"{path}: no such file; allowed: a model written by save")
        self._journal_held, self._is_closed = ExitStack(), False
        with ExitStack() as held:
            held.enter_context(_alone(self.path))
            held.callback(self._journal_held.close)
            self._open()
            self._held = held.pop_all()

    def __enter__(self) -> RemovalService:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @alone
    def close(self) -> None:
        """Let another process serve the file; this one is refused from then on."""
        self._is_closed = True
        self._held.close()

    @property
    def answers(self) -> list[Answer]:
        """What has been answered so far, in order."""
        with self.lock:
            return [*self._journal.answers.values()]

    @alone
    def remove(
        self, request: str, rows: Sequence[int], X: Any = None, y: Any = None, sample_weight: Any = None
    ) -> Answer:
        """Serve a request, unless it has been: see ``CertifiedLogisticRegression.remove``.

        Rows that it names twice, or that had left before, are left out of it, and named in the answer.

        Args:
            request: Its id: 1 to 200 signs in one line. It is kept; it should name nobody.
            rows: (m,) indices.
            X: (m, d) these rows as they were in ``fit``; those that had left before may be anything.
            y: (m,) their labels.
            sample_weight: (m,) their weights, where ``fit`` was given some.

        Raises:
            RequestTaken: The id has been answered, and for other rows.
            InvalidValue: The id is none, or a row is out of range; nothing changes, like with the next ones.
            DataError: A row in X, or its label, is another than in ``fit``; or the service is closed.
            RowsOutOfReach: Rows that stay are needed, and there are none, or the file must be ``live``.
        """
        if self._is_closed:
            raise DataError(f"{self.path}: is not served any more; allowed: a RemovalService that is open")
        require_name("request", request)
        index = row_ids(rows, len(self.model.retained_), distinct=False)
        if not len(index):
            raise InvalidValue("rows", rows, "a list of one or more whole numbers")
        if self._is_in_doubt:
            self._open()
        if known := self._journal.answers.get(request):
            known.require_same(index.tolist())
            return known
        model = copy(self.model)
        answer = _served(model, request, index, (X, y, sample_weight))
        self._is_in_doubt = True  # until all is on disk: who comes next after an error looks there
        self._journal.prepare(answer)
        if answer.left:
            model.save(self.path, live=self._live)
            self.model = model
        answer = self._journal.answered()
        self._is_in_doubt = False
        return answer

    def _open(self) -> None:
        """Go on from the files, whatever has come into them."""
        self._journal_held.close()
        self.model = CertifiedLogisticRegression.load(self.path, *self._data)
        beside = self.path.with_name(f"{self.path.name}.requests.jsonl")
        journal = Journal(beside, self.model._fitted_.version.lineage)
        self._journal = self._journal_held.enter_context(journal)
        self._journal.settle(self.model.retained_)
        self._is_in_doubt = False


def _served(
    model: CertifiedLogisticRegression, request: str, index: NDArray[np.int64], given: tuple[Any, Any, Any]
) -> Answer:
    """Remove from ``model`` what of a request is there to be removed, and say what it came to."""
    named, first = np.unique(index, return_index=True)
    twice = np.setdiff1d(np.arange(len(index)), first)
    retained = model.retained_
    places = np.sort(first[retained[named]])
    left_out: dict[str, Any] = {"twice": _ids(np.unique(index[twice])), "gone": _ids(named[~retained[named]])}
    if not len(places):
        spent, reason = model.certificate_.epsilon_spent, "all of its rows had left before"
        return Answer(request, (), **left_out, outcome=UNCHANGED, reason=reason, epsilon_spent=spent)
    if both_or_none(*given) and len(places) < len(index):
        check_consistent_length(*given, index)
        given = tuple(None if one is None else _safe_indexing(one, places) for one in given)  # type: ignore[assignment]
    outcome = model.remove(index[places].tolist(), *given)
    found = {key: getattr(outcome, key) for key in _OF_OUTCOME}
    return Answer(request, rows=_ids(index[places]), **left_out, **found)


def _ids(rows: NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(rows.tolist())


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the right to serve ``path``."""
    with ExitStack() as held:
        try:
            held.enter_context(exclusive(path.with_name(f".{path.name}.served"), wait=False))
        except Taken as taken:
            hint = f" ({taken})" if str(taken) else ""
            raise DataError(f"{path}: another process serves it; allowed: one at a time{hint}") from None
        yield
