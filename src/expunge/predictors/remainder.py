"""What is left of a linear model once rows have left: classes, columns, and the problem of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from expunge.linear.certified_column import WeightColumn
from expunge.linear.classes import ClassList
from expunge.linear.logistic import LogisticProblem
from expunge.linear.operations import RowOperations
from expunge.predictors.base import NothingLeft
from expunge.predictors.linear_outputs import Released

Column = TypeVar("Column", bound=WeightColumn)


@dataclass(frozen=True)
class Remainder(Generic[Column]):
    """What is left.

    Attributes:
        classes: Those that some row has.
        columns: Theirs, as they are.
        problems: Of each, the loss over the rows that stay; that of a column that used none of the others is
            the same object as before.
    """

    classes: ClassList
    columns: list[Column]
    problems: list[LogisticProblem]


def remainder(out: Released, classes: ClassList, index: NDArray[np.int64]) -> Remainder[WeightColumn]:
    """What the departure of the rows ``index`` leaves of ``out``; ``classes`` have rows without them.

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
    return Remainder(classes, columns, _without(columns, index))


def _without(columns: Sequence[WeightColumn], index: NDArray[np.int64]) -> list[LogisticProblem]:
    """The columns' problems without these rows."""
    rows: RowOperations | None = None
    problems = []
    for column in columns:
        problem = column.problem
        if problem.rows is not rows:  # columns that share rows go on sharing them
            rows = problem.rows
            left = rows.without(index) if rows.uses(index).any() else rows
        problems.append(problem if left is rows else replace(problem, rows=left))
    return problems
