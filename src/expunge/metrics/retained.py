"""How well the model still fits the rows that nobody asked to forget."""

from __future__ import annotations

import numpy as np

from expunge.core.columns import Column, Plot
from expunge.metrics.base import Evaluated, View
from expunge.metrics.sample import loss_and_gradient
from expunge.predictors import Differentiable


class Retained(Evaluated):
    """``retain_loss`` and ``retain_gradient_norm``.

    Mean loss over the retain set and 2-norm of its gradient with respect to all weights; without
    regularisation or perturbation, so that the gradient is not zero where a regularised training ends.
    """

    needs = Differentiable
    COLUMNS = {
        "retain_loss": Column(
            "retain loss",
            "↓",
            "mean loss of the training rows nobody asked to forget",
            shown=False,
            plot=Plot(
                "retained",
                title="Loss, retained rows",
                unit="mean loss",
                heading="What stays, along the requests",
                caption="The rows that nobody asked to remove, along the requests",
            ),
            caveat="Along the requests: loss and gradient on the rows that nobody asked to remove.",
        ),
        "retain_gradient_norm": Column(
            "retain gradient",
            "↓",
            "2-norm of the gradient of the mean loss of the training rows nobody asked to forget",
            shown=False,
            plot=Plot("retained", title="Gradient, retained rows", unit="norm of mean gradient"),
        ),
    }

    def __init__(self, every: int | None = 20) -> None:
        super().__init__(every)

    def __call__(self, view: View) -> dict[str, float | None]:
        """Two passes over the retain set."""
        found = loss_and_gradient(view, np.flatnonzero(~view.requested))
        return dict(zip(self.COLUMNS, found, strict=True))
