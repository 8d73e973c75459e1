"""What mislabelled rows have taught a model, and whether it is gone: the test of interclass confusion."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from expunge.core.columns import AIM, Column, with_references
from expunge.datasets.corruption import MISLABEL
from expunge.metrics.accuracy import accuracy
from expunge.metrics.base import Evaluated, Values, View
from expunge.predictors import Differentiable, Predictor

log = logging.getLogger(__name__)


def interclass_confusion(
    predicted: NDArray[np.int64], labels: NDArray[np.int64], pair: tuple[int, int]
) -> float | None:
    """Share of the rows of two classes that are taken for the other one of the two.

    Goel et al., *Towards Adversarial Evaluations for Inexact Machine Unlearning*, 2022, which counts them.

    Args:
        predicted: (n,) labels by a model.
        labels: (n,) true ones.
        pair: The two.

    Returns:
        None where there are no rows of either.
    """
    first, second = (labels == label for label in pair)
    if not (first | second).any():
        return None
    swapped = np.sum(predicted[first] == pair[1]) + np.sum(predicted[second] == pair[0])
    return float(swapped / np.sum(first | second))


class Mislabelled(Evaluated):
    """Accuracy on the rows of ``dataset.mislabel`` by their true labels, and confusion on test rows.

    Both of the model and of the model that ``View.reference`` is. The true labels are for this alone:
    nothing is trained on them. Which rows were mislabelled does not depend on which of them have been asked
    to leave.
    """

    needs = Differentiable
    needs_corruption = MISLABEL
    COLUMNS = with_references(
        {
            "true_accuracy": Column(
                "true accuracy",
                "",
                f"share of the mislabelled training rows classified as what they truly are; {AIM}",
                "accuracy",
            ),
            "interclass_confusion": Column(
                "interclass confusion",
                "",
                "share of test rows of the two classes of dataset.mislabel that are taken for the other one "
                f"of them; {AIM}",
            ),
        }
    )

    def __call__(self, view: View) -> Values:
        """One training, shared with other metrics, and a pass over all rows for each of the two models."""
        found = {
            f"{of}{name}": value
            for of, model in (("", view.model), ("retrain_", view.reference))
            for name, value in _of(view, model).items()
        }
        if view.corruption is None or view.corruption.pair is None:
            log.warning("interclass_confusion is not defined: dataset.mislabel names no source and target")
        return found


def _of(view: View, model: Predictor | Differentiable | None) -> Values:
    """Those of one model."""
    if model is None or view.corruption is None:
        return {"true_accuracy": None, "interclass_confusion": None}
    rows, pair = view.corruption.mislabelled, view.corruption.pair
    return {
        "true_accuracy": accuracy(model.predict(view.x_train)[rows], view.corruption.truth[rows]),
        "interclass_confusion": None
        if pair is None
        else interclass_confusion(model.predict(view.x_test), view.y_test, pair),
    }
