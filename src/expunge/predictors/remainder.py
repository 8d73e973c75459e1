"""What is left of a linear model once rows have left: classes, columns, and the problem of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from expunge.core.row_set import RowSet
from expunge.linear.certified_column import WeightColumn
from expunge.linear.classes import ClassList
from expunge.linear.logistic import LogisticProblem
from expunge.linear.rows import Rows
from expunge.predictors.base import NothingLeft
from expunge.predictors.linear_outputs import Released

Column = TypeVar("Column", bound=WeightColumn)


@dataclass(frozen=True)
class Remainder(Generic[Column]):
    """What is left.

    Attributes:
        classes: Those that some row has.
        columns: Theirs, as they are.
        made: What makes ``problems``.
    """

    classes: ClassList
    columns: list[Column]
    made: Callable[[], list[LogisticProblem]]

    @cached_property
    def problems(self) -> list[LogisticProblem]:
        """Of each column the loss over the rows that stay.

        That of a column that used none of the others is the same object as before. It costs O(n), so that it
        is made when it is first asked for.
        """
        return self.made()


def remainder(
    out: Released, classes: ClassList, there: RowSet, index: NDArray[np.int64]
) -> Remainder[WeightColumn]:
    """What the departure of the rows ``index`` from those ``there`` leaves of ``out``: ``classes`` have some.

    Raises:
        NothingLeft: There is but one.
    """
    if len(classes.labels) < 2:
        raise NothingLeft(
            "rows of one class alone would be left: there is no model for one class, and training again "
            "would give none"
        )
    stay = np.isin(out.classes.columns, classes.columns)
    columns = [column for column, stays in zip(out.columns, stay, strict=True) if stays]
    return Remainder(classes, columns, lambda: problems_of(columns, there.without(index)))


def problems_of(columns: Sequence[WeightColumn], there: RowSet) -> list[LogisticProblem]:
    """The columns' problems over the rows that are there, whichever of the others they have still."""
    rows: Rows | None = None
    gone = there.gone
    problems = []
    for column in columns:
        problem = column.problem
        if problem.rows is not rows:  # columns that share rows go on sharing them
            rows = problem.rows
            left = rows.without(gone) if np.any(rows.scale[gone] != 0) else rows
        problems.append(problem if left is rows else replace(problem, rows=left))
    return problems
