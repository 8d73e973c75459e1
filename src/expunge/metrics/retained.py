"""How well the model still fits the rows that nobody asked to forget."""

from __future__ import annotations

import numpy as np

from expunge.metrics.base import View, require_every
from expunge.metrics.sample import loss_and_gradient


class Retained:
    """``retain_loss`` and ``retain_gradient_norm``.

    Mean loss over the retain set and 2-norm of its gradient with respect to all weights; without
    regularisation or perturbation, so that the gradient is not zero where a regularised training ends.

    Args:
        every: Evaluate after every this many requests (and after the last); None: after the last alone.
    """

    columns = ("retain_loss", "retain_gradient_norm")

    def __init__(self, every: int | None = 20) -> None:
        self.every = require_every(every)

    def __call__(self, view: View) -> dict[str, float | None]:
        """Two passes over the retain set."""
        found = loss_and_gradient(view, np.flatnonzero(~view.requested))
        return dict(zip(self.columns, found, strict=True))
