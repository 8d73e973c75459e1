"""Tug of war: accuracies on what is to be forgotten and on what is to be kept, in one number."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from expunge.core.checks import require_seed
from expunge.core.columns import Column
from expunge.core.errors import InvalidValue
from expunge.metrics.accuracy import accuracy
from expunge.metrics.base import Evaluated, Values, View
from expunge.predictors import Differentiable

log = logging.getLogger(__name__)


def tug_of_war(unlearned: Sequence[float | None], retrained: Sequence[float | None]) -> float | None:
    """``prod_i (1 - |a_i - r_i|)`` over the accuracies a of a model and r of the retrained one.

    Between 0 and 1; more is better, and 1 is the accuracies of the retrained model. None where one of them is
    not defined. Zhao et al., *What Makes Unlearning Hard and What to Do About It*, NeurIPS 2024.
    """
    pairs = [(a, r) for a, r in zip(unlearned, retrained, strict=True) if a is not None and r is not None]
    if len(pairs) < len(unlearned):
        return None
    return float(np.prod([1 - abs(a - r) for a, r in pairs]))


class Tow(Evaluated):
    """``tug_of_war`` over forget set, retain set and test rows against the model that ``View.reference`` is.

    Test rows of classes that no training row ever had do not count (see ``Accuracy``).

    Args:
        every: As of every metric.
        seed: Of the retrained model; None: the run's own, whose model other metrics share.
    """

    needs = Differentiable
    COLUMNS = {
        "tow": Column(
            "ToW",
            "↑",
            "tug of war: product over removed, retained and test rows of 1 - |accuracy - that of the model "
            "trained from scratch without the removed rows|; 1 is the retrained model's accuracies; doing "
            "nothing is near it where the retrained model still gets the removed rows right",
            "accuracy",
            main=True,
        )
    }

    def __init__(self, every: int | None = None, seed: int | None = None) -> None:
        super().__init__(every)
        self.seed = None if seed is None else require_seed("seed", seed)

    def __call__(self, view: View) -> Values:
        """One training, shared with other metrics, and two passes over all rows."""
        reference = view.reference if self.seed is None else replace(view, model=self._seeded(view)).reference
        if reference is None:
            log.warning("tow is not defined: there is no model for the rows that stay")
            return {"tow": None}
        return {"tow": tug_of_war(*(accuracies(view, model) for model in (view.model, reference)))}

    def _seeded(self, view: View) -> Any:
        """The model, as one that is trained from scratch with the other seed."""
        if not hasattr(view.model, "seed"):
            raise InvalidValue("seed", self.seed, "null for a model that has no seed")
        model = copy.copy(view.model)
        model.seed = self.seed
        return model


def accuracies(view: View, model: Differentiable) -> list[float | None]:
    """Of one model on the forget set, the retain set and the test rows; None where there are no rows."""
    predicted, forget, known = model.predict(view.x_train), view.requested, view.known_test
    told = model.predict(view.x_test)[known]
    return [
        accuracy(predicted[forget], view.y_train[forget]),
        accuracy(predicted[~forget], view.y_train[~forget]),
        accuracy(told, view.y_test[known]),
    ]
