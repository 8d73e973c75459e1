"""Solves with the Hessian that need no matrix of d x d: conjugate gradients, a pass over the rows each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import LinearOperator, cg

from expunge.core.errors import DataError
from expunge.core.files import State
from expunge.core.read_back import array_of
from expunge.linear.factor import Solver, too_little
from expunge.linear.given import Array
from expunge.linear.logistic import LogisticProblem, LossCurvature

SOLVED = 1e-12  # ||H x - rhs|| / ||rhs||, about what an explicit solve leaves
_MOST_PRODUCTS = 2000  # a solve that takes as many has met its rounding


@dataclass(frozen=True)
class Iterative:
    """Solves with the Hessian where it is asked for, at any weights and over any rows.

    The diagonal of a Hessian is the preconditioner. On text, where few words are in many rows and most in
    few, it saves two products of three. It may be that of other weights, and of rows that have left since.

    Attributes:
        diagonal: (d,), above 0.
    """

    diagonal: Array

    @classmethod
    def at(cls, problem: LogisticProblem, w: Array) -> Iterative:
        """With the diagonal of H(w), which takes a pass.

        Raises:
            InvalidValue: ``lam``: it is too small for an entry above 0 where no row has a feature.
        """
        curvature = problem.curvature(w)
        diagonal = problem.rows.squares(curvature.slopes) + curvature.ridge
        if not (diagonal > 0).all():
            raise too_little(problem.lam)
        return cls(diagonal)

    def nearby(self, rhs: Array) -> Array:
        """``H^{-1} rhs`` as well as it is known without a pass, (d,)."""
        return rhs / self.diagonal

    def solve(self, problem: LogisticProblem, w: Array, rhs: Array, enough: float | None = None) -> Array:
        """``H(w)^{-1} rhs``, (d,), until ``||H x - rhs||`` is at most ``enough``; None: nearly rounding."""
        enough = SOLVED * float(np.linalg.norm(rhs)) if enough is None else enough
        return conjugate_gradients(problem.curvature(w), rhs, self, enough, _MOST_PRODUCTS)[0]

    def state(self) -> State:
        """What a state holds of it."""
        return State({"diagonal": self.diagonal}, {})

    @classmethod
    def loaded(cls, state: State, dim: int) -> Iterative:
        """Return that of ``state``, for d features.

        Raises:
            DataError: The diagonal is missing, or not that of a Hessian.
        """
        diagonal = array_of(state.arrays, "diagonal", np.float64, (dim,))
        if not (diagonal > 0).all():
            raise DataError("diagonal: has entries that are not above 0")
        return cls(diagonal)


def conjugate_gradients(
    curvature: LossCurvature, rhs: Array, solver: Solver, enough: float, most: int
) -> tuple[Array, int, bool]:
    """Solve ``H x = rhs`` until the norm of its residual is at most ``enough``, with ``most`` products.

    Returns:
        x (d,), the products that it took, and whether it is solved.
    """
    products = 0

    def times(step: Array) -> Array:
        nonlocal products
        products += 1
        return curvature.times(step)

    shape = (len(rhs), len(rhs))
    hessian = LinearOperator(shape, matvec=times, dtype=np.float64)
    inverse = LinearOperator(shape, matvec=solver.nearby, dtype=np.float64)
    x, unsolved = cg(hessian, rhs, rtol=0.0, atol=enough, maxiter=most, M=inverse)
    return x, products, not unsolved
