"""What became of a person and of everybody else: accuracies by class, beside the retrained model's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from expunge.core.columns import AIM, Column, Plot, beside_references, references
from expunge.datasets.base import of_known_classes
from expunge.metrics.accuracy import accuracy
from expunge.metrics.base import Evaluated, Values, View
from expunge.predictors import Differentiable, Predictor

_PERSONS = "of the persons asked to be removed"
_OVER = "over that of the model before any removal"


def _accuracy(side: str, part: str, definition: str) -> Column:
    rest = side == "rest"
    plot = Plot(
        "identity",
        "rest" if rest else "removed",
        {"train": "Training rows", "test": "Test rows"}[part],
        "share classified correctly",
        against=f"rest_{part}_kept" if rest else "",
        heading="Accuracy against removals",
        caption="Share classified correctly, of all images of the persons asked to be removed so far and of "
        "all other persons' images, as the model stands after each request",
    )
    return Column(f"{side}, {part}", "↑" if rest else "", definition, plot=plot)


ACCURACIES = {
    "identity_train_accuracy": _accuracy(
        "person",
        "train",
        f"share of all training rows {_PERSONS} classified correctly, whether requested yet or not; {AIM}",
    ),
    "identity_test_accuracy": _accuracy(
        "person", "test", f"share of test rows {_PERSONS} classified correctly; {AIM}"
    ),
    "rest_train_accuracy": _accuracy(
        "rest", "train", "share of training rows of all other persons classified correctly"
    ),
    "rest_test_accuracy": _accuracy(
        "rest", "test", "share of test rows of all other persons classified correctly"
    ),
}
KEPT = {
    "rest_train_kept": Column(
        "rest kept, train", "↑", f"accuracy on training rows of all other persons, {_OVER}"
    ),
    "rest_test_kept": Column("rest kept, test", "↑", f"accuracy on test rows of all other persons, {_OVER}"),
}

Mask = NDArray[np.bool_]


def of_persons(y_train: NDArray[np.int64], y_test: NDArray[np.int64], requested: Mask) -> tuple[Mask, ...]:
    """Which rows are the removed persons' and which everybody else's.

    Removed persons are the classes of which a training row has been requested.

    Args:
        y_train: (n,) labels.
        y_test: (m,) labels. Rows of classes that no training row has belong to neither side.
        requested: (n,).

    Returns:
        Training rows of the removed persons, their test rows, training rows of the rest, its test rows.
    """
    removed = np.unique(y_train[requested])
    train, test = np.isin(y_train, removed), np.isin(y_test, removed)
    return train, test, ~train, ~test & of_known_classes(y_test, y_train)


def kept(now: float | None, before: float | None) -> float | None:
    """``now / before``, the share of an accuracy that is left; None where one is not defined, or from 0."""
    return now / before if now is not None and before else None


class Identity(Evaluated):
    """Accuracies of the removed persons and of the rest; see ``COLUMNS``.

    None where there are no such rows: of a person without test rows, say, or before any request.
    """

    COLUMNS = beside_references(ACCURACIES)

    def __init__(self, every: int | None = 1) -> None:
        super().__init__(every)

    def __call__(self, view: View) -> dict[str, float | None]:
        """One pass over the training rows and one over the test rows."""
        return dict(_accuracies(view.model, view))


class IdentityReference(Evaluated):
    """The same accuracies of the retrained model, and how much the rest has kept; see ``COLUMNS``.

    None is also what a model that is not ``Differentiable`` gets: it has no such models.
    Each evaluation is two trainings, both of them shared with other metrics.
    """

    needs = Differentiable
    COLUMNS = {**beside_references(KEPT), **references(ACCURACIES | KEPT)}

    def __call__(self, view: View) -> dict[str, float | None]:
        """Two trainings, and three passes over all rows."""
        if view.original is None:
            return dict.fromkeys(self.COLUMNS)
        before = _accuracies(view.original, view)
        found = dict(_kept(_accuracies(view.model, view), before))
        if view.reference is not None:
            accuracies = _accuracies(view.reference, view)
            theirs = {**accuracies, **_kept(accuracies, before)}
            found |= {f"retrain_{name}": value for name, value in theirs.items()}
        return {name: found.get(name) for name in self.COLUMNS}


def _accuracies(model: Predictor | Differentiable, view: View) -> Values:
    """The columns of ``Identity`` for any model."""
    train, test = (model.predict(view.x_train), view.y_train), (model.predict(view.x_test), view.y_test)
    parts = of_persons(view.y_train, view.y_test, view.requested)
    sides = zip(ACCURACIES, (train, test) * 2, parts, strict=True)
    return {name: accuracy(predicted[rows], labels[rows]) for name, (predicted, labels), rows in sides}


def _kept(now: Values, before: Values) -> Values:
    return {
        f"rest_{part}_kept": kept(now[f"rest_{part}_accuracy"], before[f"rest_{part}_accuracy"])
        for part in ("train", "test")
    }
