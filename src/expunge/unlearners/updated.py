"""The columns of a model after a request: all that can share a pass over the rows do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.linear.certified_column import CertifiedColumn
from expunge.linear.column_passes import groups
from expunge.linear.inverses import all_keep_inverses, removed_by_inverses
from expunge.linear.shared_passes import removed_by_shared_passes, share_passes
from expunge.linear.together import removed_together
from expunge.predictors.remainder import Remainder


def updated(
    left: Remainder[CertifiedColumn], index: NDArray[np.int64], update: str, targets: Sequence[float]
) -> list[CertifiedColumn]:
    """The columns of the classes that are left, each with a residual norm of at most its target.

    Args:
        left: What is left without the rows ``index``.
        index: The rows that leave.
        update: ``corrected`` or ``rowless``; see ``expunge.linear.removal``.
        targets: (K,) residual norms.
    """
    if update == "corrected" and (removed := _by_inverses(left.columns)):
        used = index[left.columns[0].problem.rows.uses(index)]
        if len(used):
            return removed(left.columns, left.problems, used, targets)
    columns: list[CertifiedColumn] = []
    for own in groups(left.problems):
        together = left.columns[own], left.problems[own], targets[own]
        used = index[together[0][0].problem.rows.uses(index)]
        if own.stop - own.start > 1 and len(used):
            columns += removed_together(together[0], together[1], used, together[2])
            continue
        columns += [
            column.without_rows(problem, index, update, target)
            for column, problem, target in zip(*together, strict=True)
        ]
    return [_held(column, target) for column, target in zip(columns, targets, strict=True)]


def _by_inverses(columns: Sequence[CertifiedColumn]) -> Any:
    """What removes rows from all columns at once, which keep inverses; None where there is no such way."""
    if all_keep_inverses(columns):
        return removed_by_inverses
    return removed_by_shared_passes if share_passes(columns) else None


def _held(column: CertifiedColumn, target: float) -> CertifiedColumn:
    """The column at its target, which falls as rows leave that it does not use."""
    assert column.gradient is not None
    if float(np.linalg.norm(column.gradient)) <= target:
        return column
    return column.corrected(target)
