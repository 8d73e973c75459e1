"""Updates that are put back where they harm the model: the request is then refused."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import require_probability
from expunge.core.columns import Column, Plot
from expunge.core.files import State
from expunge.curvature import SolveError
from expunge.predictors import NothingLeft, Predictor
from expunge.scrub import ScrubError
from expunge.unlearners.base import Method, Outcome

Update = tuple[dict[str, float], Callable[[], None]]
"""Figures of an update that has been made, and what takes it back bit by bit."""


VALIDATION = {
    "validation_accuracy": Column(
        "validation accuracy",
        "↑",
        "share of the validation (test) rows classified correctly after the last update",
        "accuracy",
        over_run="served",
        shown=False,
        plot=Plot(
            "retained",
            title="Validation accuracy",
            unit="share classified correctly",
            heading="What stays, along the requests",
        ),
    )
}


class Guarded(Method):
    """A method whose updates are released only if they leave the model whole.

    An update is taken back, and its request refused, if it cannot be computed, if a weight or the loss of the
    removed rows is not finite after it, or if the accuracy on the validation rows is more than ``val_gap``
    below what it was before this request. Validation rows of labels that no training row has any more do not
    count: no model trained without such rows gets them right.

    Args:
        model: What is updated.
        name: What the run files call the method.
        val_gap: Largest fall of validation accuracy in one request; None: any.
    """

    supports: tuple[str, ...] = ("network",)
    COLUMNS = VALIDATION

    def __init__(self, model: Predictor, name: str, val_gap: float | None) -> None:
        super().__init__(model, name)
        self.val_gap = None if val_gap is None else require_probability("val_gap", val_gap)
        self._validation: tuple[Any, NDArray[np.int64]] | None = None
        self._accuracy: tuple[int, float | None] | None = None

    @abstractmethod
    def update(self, index: NDArray[np.int64]) -> Update:
        """Change the model in place so that it forgets the training rows ``index``, which leave afterwards.

        Raises:
            ScrubError: It cannot be done; the model is as it was.
            SolveError, NothingLeft: Likewise.
        """

    def validate_on(self, x: Any, y: NDArray[np.int64]) -> None:
        """Take the rows whose accuracy guards updates."""
        self._validation = x, y

    def remove(self, rows: Sequence[int]) -> Outcome:
        """Update the model, and keep the update if it leaves the model whole.

        Raises:
            InvalidValue: A row is out of range, named twice or gone already, or no row would stay.
        """
        index = self.predictor.checked(rows)
        self.served += 1
        validation = self.validation_rows(index)
        before = self._accuracy_now(validation)
        try:
            figures, undo = self.update(index)
        except (ScrubError, SolveError, NothingLeft) as error:
            return Outcome("refused", tuple(index.tolist()), str(error))
        after = self._accuracy_on(validation)
        reason = self._harm(index, before, after)
        if after is not None:
            figures["validation_accuracy"] = after
        if reason is not None:
            undo()
            return Outcome("refused", tuple(index.tolist()), reason, figures=figures)
        self.predictor.leave(index)
        self._accuracy = len(validation), after
        return Outcome("removed", tuple(index.tolist()), figures=figures)

    def validation_rows(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ids of the validation rows whose labels some training row has once ``index`` has left."""
        if self._validation is None:
            return np.zeros(0, dtype=np.int64)
        stay = self.predictor.staying(index)
        return np.flatnonzero(np.isin(self._validation[1], self.predictor.y[stay]))

    def _accuracy_on(self, rows: NDArray[np.int64]) -> float | None:
        """Accuracy on these validation rows; None where there are none."""
        if self._validation is None or not len(rows):
            return None
        x, y = self._validation
        return float(np.mean(self.predictor.predict(x, rows) == y[rows]))

    def _accuracy_now(self, rows: NDArray[np.int64]) -> float | None:
        """That of the model as it is; known from the last update where the rows are the same."""
        if self._accuracy is None or self._accuracy[0] != len(rows):
            self._accuracy = len(rows), self._accuracy_on(rows)
        return self._accuracy[1]

    def _harm(self, index: NDArray[np.int64], before: float | None, after: float | None) -> str | None:
        """What is wrong with the model after an update, or None."""
        model = self.predictor
        if not model.is_finite():
            return "the update leaves weights that are not finite"
        if not np.isfinite(model.losses(model.x, model.y, index)).all():
            return "the update diverges: the loss of the removed rows is not finite"
        if before is None or after is None or self.val_gap is None or before - after <= self.val_gap:
            return None
        return (
            f"validation accuracy fell from {before:.4f} to {after:.4f}, "
            f"by more than val_gap {self.val_gap:g}"
        )

    def fit(self, x: Any, y: NDArray[np.int64], seed: int | None = None) -> None:
        """Train on all rows."""
        super().fit(x, y, seed)
        self._accuracy = None

    def load_state(self, state: State, x: Any, y: NDArray[np.int64]) -> None:
        """Continue from ``state``."""
        super().load_state(state, x, y)
        self._accuracy = None
