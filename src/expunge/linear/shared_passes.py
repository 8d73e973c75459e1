"""Removal from a few columns, each with an inverse Hessian of its own: a pass over the rows serves all.

What ``CertifiedColumn.removed`` does with ``corrected``, for all columns at once. The inverses stay where
they are, in float64 and with their low-rank corrections, and are gone through by as many threads as there
are; of many columns ``inverses`` puts them into one array instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from expunge.linear.certified_column import CertifiedColumn
from expunge.linear.column_passes import MOST_SLOPES, ColumnPasses
from expunge.linear.factor import Factor, Solver
from expunge.linear.given import Array
from expunge.linear.logistic import LogisticProblem, certified_together
from expunge.linear.parallel import for_each, one_blas_thread
from expunge.linear.removal import EXTRA_STEPS, MOST_STEPS, POOR, correct, corrected_for, too_many
from expunge.linear.rows import Rows
from expunge.linear.solver import build_factor

LEAST_NUMBERS = 2**22
"""Of a table from which on this is done: of a smaller one the passes are not what a removal takes."""


def share_passes(columns: Sequence[CertifiedColumn]) -> bool:
    """Whether these are measured columns over the same dense rows, not few of them, each with an inverse."""
    first = columns[0].problem.rows
    if len(columns) < 2 or not isinstance(first, Rows) or columns[0].account.needs_facts:
        return False
    if first.places * first.dim < LEAST_NUMBERS or first.places * len(columns) > MOST_SLOPES:
        return False
    return all(one.problem.rows is first and isinstance(one.factor, Factor) for one in columns)


@one_blas_thread()
def removed_by_shared_passes(
    columns: Sequence[CertifiedColumn],
    problems: Sequence[LogisticProblem],
    index: NDArray[np.int64],
    targets: Sequence[float],
) -> list[CertifiedColumn]:
    """Propose the columns without the rows ``index``, which all of them use.

    A column that its inverse does not bring nearer as it should gets another, and goes on alone
    (``removal.correct``).

    Args:
        columns: K that ``share_passes``, whose gradients are known.
        problems: Their losses over the rows that stay.
        index: The rows that leave.
        targets: (K,) residual norms to reach.
    """
    before = ColumnPasses.of([column.problem for column in columns])
    w = np.stack([column.w for column in columns], axis=1)
    known = np.stack([cast("Array", c.gradient) for c in columns], axis=1) - before.removed(w, index)
    end = _End(problems, _departed(columns, index), w, known, np.asarray(targets))
    end.run(np.array([int(column.drift) for column in columns]))
    found = []
    betas = certified_together(problems, end.w.T, end.gradient.T)
    for k, (column, problem) in enumerate(zip(columns, problems, strict=True)):
        w_k, gradient = (np.ascontiguousarray(array[:, k]) for array in (end.w, end.gradient))
        beta, factor, spent = betas[k], end.factors[k], int(end.spent[k])
        if not end.arrived[k]:
            alone = correct(problem, w_k, gradient, build_factor(problem, w_k), targets[k], extra_steps=1)
            w_k, gradient, factor, spent = alone.w, alone.gradient, alone.factor, alone.extra_steps
            beta = problem.certified(w_k, gradient)
        account = replace(column.account, beta=beta)
        found.append(CertifiedColumn(problem, w_k, account, column.spectral, factor, gradient, spent))
    return found


def _departed(columns: Sequence[CertifiedColumn], index: NDArray[np.int64]) -> Sequence[Solver]:
    """The kept inverses, corrected for the rows that leave or made anew."""
    found: list[Factor | None] = [None] * len(columns)
    rows = columns[0].problem.rows

    def work(k: int) -> None:
        kept = cast("Factor", columns[k].factor)
        found[k] = corrected_for(kept, columns[k].problem, columns[k].w, index)

    if not too_many(len(index), rows.dim) or pays(len(index), rows.places, rows.dim):
        for_each(work, len(columns), len(columns) * rows.dim**2)
    return [  # one after the other: each takes all threads, and they must not wait for each other
        factor or build_factor(column.problem.without(index), column.w)
        for factor, column in zip(found, columns, strict=True)
    ]


def pays(count: int, n: int, dim: int) -> bool:
    """Whether correcting an inverse for so many of n rows surely takes less than summing it anew.

    By multiplications in float64, of which float32 does two in the time of one: at most half as many.
    """
    correcting = 4 * dim * count * (dim + count) + 2 * count**3
    return 2 * correcting <= n * dim**2 / 2 + dim**3


class _End:
    """Where the columns are after some steps.

    Attributes:
        factors: Their inverses.
        w: (d, K) weights.
        gradient: (d, K) gradients there; of one that has ``arrived``, as measured.
        arrived: (K,) whether each is at its target.
        spent: (K,) steps beyond the first since their inverses were made.
    """

    def __init__(
        self,
        problems: Sequence[LogisticProblem],
        factors: Sequence[Solver],
        w: Array,
        known: Array,
        targets: Array,
    ) -> None:
        self.problems, self.factors, self.w, self.gradient = problems, factors, w, known
        self.targets, self.sizes = targets, np.linalg.norm(known, axis=0)
        self.arrived, self.spent = np.zeros(len(targets), dtype=bool), np.zeros(len(targets), dtype=np.int64)

    def run(self, spent: NDArray[np.int64]) -> None:
        """Step until each column is at its target, or needs another inverse; see ``removal.correct``.

        ``spent`` (K,) is the count carried over from earlier requests.
        """
        passes, self.spent = ColumnPasses.of(self.problems), spent
        slopes, at = passes.slopes(), np.arange(len(spent))
        for _ in range(MOST_STEPS):
            point = self.w[:, at] + self._steps(at)
            if len(at) > 1:
                there, _ = passes.gradients(point, at, slopes)
            else:
                there = self.problems[at[0]].gradient(point[:, 0])[:, None]
            size, before = np.linalg.norm(there, axis=0), self.sizes[at]
            self.arrived[at] = size <= self.targets[at]
            taken = (size < before) | self.arrived[at]
            self.w[:, at[taken]], self.gradient[:, at[taken]] = point[:, taken], there[:, taken]
            self.sizes[at[taken]] = size[taken]
            goes_on = ~self.arrived[at] & (size <= POOR * before) & (self.spent[at] < EXTRA_STEPS)
            at = at[goes_on]
            if not len(at):
                break
            self.spent[at] += 1

    def _steps(self, at: NDArray[np.int64]) -> Array:
        """The steps of these columns, (d, k)."""
        found = np.empty((len(at), len(self.w)))

        def work(j: int) -> None:
            k = at[j]
            found[j] = self.factors[k].solve(self.problems[k], self.w[:, k], -self.gradient[:, k])

        for_each(work, len(at), found.shape[1] * found.size)
        return found.T
