"""Newton's method for many columns at once: each of its passes over the rows serves all that still move.

Directions come from conjugate gradients in float32, which is fast and need not be right: gradients are
float64, and they alone decide where a column ends and what it is charged with. One preconditioner serves all
columns: the eigenvectors of X^T C X, C what each row counts, are kept once, (d, d), and
``(m_k X^T C X + lam n I)^{-1}`` has them too, whatever the mean slope m_k of column k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import cast

import numpy as np
from numpy.typing import NDArray

from expunge.core.files import State
from expunge.linear.certified_column import CertifiedColumn
from expunge.linear.column_passes import ColumnPasses
from expunge.linear.factor import too_little
from expunge.linear.given import Array
from expunge.linear.iterative import Iterative
from expunge.linear.logistic import LogisticProblem, certified_together
from expunge.linear.parallel import one_blas_thread
from expunge.linear.shared_solves import Basis
from expunge.linear.solver import Fit, FitReport, train

_LEAST_SHARE = 1e-4  # of a gradient that a step may leave: float32 has seven digits
_FORCING = 0.3
_OF_TOL = 0.25
_MOST_PRODUCTS = 200
_TURNED = 0.25
_MAX_HALVINGS = 40
_MOST_STEPS = 12  # of a removal
_PATIENCE = 6  # steps without a better gradient norm before a column is left to the trainer of one


@dataclass(frozen=True)
class Shared(Iterative):
    """``Iterative`` of a column that goes on with others; ``basis`` is theirs, and no state has it."""

    basis: Basis | None = None

    def state(self) -> State:
        """What a state holds of it."""
        return State({"diagonal": self.diagonal}, {})


class _Together:
    """Where the columns of a group are."""

    def __init__(
        self, problems: Sequence[LogisticProblem], tols: Array, w: Array, basis: Basis | None = None
    ) -> None:
        self.passes = ColumnPasses.of(problems)
        self.tols, self.w = tols, w
        self.basis = basis or Basis.of(self.passes.rows, self.passes.sizes)
        self.total = self.passes.total or 1
        self.slopes, self.means = self.passes.slopes(), np.full(w.shape[1], 0.25)
        self.gradient, self.iterations = np.empty_like(w), np.zeros(len(tols), dtype=np.int64)

    def measure(self, w: Array, columns: NDArray[np.int64]) -> Array:
        """The gradients of these columns at ``w`` (d, k); their slopes are those there from now on."""
        gradient, sums = self.passes.gradients(w, columns, self.slopes)
        self.means[columns] = sums / self.total
        return gradient

    def directions(self, at: NDArray[np.int64], first: Array) -> Array:
        """Where to go from the columns ``at``, (d, k): zero where ``tols`` is met well enough already."""
        rhs = -self.gradient[:, at]
        size = np.linalg.norm(rhs, axis=0)
        share = np.maximum(_LEAST_SHARE, _FORCING * np.sqrt(np.minimum(1.0, size / first[at])))
        enough = np.maximum(_OF_TOL * self.tols[at], share * size)
        return self.passes.solved(self.slopes, at, rhs, self.means[at], self.basis, enough, _MOST_PRODUCTS)

    def search(self, at: NDArray[np.int64], direction: Array) -> NDArray[np.bool_]:
        """Step each column to where its slope has turned a quarter at most; False where there is no way down.

        See ``expunge.linear.solver``.
        """
        slope = np.einsum("ij,ij->j", self.gradient[:, at], direction)
        still: NDArray[np.bool_] = np.logical_not(np.any(direction, axis=0))
        t, moved = np.ones(len(at)), np.zeros(len(at), dtype=bool)
        left = np.flatnonzero(np.logical_or(slope < 0, still))
        for _ in range(_MAX_HALVINGS):
            if not len(left):
                break
            point = self.w[:, at[left]] + t[left] * direction[:, left]
            there = self.measure(point, at[left])
            new = np.einsum("ij,ij->j", there, direction[:, left])
            fine = np.logical_or(new <= _TURNED * -slope[left], still[left])
            done = left[fine]
            self.w[:, at[done]], self.gradient[:, at[done]] = point[:, fine], there[:, fine]
            moved[done] = True
            left, new = left[~fine], new[~fine]
            t[left] *= np.maximum(0.1, slope[left] / (slope[left] - new))
        return moved

    def run(self, at: NDArray[np.int64], first: Array, max_iter: int, measured: bool = True) -> None:
        """Newton steps of the columns ``at`` until each has met its tolerance; they may be ``measured``.

        One that finds no smaller gradient for some steps stays where it was best. ``first`` are the (K,)
        gradient norms that a training began with.
        """
        first, since = np.where(first > 0, first, 1.0), np.zeros(len(self.tols))
        size = np.linalg.norm(self.gradient, axis=0)
        best, best_gradient, best_size = self.w.copy(), self.gradient.copy(), size
        if not measured:
            best_size = np.full(len(size), inf)
        at = at[~(best_size[at] < self.tols[at])]
        for _ in range(max_iter):
            if not len(at):
                break
            moved = self.search(at, self.directions(at, first))
            self.iterations[at] += 1
            size = np.linalg.norm(self.gradient[:, at], axis=0)
            better = moved & (size < best_size[at])
            chosen = at[better]
            best[:, chosen], best_gradient[:, chosen] = self.w[:, chosen], self.gradient[:, chosen]
            best_size[chosen] = size[better]
            since[at] = np.where(better, 0, since[at] + 1)
            at = at[moved & ~(best_size[at] < self.tols[at]) & (since[at] < _PATIENCE)]
        self.w, self.gradient = best, best_gradient


@one_blas_thread()
def train_together(
    problems: Sequence[LogisticProblem],
    tols: Sequence[float],
    max_iter: int = 200,
    start: Array | None = None,
) -> list[Fit]:
    """Minimise the problems of one of ``groups`` until each ``||grad L_b(w_k)||_2 < tols_k``.

    The loss is **summed**. A column that has converged drops out of all further passes; one that comes no
    nearer before that is left to ``expunge.linear.solver.train``, which says why.

    Args:
        problems: K of them.
        tols: (K,).
        max_iter: Newton steps at most.
        start: (d, K) weights, None for zeros.

    Returns:
        A fit for each, with a ``Shared`` of where it ended.
    """
    every = np.arange(len(problems))
    w = np.zeros((problems[0].rows.dim, len(problems))) if start is None else start.copy()
    state = _Together(problems, np.asarray(tols, dtype=np.float64), w)
    state.gradient = state.measure(w, every)
    state.run(every, np.linalg.norm(state.gradient, axis=0), max_iter)
    diagonals = state.passes.diagonals(state.slopes)
    if not (diagonals > 0).all():
        raise too_little(problems[0].lam)
    sizes = np.linalg.norm(state.gradient, axis=0)
    fits = []
    for k, problem in enumerate(problems):
        w_k, gradient, diagonal = (
            np.ascontiguousarray(array[:, k]) for array in (state.w, state.gradient, diagonals)
        )
        solver, taken = Shared(diagonal, state.basis), int(state.iterations[k])
        if sizes[k] < tols[k]:
            report = FitReport("gradient_norm", taken, 0, float(sizes[k]))
            fits.append(Fit(w_k, gradient, report, solver, here=True))
            continue
        fit = train(problem, tols[k], max(0, max_iter - taken), w_k, solver)
        report = replace(fit.report, iterations=fit.report.iterations + taken)
        solver = Shared(Iterative.at(problem, fit.w).diagonal, state.basis)
        fits.append(replace(fit, report=report, factor=solver, here=True))
    return fits


@one_blas_thread()
def removed_together(
    columns: Sequence[CertifiedColumn],
    problems: Sequence[LogisticProblem],
    index: NDArray[np.int64],
    targets: Sequence[float],
) -> list[CertifiedColumn]:
    """Propose the columns of one of ``groups`` after a ``corrected`` update that removes rows they all use.

    A pass in float32 finds the curvature, some more the step, one in float64 measures what it leaves; where
    that is above its target, further steps follow. See ``expunge.linear.removal``.

    Args:
        columns: K of them, whose gradients are known.
        problems: Their losses over the rows that stay.
        index: The rows that leave.
        targets: (K,) residual norms to reach.
    """
    before = ColumnPasses.of([column.problem for column in columns])
    w = np.stack([column.w for column in columns], axis=1)
    known = np.stack([cast("Array", c.gradient) for c in columns], axis=1) - before.removed(w, index)
    basis = next((c.factor.basis for c in columns if isinstance(c.factor, Shared) and c.factor.basis), None)
    basis = basis or Basis.of(before.rows, before.sizes)
    every = np.arange(len(columns))
    state = _Together(problems, np.nextafter(np.asarray(targets), inf), w, basis)
    state.gradient = known
    state.means = state.passes.look(w, state.slopes) / state.total
    # to the target in one step, where it can be
    state.run(every, np.full(len(columns), inf), _MOST_STEPS, measured=False)
    sizes, found = np.linalg.norm(state.gradient, axis=0), []
    turned = np.ascontiguousarray(state.w.T), np.ascontiguousarray(state.gradient.T)
    betas = certified_together(problems, *turned)
    for k, (column, problem) in enumerate(zip(columns, problems, strict=True)):
        w_k, gradient = (array[k].copy() for array in turned)
        factor = Shared(cast("Iterative", column.factor).diagonal, basis)
        beta = betas[k]
        if not sizes[k] <= targets[k]:
            fit = train(problem, targets[k], start=w_k, factor=factor)
            w_k, gradient = fit.w, fit.gradient
            beta = problem.certified(w_k, gradient)
        account = replace(column.account, beta=beta)
        found.append(
            replace(column, problem=problem, w=w_k, account=account, factor=factor, gradient=gradient)
        )
    return found
