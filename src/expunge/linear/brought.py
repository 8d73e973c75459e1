"""Rows that a request brings along: who serves it need not have any."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expunge.linear.given import Array


@dataclass(frozen=True)
class Brought:
    """The rows of a request, in its order.

    Attributes:
        x: (m, d) float64, as the model sees them: with norms of at most 1.
        labels: (m,) of their classes, as the model was given them.
        sizes: (m,) what each counts in the loss; None: 1 each.
    """

    x: Array
    labels: NDArray[np.int64]
    sizes: Array | None = None
