"""Share of right predictions on the test set, the forget set and the retain set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import require_count
from expunge.core.columns import Column, Plot
from expunge.metrics.base import View

_SHARE = "share classified correctly"


def accuracy(predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> float | None:
    """Mean of ``predicted == labels``; None for no rows."""
    return float(np.mean(predicted == labels)) if len(labels) else None


class Accuracy:
    """``test_accuracy``, ``forget_accuracy`` and ``retain_accuracy``.

    Test rows of classes that no training row ever had (the people of a re-identification gallery) do not
    count. Rows of a class that has left the model count as wrong, for every method alike.

    Args:
        every: Evaluate after every this many requests (and after the last).
    """

    COLUMNS = {
        "test_accuracy": Column(
            "test accuracy",
            "↑",
            "share of test rows classified correctly",
            "accuracy",
            over_run="",
            plot=Plot("accuracy", title="Test accuracy", unit=_SHARE, heading="Accuracy along the requests"),
        ),
        "forget_accuracy": Column(
            "forget accuracy",
            "",
            "share of the rows asked to be removed that the last model classifies correctly; the aim is what "
            "a model that never saw them reaches, not 0",
            "accuracy",
            sub="last",
            only="heuristic",
            plot=Plot("accuracy", title="Accuracy on the removed rows", unit=_SHARE),
        ),
        "retain_accuracy": Column(
            "retain accuracy",
            "↑",
            "share of the training rows never asked to be removed that the last model classifies correctly",
            "accuracy",
            sub="last",
            only="heuristic",
            plot=Plot("retained", title="Accuracy, retained rows", unit=_SHARE, joins=True),
        ),
    }

    def __init__(self, every: int = 1) -> None:
        self.every = require_count("every", every)

    def __call__(self, view: View) -> dict[str, float | None]:
        """One pass over the test rows and one over the training rows."""
        predicted, forget = view.model.predict(view.x_train), view.requested
        told, known = view.model.predict(view.x_test), view.known_test
        return {
            "test_accuracy": accuracy(told[known], view.y_test[known]),
            "forget_accuracy": accuracy(predicted[forget], view.y_train[forget]),
            "retain_accuracy": accuracy(predicted[~forget], view.y_train[~forget]),
        }
