"""The true gradient residual, for requests whose update did not compute it."""

from __future__ import annotations

from expunge.core.checks import require_count
from expunge.metrics.base import View
from expunge.unlearners.base import RESIDUAL


class Residual:
    """``residual_measured``: ||grad L_b(w; D)||_2 over the rows that remain.

    Args:
        every: Evaluate after every this many requests (and after the last).
    """

    COLUMNS = RESIDUAL

    def __init__(self, every: int = 1) -> None:
        self.every = require_count("every", every)

    def __call__(self, view: View) -> dict[str, float | None]:
        """One pass over the training rows; outside the removal's own time."""
        return {"residual_measured": view.model.residual()}
