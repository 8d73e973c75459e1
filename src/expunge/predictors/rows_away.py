"""The rows of a model that was loaded without them: how many there are is known, and nothing else."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from expunge.linear.logistic import LogisticProblem
from expunge.linear.rows import Array, Rows
from expunge.predictors.base import RowsOutOfReach


class RowsAway:
    """Stands where ``Rows`` do; whatever would look at one of them is refused.

    Attributes:
        dim: Features d.
        count: Rows that have not been removed, of those that are in use.
        places: Rows that a pass would go through.
    """

    def __init__(self, dim: int, count: int, places: int) -> None:
        self.dim, self.count, self.places = dim, count, places

    def __getattr__(self, name: str) -> Any:
        """Refuse what there is of rows, and of them alone.

        Raises:
            RowsOutOfReach: Always, but for what no rows have either.
        """
        if name.startswith("_") or not (hasattr(Rows, name) or name in Rows.__annotations__):
            raise AttributeError(name)
        raise RowsOutOfReach


def problem_away(dim: int, count: int, places: int, lam: float, b: Array) -> LogisticProblem:
    """The loss over ``count`` rows that are out of reach."""
    rows = cast("Rows", RowsAway(dim, count, places))
    return LogisticProblem(rows, np.empty(0), lam, np.ascontiguousarray(b))
