"""Removal from many columns that keep their inverse Hessians: rows and inverses are gone through together.

One column after the other costs K passes over the same rows, and the time between them. Here a pass serves
all columns (``column_passes``), and their inverses lie in one array (``stack``). The gradients, in float64,
alone decide where a column ends and what it is charged with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import cast

import numpy as np
from numpy.typing import NDArray

from expunge.linear.certified_column import CertifiedColumn
from expunge.linear.column_passes import ColumnPasses
from expunge.linear.factor import Factor
from expunge.linear.given import Array
from expunge.linear.logistic import LogisticProblem, certified_together
from expunge.linear.parallel import one_blas_thread
from expunge.linear.rows import Rows
from expunge.linear.stack import Pair, Stack, departed, factor_of

FEWEST = 32
"""Columns from which on this is done: of fewer one after the other is as fast."""
_MOST_NUMBERS = 2**26  # of all inverses together: 256 MiB, beside what the columns had before
_MOST_STEPS = 12
_POOR = 0.5  # contraction above which a column is left to a solver of its own
_USUAL_STEPS = 4


def all_keep_inverses(columns: Sequence[CertifiedColumn]) -> bool:
    """Whether these are many columns over the same dense rows, each with an inverse that is not too large."""
    if len(columns) < FEWEST or len(columns) * columns[0].problem.rows.dim ** 2 > _MOST_NUMBERS:
        return False
    rows = columns[0].problem.rows
    same = all(column.problem.rows is rows and isinstance(column.factor, Factor) for column in columns)
    return same and isinstance(rows, Rows)


@one_blas_thread()
def removed_by_inverses(
    columns: Sequence[CertifiedColumn],
    problems: Sequence[LogisticProblem],
    index: NDArray[np.int64],
    targets: Sequence[float],
) -> list[CertifiedColumn]:
    """Propose the columns without the rows ``index``, which all of them use.

    A column that a few steps do not bring to its target goes on alone (``CertifiedColumn.corrected``).

    Args:
        columns: K that ``all_keep_inverses``, whose gradients are known.
        problems: Their losses over the rows that stay.
        index: The rows that leave.
        targets: (K,) residual norms to reach.
    """
    before, after = (ColumnPasses.of(of) for of in ([column.problem for column in columns], problems))
    w = np.stack([column.w for column in columns], axis=1)
    known = np.stack([cast("Array", c.gradient) for c in columns], axis=1) - before.removed(w, index)
    stack = departed(columns, w, index)
    end = _stepped(after, stack, w, known, np.asarray(targets))
    stack = replace(stack, pairs=end.pairs, spent=stack.spent + max(0, len(end.pairs) - _USUAL_STEPS))
    betas = certified_together(problems, end.w.T, end.gradient.T)
    found = []
    for k, (column, problem) in enumerate(zip(columns, problems, strict=True)):
        w_k, gradient = (np.ascontiguousarray(array[:, k]) for array in (end.w, end.gradient))
        made = CertifiedColumn(
            problem,
            w_k,
            replace(column.account, beta=betas[k]),
            column.spectral,
            factor_of(stack, k),
            gradient,
        )
        found.append(made if end.sizes[k] <= targets[k] else made.corrected(targets[k]))
    return found


@dataclass(frozen=True)
class _End:
    """Where the columns are after some steps: weights, gradients measured there, their norms, the steps."""

    w: Array
    gradient: Array
    sizes: Array
    pairs: Sequence[Pair]


def _stepped(passes: ColumnPasses, stack: Stack, w: Array, known: Array, targets: Array) -> _End:
    """Quasi-Newton steps of all columns until each is at its target, or does not come nearer as it should.

    ``known`` (d, K) are the gradients at ``w``; where a column ends its gradient has been measured.
    """
    w, gradient, slopes = w.copy(), known.copy(), passes.slopes()
    sizes, measured = np.linalg.norm(known, axis=0), np.full(w.shape[1], inf)
    pairs: list[Pair] = []
    at = np.arange(w.shape[1])
    while len(at) and len(pairs) < _MOST_STEPS:
        step = -_directed(stack, [pair.of(at) for pair in pairs], gradient[:, at], at, passes.ridge)
        new, _ = passes.gradients(w[:, at] + step, at, slopes)
        size = np.linalg.norm(new, axis=0)
        # what was known before the first step has not been measured, and is kept by none
        better = (size < measured[at]) & np.isfinite(size)
        go = better & (size > targets[at]) & (size <= _POOR * sizes[at])
        pairs.append(Pair.at(step, new - gradient[:, at], at, w.shape[1]))
        chosen = at[better]
        w[:, chosen] += step[:, better]
        gradient[:, chosen], measured[chosen], sizes[chosen] = new[:, better], size[better], size[better]
        at = at[go]
    return _End(w, gradient, measured, pairs)


def _directed(
    stack: Stack, pairs: Sequence[Pair], gradient: Array, at: NDArray[np.int64], ridge: float
) -> Array:
    """The inverse Hessians, corrected by the steps since, times the gradients of the columns ``at``.

    The two loops of BFGS (Nocedal, Updating quasi-Newton matrices with limited storage, 1980).
    """
    found, shares = gradient.copy(), []
    for pair in reversed(pairs):
        shares.append(pair.rho * np.einsum("ij,ij->j", pair.step, found))
        found -= shares[-1] * pair.change
    found = stack.solve(found, at, ridge)
    for pair, share in zip(pairs, reversed(shares), strict=True):
        found += pair.step * (share - pair.rho * np.einsum("ij,ij->j", pair.change, found))
    return found
