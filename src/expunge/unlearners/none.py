"""The other end of the scale: a method that removes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from expunge.predictors import Predictor
from expunge.unlearners.base import Method, Outcome

REASON = "no-op baseline: nothing is removed"


class NoOp(Method):
    """A model like any other; every request is refused.

    Args:
        model: What stays as it is.
        name: What the run files call it.
    """

    role = "baseline"
    supports = ("logistic", "network")

    def __init__(self, model: Predictor, name: str = "none") -> None:
        super().__init__(model, name)

    def remove(self, rows: Sequence[int]) -> Outcome:
        """Leave the model as it is."""
        return Outcome("refused", tuple(self.predictor.checked(rows).tolist()), REASON)
