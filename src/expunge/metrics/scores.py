"""What the accuracy does not show where classes are of different sizes: AUC, F1 and the log-loss."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score, log_loss, roc_auc_score

from expunge.core.columns import Column
from expunge.metrics.base import Evaluated, View
from expunge.predictors import Probabilistic

log = logging.getLogger(__name__)

Array = NDArray[np.float64]
Ids = NDArray[np.int64]


class _Undefined(Exception):
    """A score has no value; the text says why."""


class Scores(Evaluated):
    """``test_auc``, ``test_f1`` and ``test_log_loss``, by scikit-learn's functions.

    On test rows of classes that some training row had before any removal. A class that has left the model has
    probability 0. A score that is not defined is None, and the log says why, once.

    Args:
        every: See ``Evaluated``.
    """

    needs = Probabilistic
    COLUMNS = {
        "test_auc": Column(
            "test AUC",
            "↑",
            "area under the ROC curve of the test rows: how often a row of the class is scored above one "
            "that is not of it; of more than two classes the mean over the classes",
            "accuracy",
        ),
        "test_f1": Column(
            "test F1",
            "↑",
            "harmonic mean of precision and recall on the test rows, of two classes that of the one whose "
            "label comes last, of more the mean over the classes",
            "accuracy",
        ),
        "test_log_loss": Column(
            "test log-loss",
            "↓",
            "mean of minus the natural logarithm of the probability of a test row's class, no probability "
            "taken for less than 2.2e-16",
        ),
    }

    def __init__(self, every: int | None = 1) -> None:
        super().__init__(every)
        self._said: set[str] = set()

    def __call__(self, view: View) -> dict[str, float | None]:
        """Two passes over the test rows."""
        known, classes = view.known_test, np.unique(view.y_train)
        y = view.y_test[known]
        found = np.zeros((len(known), len(classes)))
        found[:, np.searchsorted(classes, view.model.classes_)] = view.model.probabilities(view.x_test, known)
        predicted = view.model.predict(view.x_test)[known]
        return {
            "test_auc": self._defined("test_auc", lambda: auc(y, found, classes)),
            "test_f1": self._defined("test_f1", lambda: f1(y, predicted, classes)),
            "test_log_loss": self._defined("test_log_loss", lambda: mean_log_loss(y, found, classes)),
        }

    def _defined(self, name: str, score: Callable[[], float]) -> float | None:
        try:
            return score()
        except _Undefined as why:
            if name not in self._said:
                log.warning("%s is not defined: %s", name, why)
            self._said.add(name)
            return None


def auc(y: Ids, probabilities: Array, classes: Ids) -> float:
    """Area under the ROC curve; of K > 2 classes the mean over those that test rows are of.

    Args:
        y: (m,) labels.
        probabilities: (m, K).
        classes: (K,) labels, in rising order.
    """
    chosen = range(len(classes)) if len(classes) > 2 else [len(classes) - 1]
    tasks = [(y == classes[k], probabilities[:, k]) for k in chosen]
    found = [roc_auc_score(own, score) for own, score in tasks if own.any() and not own.all()]
    if not found:
        raise _Undefined("it needs test rows of two classes")
    return float(np.mean(found))


def f1(y: Ids, predicted: Ids, classes: Ids) -> float:
    """F1 of the class whose label is the larger of two; of K > 2 classes the mean over those that occur."""
    if len(classes) > 2 and len(y):
        return float(f1_score(y, predicted, average="macro"))
    if not ((y == classes[-1]) | (predicted == classes[-1])).any():
        raise _Undefined("no test row is, or is predicted to be, of the class whose label comes last")
    return float(f1_score(y == classes[-1], predicted == classes[-1]))


def mean_log_loss(y: Ids, probabilities: Array, classes: Ids) -> float:
    """The mean of ``-log p`` of each row's own class; arguments as of ``auc``."""
    if not len(y):
        raise _Undefined("there are no test rows of the model's classes")
    return float(log_loss(y, probabilities, labels=classes))
