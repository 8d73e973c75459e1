"""What a metric sees, and what it must offer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from expunge.unlearners.base import Unlearner


@dataclass(frozen=True)
class View:
    """The run as a metric sees it after a request.

    Attributes:
        requested: (n_train,) bool, the **forget set**: rows that were asked to be forgotten so far, whatever
            became of the request, so that it is the same for every method served the same requests. The
            **retain set** is the rest.
    """

    unlearner: Unlearner
    x_train: Any
    y_train: NDArray[np.int64]
    x_test: Any
    y_test: NDArray[np.int64]
    requested: NDArray[np.bool_]


class Metric(Protocol):
    """Evaluated after every ``every``-th request, and after the last."""

    every: int
    columns: tuple[str, ...]

    def __call__(self, view: View) -> dict[str, float | None]:
        """Return one number a column (None where it is not defined)."""
