"""Updates that are put back where they harm the network: the request is then refused."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expunge.core.checks import require_probability
from expunge.core.columns import Column, Plot
from expunge.core.files import State
from expunge.curvature import SolveError
from expunge.curvature.gradients import cross_entropy, example_losses
from expunge.datasets.images import Examples
from expunge.scrub import ScrubError
from expunge.training import Learner
from expunge.unlearners.base import Outcome
from expunge.unlearners.network import NetworkModel

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


def require_gap(val_gap: float | None) -> float | None:
    """Return ``val_gap``, or raise ``InvalidValue`` unless it is None or between 0 and 1."""
    return None if val_gap is None else require_probability("val_gap", val_gap)


def fall(before: float | None, after: float | None, val_gap: float | None) -> str | None:
    """Say by how much validation accuracy fell, if by more than ``val_gap``; else None."""
    if before is None or after is None or val_gap is None or before - after <= val_gap:
        return None
    return f"validation accuracy fell from {before:.4f} to {after:.4f}, by more than val_gap {val_gap:g}"


class GuardedNetwork(NetworkModel, ABC):
    """A network whose updates are released only if they leave it whole.

    An update is taken back, and its request refused, if it cannot be computed, if a weight or the loss of the
    removed rows is not finite after it, or if the accuracy on the validation rows is more than ``val_gap``
    below what it was before this request. Validation rows of labels that no training row has any more do not
    count: no network trained without such rows gets them right.

    Args:
        model: The learner.
        name: What the run files call the method.
        val_gap: Largest fall of validation accuracy in one request; None: any.
    """

    role = "heuristic"
    COLUMNS = VALIDATION

    def __init__(self, model: Learner, name: str, val_gap: float | None) -> None:
        super().__init__(model, name)
        self.val_gap = require_gap(val_gap)
        self._accuracy: tuple[int, float | None] | None = None

    @abstractmethod
    def update(self, index: NDArray[np.int64]) -> Update:
        """Change the network in place so that it forgets the training rows ``index``.

        Raises:
            ScrubError: It cannot be done; the network is as it was.
            SolveError: Likewise.
        """

    def remove(self, rows: Sequence[int]) -> Outcome:
        """Update the network, and keep the update if it leaves the network whole.

        Raises:
            InvalidValue: A row is out of range, named twice or gone already, or no row would stay.
        """
        index = self._checked(rows)
        self._served += 1
        validation = self._validation_without(index)
        before = self._accuracy_now(validation)
        try:
            figures, undo = self.update(index)
        except (ScrubError, SolveError) as error:
            return Outcome("refused", tuple(index.tolist()), str(error))
        after = self._accuracy_on(validation)
        reason = self._harm(index, before, after)
        if after is not None:
            figures["validation_accuracy"] = after
        if reason is not None:
            undo()
            return Outcome("refused", tuple(index.tolist()), reason, figures=figures)
        self.kept[index] = False
        self._accuracy = len(validation or ()), after
        return Outcome("removed", tuple(index.tolist()), figures=figures)

    def _validation_without(self, index: NDArray[np.int64]) -> Examples | None:
        """The validation rows whose labels some training row has once ``index`` has left."""
        if self._validation is None:
            return None
        stay = self.kept.copy()
        stay[index] = False
        rows = self._validation.rows
        return self._validation.only(rows[np.isin(self._validation.y.numpy()[rows], self.codes[stay])])

    def _accuracy_on(self, validation: Examples | None) -> float | None:
        """Accuracy on these rows; None where there are none."""
        if validation is None or not len(validation):
            return None
        return float(np.mean(self._codes_of(validation) == validation.y.numpy()[validation.rows]))

    def _accuracy_now(self, validation: Examples | None) -> float | None:
        """That of the network as it is; known from the last update where the rows are the same."""
        if self._accuracy is None or self._accuracy[0] != len(validation or ()):
            self._accuracy = len(validation or ()), self._accuracy_on(validation)
        return self._accuracy[1]

    def _harm(self, index: NDArray[np.int64], before: float | None, after: float | None) -> str | None:
        """What is wrong with the network after an update, or None."""
        if not all(bool(torch.isfinite(p).all()) for p in self.module.state_dict().values()):
            return "the update leaves weights that are not finite"
        if not bool(torch.isfinite(example_losses(self.module, cross_entropy, self._training(index))).all()):
            return "the update diverges: the loss of the removed rows is not finite"
        return fall(before, after, self.val_gap)

    def fit(self, x: Any, y: NDArray[np.int64], seed: int | None = None) -> None:
        """Train on all rows."""
        super().fit(x, y, seed)
        self._accuracy = None

    def load_state(self, state: State, x: Any, y: NDArray[np.int64]) -> None:
        """Continue from ``state``."""
        super().load_state(state, x, y)
        self._accuracy = None

    def _whole(self) -> Callable[[], None]:
        """Keep the network's whole state; calling the result puts it back."""
        saved: dict[str, Tensor] = {name: v.clone() for name, v in self.module.state_dict().items()}

        def put_back() -> None:
            with torch.no_grad():
                for name, value in self.module.state_dict().items():
                    value.copy_(saved[name])

        return put_back
