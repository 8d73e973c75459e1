"""How far the model is from one that never saw the requested rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.columns import Column, Plot
from expunge.metrics.accuracy import accuracy
from expunge.metrics.base import Evaluated, View
from expunge.predictors import ByClass, Differentiable

Arrays = Mapping[str, NDArray[Any]]

_DRAWN = ("perturbation",)  # drawn, not learned: no weights


WEIGHT_DISTANCE = {
    "retrain_weight_distance": Column(
        "from retrained",
        "↓",
        "how far the last model is from one trained from scratch without all requested rows: distance of the "
        "weights over the norm of its weights; share of test rows classified differently",
        beside="retrain_disagreement",
        sub="weights, predictions",
        cell="{value}, {beside}",
        only="heuristic",
        plot=Plot(
            "distance",
            "stem",
            "Weights apart",
            "relative distance",
            heading="Distance to a retrained model",
            caption="After the last request, against one model trained from scratch without all requested "
            "rows. Weights apart: norm of the difference over the norm of the retrained weights. Predictions "
            "that differ: share of the test rows",
        ),
        caveat="After the last request: one model trained from scratch without all requested rows. Two "
        "models trained like that differ from each other as well, so a distance means little without knowing "
        "theirs.",
    )
}


def comparable(model: Any, reference: Any) -> tuple[Arrays, Arrays]:
    """The arrays of two models for ``weight_distance``: class by class where they have not the same classes.

    A model whose requests were refused may have one that the retrained model has not: it is left out.
    """
    both = model, reference
    if all(isinstance(one, ByClass) for one in both) and not np.array_equal(*(one.classes_ for one in both)):
        return model.by_class(), reference.by_class()
    return model.model(), reference.model()


def weight_distance(model: Arrays, reference: Arrays) -> float | None:
    """``||w - w_ref||_2 / ||w_ref||_2`` over the floating-point arrays that both models have.

    Arrays of different names or shapes are left out, and so is a perturbation. None where nothing is left, or
    ``w_ref`` is zero. Smaller is nearer.
    """
    difference, size = 0.0, 0.0
    for name, theirs in reference.items():
        ours = model.get(name)
        if ours is None or ours.shape != theirs.shape or name in _DRAWN:
            continue
        if np.issubdtype(ours.dtype, np.floating) and np.issubdtype(theirs.dtype, np.floating):
            wide = theirs.astype(np.float64)
            difference += float(np.sum((ours.astype(np.float64) - wide) ** 2))
            size += float(np.sum(wide**2))
    return float(np.sqrt(difference / size)) if size else None


def disagreement(predicted: NDArray[np.int64], reference: NDArray[np.int64]) -> float | None:
    """Share of rows that two models classify differently; None for no rows. Smaller is nearer."""
    return float(np.mean(predicted != reference)) if len(predicted) else None


class Retrained(Evaluated):
    """Compares with the reference: the same model trained from scratch on the retain set.

    See ``COLUMNS`` and ``weight_distance``. Test rows of classes that no training row has do not count.
    """

    needs = Differentiable
    COLUMNS = {
        **WEIGHT_DISTANCE,
        "retrain_disagreement": Column(
            "differs from retrained",
            "↓",
            "share of test rows that this and the retrained model classify differently",
            "share",
            shown=False,
            plot=Plot("distance", "stem", "Predictions that differ", "share of test rows"),
            headline="predictions unlike those of a retrained model",
            headline_of="of the test rows",
        ),
        **{
            f"retrain_{side}_accuracy": Column(
                f"{side} accuracy, retrained",
                "",
                f"{side} accuracy of the retrained model, as a reference",
                "accuracy",
                shown=False,
                plot=Plot(
                    "distance", "pair", title, "share classified correctly", against=f"{side}_accuracy"
                ),
            )
            for side, title in (
                ("test", "Test rows"),
                ("forget", "Removed rows"),
                ("retain", "Retained rows"),
            )
        },
        "retrain_retain_gradient_norm": Column(
            "retain gradient, retrained",
            "",
            "retain_gradient_norm of the retrained model, as a reference",
            shown=False,
        ),
    }

    def __call__(self, view: View) -> dict[str, float | None]:
        """One training, and a few passes over all rows."""
        forget, reference, ours = view.requested, view.reference, view.model
        if reference is None:
            return dict.fromkeys(self.COLUMNS)
        known = view.known_test
        predicted, test = reference.predict(view.x_train), reference.predict(view.x_test)[known]
        found = (
            weight_distance(*comparable(ours, reference)),
            disagreement(ours.predict(view.x_test)[known], test),
            accuracy(test, view.y_test[known]),
            accuracy(predicted[forget], view.y_train[forget]),
            accuracy(predicted[~forget], view.y_train[~forget]),
            reference.gradient_norm(view.x_train, view.y_train, np.flatnonzero(~forget)),
        )
        return dict(zip(self.COLUMNS, found, strict=True))
