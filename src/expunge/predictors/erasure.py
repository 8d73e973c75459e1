"""A pickle of a model holds its training data, but nothing of rows that have left."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np

from expunge.linear.certified_column import WeightColumn
from expunge.linear.rows_away import RowsAway
from expunge.predictors.linear_columns import LinearColumns


def erased(model: LinearColumns) -> Any:
    """Return a copy of a linear model without contents, norms and labels of the rows that have left.

    The others are where they were, so that what the copy does is what the model does. Where there is
    something to erase the table of rows is copied; a label that no class has takes the place of theirs. Of
    columns that are not settled the weights alone go along: rows that have left can be solved for in what a
    method keeps with them, and which subsamples they were in tells their labels.
    """
    made = copy(model)
    if not hasattr(model, "there") or model.there.count == model.there.size:
        return made
    if not model.is_settled:
        pairs = zip(model.compacted(), model.out.columns, strict=True)
        bare = [WeightColumn(problem, column.w) for problem, column in pairs]
        vars(made)["_out"] = replace(model.out, columns=bare)
    if isinstance(model.x, RowsAway):
        return made
    gone, x = ~model.kept, model.x
    label = int(min(model.classes_)) - 1
    made.x = x.erased(gone)
    weighed = model.sizes is not None and (model.sizes[gone] != 1).any()
    if made.x is x and not (model.y[gone] != label).any() and not weighed:
        return made
    made.y = np.where(gone, label, model.y)
    for name in ("sizes", "own_sizes"):
        if (sizes := getattr(model, name)) is not None:
            setattr(made, name, np.where(gone, 1.0, sizes))
    columns = made.out.columns
    rows = {id(column.problem.rows): column.problem.rows.storing(made.x) for column in columns}
    left = [
        column.without(
            replace(
                column.problem,
                rows=rows[id(column.problem.rows)],
                y=np.where(gone, -1.0, column.problem.y),
            )
        )
        for column in columns
    ]
    vars(made)["_out"] = replace(made.out, columns=left)
    return made
