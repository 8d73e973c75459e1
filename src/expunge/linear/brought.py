"""Rows that a request brings along: who serves it need not have any."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expunge.linear.rows import Array


@dataclass(frozen=True)
class Brought:
    """The rows of a request, in its order.

    Attributes:
        x: (m, d) float64, as the model sees them: with norms of at most 1.
        labels: (m,) of their classes, as the model was given them.
    """

    x: Array
    labels: NDArray[np.int64]
