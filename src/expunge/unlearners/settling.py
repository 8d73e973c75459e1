"""Erasure: what a certified model keeps is made anew from the rows that stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from expunge.linear.certified_column import CertifiedColumn, Start
from expunge.linear.logistic import LogisticProblem
from expunge.linear.memory import enough_memory
from expunge.linear.solver import FitReport
from expunge.predictors.linear import LinearModel


def trained_anew(
    model: LinearModel,
    columns: Sequence[CertifiedColumn],
    start_of: Callable[[LogisticProblem], Start],
    update: str,
    most: Sequence[float] | None = None,
) -> tuple[list[CertifiedColumn], list[FitReport]]:
    """Train the model's certified columns on the rows that stay, as ``CertifiedColumn.resolved`` says.

    What comes out depends on these rows, on b and on the settings, and on nothing else: it has the bits of a
    model that was trained with other rows in the departed ones' places, and lost those. ``most`` are the
    gradient norms that the columns may have at most, whatever the tolerance.

    Raises:
        InvalidValue: Memory runs out.
    """
    with enough_memory(model.x.dim, model.width, 2 * model.width):
        fits = zip(columns, model.fits(model.compacted(), start_of, most=most), strict=True)
        found = [(column.resolved(*fit, update), fit[1].report) for column, fit in fits]
    return [column for column, _ in found], [report for _, report in found]
