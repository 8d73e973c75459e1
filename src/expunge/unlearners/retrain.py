"""The gold standard: train from scratch on what is left, for every request."""

from __future__ import annotations

from collections.abc import Sequence

from expunge.predictors import NothingLeft, Predictor
from expunge.unlearners.base import RESIDUAL, Method, Outcome

REASON = "this method retrains for every request"


class Retrain(Method):
    """Retraining without the requested rows: a network from its first weights, the linear model from zero.

    Exact, so it needs no certificate. A linear model keeps its perturbation (the same b throughout), so that
    it differs from a certified run by the removal method alone; a network is never taken from the cache, so
    that its time is true.

    Args:
        model: What is retrained.
        name: What the run files call it.
    """

    role = "reference"
    COLUMNS = RESIDUAL
    supports = ("logistic", "network")

    def __init__(self, model: Predictor, name: str = "retrain") -> None:
        super().__init__(model, name)

    def remove(self, rows: Sequence[int]) -> Outcome:
        """Train again on the rows that stay."""
        index = self.predictor.checked(rows)
        try:
            residual = self.predictor.refit(index)
        except NothingLeft as error:
            return Outcome("refused", tuple(index.tolist()), str(error))
        return Outcome("retrained", tuple(index.tolist()), REASON, residual_measured=residual)
