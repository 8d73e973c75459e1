"""Removal updates of a trained linear model: published (``fresh``) and cheaper (``frozen``, ``corrected``).

With r = grad L_b(w; D) and g the gradient of the removed terms, the gradient over the rows that stay is
``r - g``. Every update is a step ``w' = w + H(w; D')^{-1} rhs``:

=============  ===========  ==================================================================
update         rhs          H^{-1}
=============  ===========  ==================================================================
``fresh``      g            H at w itself (Guo et al., ICML 2020, Algorithm 1): solved to rounding
``frozen``     g            kept from an earlier w
``corrected``  g - r        kept; r is measured at every release, so residuals never accumulate
``rowless``    g - r        kept with r, both without a look at the rows that stay; see ``anchor``
=============  ===========  ==================================================================

Kept inverses are corrected for departed rows (Woodbury). ``fresh`` uses its own only as the preconditioner of
conjugate gradients: a handful of passes over the rows where building and inverting a Hessian costs 40.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expunge.linear.factor import FOLD_RANK, Factor, Solver
from expunge.linear.given import Array
from expunge.linear.iterative import SOLVED, conjugate_gradients
from expunge.linear.logistic import LogisticProblem, LossCurvature
from expunge.linear.solver import build_factor, train

UPDATES = ("fresh", "frozen", "corrected")  # those that look at the rows that stay

_MAX_RANK_SHARE = 4  # of d
POOR = 0.5  # contraction of the residual per step below which the kept Hessian is given up
MOST_STEPS = 12
EXTRA_STEPS = 32  # about what one Hessian costs in passes: rebuild once that many were spent
_MOST_PRODUCTS = 2000  # of a solve with no inverse to fall back on
_OF_TARGET = 0.25  # what a solve may leave, of what is to be reached
_USUAL_PRODUCTS = 3  # of a solve with an inverse Hessian that has just been built


@dataclass(frozen=True)
class Step:
    """One step ``w = origin + step`` and what it was solved for."""

    origin: Array
    step: Array
    rhs: Array

    @property
    def w(self) -> Array:
        """Weights after the step."""
        return self.origin + self.step


def replaces_inverse(factor: Solver, dim: int, count: int) -> bool:
    """Whether ``depart`` makes another inverse for this many rows, not a correction alone."""
    if not isinstance(factor, Factor):
        return False
    return too_many(count, dim) or factor.v.shape[1] + count > FOLD_RANK


def too_many(count: int, dim: int) -> bool:
    """Whether for this many rows at once a rebuilt inverse is cheaper and better than a correction."""
    return count * _MAX_RANK_SHARE > dim


def depart(
    factor: Solver, before: LogisticProblem, w: Array, index: Sequence[int] | NDArray[np.int64]
) -> Solver:
    """Correct a kept inverse for rows that leave; rebuild it where they are too many.

    What only preconditions stays as it is: the Hessian is always that of the rows that stay.
    """
    if not isinstance(factor, Factor):
        return factor
    too = too_many(len(index), before.rows.dim)
    corrected = None if too else corrected_for(factor, before, w, index)
    return corrected or build_factor(before.without(index), w)


def corrected_for(
    factor: Factor, before: LogisticProblem, w: Array, index: Sequence[int] | NDArray[np.int64]
) -> Factor | None:
    """A kept inverse, corrected for rows that leave; None where it has to be rebuilt."""
    try:
        return factor.without(before.removed_factors(w, index), before.lam * len(index))
    except np.linalg.LinAlgError:
        return None  # the correction is singular to working precision


@dataclass(frozen=True)
class Solved:
    """What ``solve`` found.

    Attributes:
        x: (d,).
        factor: What helped: the inverse Hessian, say.
        extra_steps: Products beyond the usual few since it was built.
    """

    x: Array
    factor: Solver
    extra_steps: int


def solve(curvature: LossCurvature, rhs: Array, factor: Solver, extra_steps: int = 0) -> Solved:
    """Solve ``H x = rhs`` until ``||H x - rhs|| <= 1e-12 ||rhs||``, as far as rounding lets it.

    Conjugate gradients with the kept inverse as preconditioner; where that has become a poor one, with the
    inverse of H itself. Whoever uses x charges the ``||H x - rhs||`` that is there.

    Args:
        curvature: H.
        rhs: (d,).
        factor: Kept inverse Hessian, or what else solves nearly.
        extra_steps: Count carried over from earlier requests.
    """
    enough = SOLVED * float(np.linalg.norm(rhs))
    if not isinstance(factor, Factor):
        return Solved(conjugate_gradients(curvature, rhs, factor, enough, _MOST_PRODUCTS)[0], factor, 0)
    x, products, solved = conjugate_gradients(curvature, rhs, factor, enough, EXTRA_STEPS)
    if not solved:
        factor, extra_steps = Factor.of(curvature.matrix()), 0
        x, products, _ = conjugate_gradients(curvature, rhs, factor, enough, EXTRA_STEPS)
    return Solved(x, factor, extra_steps + max(0, products - _USUAL_PRODUCTS))


@dataclass(frozen=True)
class Correction:
    """Where ``correct`` ended.

    Attributes:
        w: (d,) weights.
        gradient: grad L_b(w; D') measured there.
        last: The step that led there; None where the safeguarded trainer had to take over.
        factor: Inverse Hessian to go on with.
        extra_steps: Steps beyond the first since the factor was last built.
        rebuilt: Hessians built on the way.
    """

    w: Array
    gradient: Array
    last: Step | None
    factor: Solver
    extra_steps: int
    rebuilt: int


def correct(
    problem: LogisticProblem, w: Array, gradient: Array, factor: Solver, target: float, extra_steps: int = 0
) -> Correction:
    """Step with the kept Hessian until the measured residual is at most ``target``.

    One step is the rule. Further ones are counted; when they have cost as much as a Hessian would have
    (the ski-rental rule: never more than twice the best in hindsight), or one contracts poorly, the Hessian
    is rebuilt. If even that does not converge, the trainer with its line search takes over.

    Args:
        problem: Loss over the rows that stay.
        w: (d,) weights now.
        gradient: grad of ``problem`` at ``w``, (d,).
        factor: Kept inverse Hessian.
        target: Residual norm to reach.
        extra_steps: Count carried over from earlier requests.
    """
    size, rebuilt = float(np.linalg.norm(gradient)), 0
    for taken in range(MOST_STEPS):
        step = Step(w, factor.solve(problem, w, -gradient, _OF_TARGET * target), -gradient)
        there = problem.gradient(step.w)
        new_size = float(np.linalg.norm(there))
        if new_size <= target:
            return Correction(step.w, there, step, factor, extra_steps + taken, rebuilt)
        if new_size < size:
            w, gradient = step.w, there
        if not new_size <= POOR * size or extra_steps + taken >= EXTRA_STEPS:
            if rebuilt and not new_size < size:
                break  # a Hessian built a step ago does not help: far from the optimum
            factor, extra_steps, rebuilt = build_factor(problem, w), -taken, rebuilt + 1
        size = min(size, new_size)
    fit = train(problem, tol=target, start=w, factor=factor)
    return Correction(fit.w, fit.gradient, None, fit.factor, 0, rebuilt + fit.report.hessians)
