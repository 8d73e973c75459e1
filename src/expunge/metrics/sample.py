"""What a request does to the loss of its own rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.columns import Column, Plot
from expunge.metrics.base import Evaluated, View
from expunge.predictors import Differentiable

_LOSS = "mean loss of a request's rows"
_GRADIENT = "2-norm of the gradient of the mean loss of a request's rows"
_HIDDEN: dict[str, Any] = {"over_run": "mean", "shown": False}


def loss_and_gradient(view: View, rows: NDArray[np.int64]) -> tuple[float | None, float | None]:
    """Mean loss of some training rows, and the 2-norm of its gradient with respect to all weights.

    Both are None for no rows and for a model that is not ``Differentiable``.
    """
    model = view.model
    if not len(rows) or not isinstance(model, Differentiable):
        return None, None
    loss = float(np.mean(model.losses(view.x_train, view.y_train, rows)))
    return loss, model.gradient_norm(view.x_train, view.y_train, rows)


class Sample(Evaluated):
    """``sample_loss_before``, ``sample_loss_after``, ``sample_gradient_before``, ``sample_gradient_after``.

    Mean loss of the request's rows and 2-norm of its gradient, at the models before and after the request. A
    method that forgets a sample leaves it with a higher loss; one that refuses leaves both as they were.
    """

    needs = Differentiable
    COLUMNS = {
        "sample_loss_before": Column("sample loss before", "", f"{_LOSS}, before it", **_HIDDEN),
        "sample_loss_after": Column("sample loss after", "", f"{_LOSS}, after it", **_HIDDEN),
        "sample_gradient_before": Column("sample gradient before", "", f"{_GRADIENT}, before it", **_HIDDEN),
        "sample_gradient_after": Column(
            "sample gradient",
            "",
            f"{_GRADIENT}, before and after it; mean over the requests",
            beside="sample_gradient_before",
            over_run="mean",
            sub="before → after, mean",
            cell="{beside} → {value}",
            only="heuristic",
            plot=Plot(
                "sample",
                "smoothed",
                "Gradient of the removed sample",
                "2-norm of the gradient of its loss",
                against="sample_gradient_before",
                caption="Gradient of the mean loss of a request's rows, with respect to all weights",
            ),
            headline="gradient of the removed sample after its request (mean)",
            headline_of="{beside} before it",
            caveat="For each request: loss and gradient of the removed rows, before and after it. Where the "
            "loss is larger after, the model fits these rows less well; that does not show that no trace of "
            "them is left.",
        ),
    }

    def __init__(self, every: int | None = 1) -> None:
        super().__init__(every)
        self._before: tuple[float | None, float | None] = None, None

    def before(self, view: View) -> None:
        """Keep the loss and the gradient's norm at the model that the request finds."""
        self._before = loss_and_gradient(view, np.array(view.rows, dtype=np.int64))

    def __call__(self, view: View) -> dict[str, float | None]:
        """Two passes over the request's rows."""
        after = loss_and_gradient(view, np.array(view.rows, dtype=np.int64))
        (loss, gradient), self._before = self._before, (None, None)
        return dict(zip(self.COLUMNS, (loss, after[0], gradient, after[1]), strict=True))
