"""Training: Newton's method, with a Hessian that is kept while it is good enough, or that is not made."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from math import sqrt

import numpy as np

from expunge.linear.factor import Factor, Solver, inverted
from expunge.linear.given import Array
from expunge.linear.iterative import Iterative
from expunge.linear.logistic import LogisticProblem
from expunge.linear.parallel import one_blas_thread

log = logging.getLogger(__name__)

_REBUILD_ABOVE = 0.6  # contraction of ||grad|| per step that is too poor to go on with the old Hessian
_MEMORY = 20  # secant pairs kept
_MAX_HALVINGS = 40
_TURNED = 0.25  # at a half, steps far too long can end in a circle on tiny, hardly regularised problems
_FORCING = 0.3  # largest share of a gradient that a step may leave of it
_OF_TOL = 0.25  # what the last step may leave, of what all is to end at
_PATIENCE = 6  # steps without a better gradient norm before rounding, where it can be, is held responsible


@dataclass(frozen=True)
class FitReport:
    """How a training ended.

    Attributes:
        stopped_by: ``gradient_norm`` (||grad||_2 < tol, the only test that means convergence),
            ``rounding_floor`` (no step lowers ||grad||_2 any more, which is within its rounding error) or
            ``max_iter``.
        iterations: Newton steps taken.
        hessians: Hessians built.
        gradient_norm: ||grad L_b(w)||_2, the optimiser's own leftover.
    """

    stopped_by: str
    iterations: int
    hessians: int
    gradient_norm: float

    @property
    def converged(self) -> bool:
        """Whether ||grad||_2 < tol was reached."""
        return self.stopped_by == "gradient_norm"


@dataclass(frozen=True)
class Fit:
    """Where a training ended: the weights (d,) with the smallest gradient norm seen, and grad L_b(w) there.

    ``report`` says by which test; ``factor`` is the last solver with the Hessian, for later removals;
    ``here`` says that it is one that ``build_factor`` would make at these weights.
    """

    w: Array
    gradient: Array
    report: FitReport
    factor: Solver
    here: bool = False

    def factor_here(self, problem: LogisticProblem) -> Solver:
        """A solver with the Hessian at these weights."""
        return self.factor if self.here else build_factor(problem, self.w)


class SecantMemory:
    """Limited-memory BFGS around a kept inverse Hessian: what the last steps taught about the curvature."""

    def __init__(self, factor: Solver) -> None:
        self.factor = factor
        self._pairs: deque[tuple[Array, Array, float]] = deque(maxlen=_MEMORY)

    def learn(self, step: Array, change: Array) -> None:
        """Remember that moving by ``step`` changed the gradient by ``change``."""
        curvature = float(step @ change)
        if curvature > 1e-12 * float(np.linalg.norm(step) * np.linalg.norm(change)):
            self._pairs.append((step, change, curvature))

    def solve(self, problem: LogisticProblem, w: Array, rhs: Array) -> Array:
        """Two-loop recursion (Nocedal and Wright, Algorithm 7.4) with the kept inverse in the middle."""
        coefficients = []
        for step, change, curvature in reversed(self._pairs):
            a = float(step @ rhs) / curvature
            coefficients.append(a)
            rhs = rhs - a * change
        solved = self.factor.solve(problem, w, rhs)
        for (step, change, curvature), a in zip(self._pairs, reversed(coefficients), strict=True):
            solved = solved + (a - float(change @ solved) / curvature) * step
        return solved


def build_factor(problem: LogisticProblem, w: Array) -> Solver:
    """What solves with the Hessian at ``w``: its inverse, or products with it where the problem says so.

    It is inverted in float32 where that is positive definite, else in float64. float32 halves the time, and
    its error only slows convergence: the gradient is float64 and decides.

    Raises:
        InvalidValue: ``lam``: it is too small for either.
    """
    if problem.iterative:
        return Iterative.at(problem, w)
    try:
        return Factor.of(problem.hessian(w, np.float32))
    except np.linalg.LinAlgError:
        return inverted(problem.hessian(w), problem.lam)


class _KeptHessian:
    """Steps with an inverse Hessian and the secant memory; it is rebuilt where they contract too little."""

    def __init__(self, problem: LogisticProblem, w: Array, factor: Solver | None) -> None:
        self._problem, self.hessians = problem, 0 if factor else 1
        self._memory = SecantMemory(factor or build_factor(problem, w))

    @property
    def factor(self) -> Solver:
        """The last one."""
        return self._memory.factor

    def direction(self, w: Array, gradient: Array, tol: float) -> Array:
        """Where to go from ``w``, (d,)."""
        return -self._memory.solve(self._problem, w, gradient)

    def learn(self, w: Array, gradient: Array, moved: tuple[Array, Array] | None) -> None:
        """Take in what became of it: the next point and its gradient; None where there was no way down."""
        if moved is None or _norm(moved[1]) > _REBUILD_ABOVE * _norm(gradient):
            self._memory = SecantMemory(build_factor(self._problem, w if moved is None else moved[0]))
            self.hessians += 1
        else:
            self._memory.learn(moved[0] - w, moved[1] - gradient)


class _NoHessian:
    """Steps that are solved for by products with the Hessian, no better than they are worth.

    To a share of the gradient that falls with its root, at the end to ``tol`` (Nocedal and Wright, 7.1).
    """

    hessians = 0

    def __init__(self, problem: LogisticProblem, w: Array, factor: Solver | None) -> None:
        self._problem, self._first = problem, 0.0
        self.factor = factor or build_factor(problem, w)

    def direction(self, w: Array, gradient: Array, tol: float) -> Array:
        """Where to go from ``w``, (d,)."""
        size = _norm(gradient)
        self._first = self._first or size
        enough = max(_OF_TOL * tol, _FORCING * min(1.0, sqrt(size / self._first)) * size)
        return self.factor.solve(self._problem, w, -gradient, enough)

    def learn(self, w: Array, gradient: Array, moved: tuple[Array, Array] | None) -> None:
        """Take the diagonal of the Hessian where the step led."""
        if moved is not None:
            self.factor = build_factor(self._problem, moved[0])


@one_blas_thread()
def train(
    problem: LogisticProblem,
    tol: float = 1e-8,
    max_iter: int = 200,
    start: Array | None = None,
    factor: Solver | None = None,
) -> Fit:
    """Minimise ``problem`` until ||grad L_b(w)||_2 < tol.

    Each step solves ``H step = -grad``: with the kept Hessian and the secant memory, which is rebuilt at the
    current weights where a step contracts the gradient norm too little; or, if the problem is ``iterative``,
    by products with the Hessian there. The loss is **summed**. ``start`` is (d,), None for zero; ``factor`` a
    solver to start with, None for one built there. After at most ``max_iter`` Newton steps the best point
    found is returned.
    """
    w = np.zeros(problem.rows.dim) if start is None else start.copy()
    gradient = problem.gradient(w)
    steps = (_NoHessian if problem.iterative else _KeptHessian)(problem, w, factor)
    best, best_gradient, best_norm = w, gradient, _norm(gradient)
    iteration, since_best, stopped_by = 0, 0, "max_iter"
    while True:
        size = _norm(gradient)
        if size < best_norm:
            best, best_gradient, best_norm, since_best = w, gradient, size, 0
        if best_norm < tol:
            stopped_by = "gradient_norm"
            break
        # Far from the minimum ||grad||_2 may rise for a while as the loss falls: rounding is not to blame.
        if since_best >= _PATIENCE and best_norm <= problem.rounding(best):
            stopped_by = "rounding_floor"
            break
        if iteration == max_iter:
            break
        moved = _search(problem, w, gradient, steps.direction(w, gradient, tol))
        iteration, since_best = iteration + 1, since_best + 1
        steps.learn(w, gradient, moved)
        if moved is not None:
            w, gradient = moved
    report = FitReport(stopped_by, iteration, steps.hessians, best_norm)
    if not report.converged:
        log.warning("training stopped by %s above its tolerance", stopped_by)  # where may be a secret
    return Fit(best, best_gradient, report, steps.factor)


def _search(
    problem: LogisticProblem, w: Array, gradient: Array, direction: Array
) -> tuple[Array, Array] | None:
    """Step along ``direction`` to where the slope has turned to at most a quarter of its steepness upwards.

    The loss is convex: until the slope turns it only falls. Gradients suffice, no loss is evaluated. None if
    the direction does not descend (the factor is out of date).
    """
    slope = float(gradient @ direction)
    if not slope < 0:
        return None
    t = 1.0
    for _ in range(_MAX_HALVINGS):
        point = w + t * direction
        there = problem.gradient(point)
        new_slope = float(there @ direction)
        if new_slope <= _TURNED * -slope:
            return point, there
        t *= max(0.1, slope / (slope - new_slope))
    return None


def _norm(vector: Array) -> float:
    return float(np.linalg.norm(vector))
