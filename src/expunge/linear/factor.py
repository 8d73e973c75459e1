"""Solves with a Hessian: an inverse that is kept, and corrected for rows that have left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dgemm, dsymm, dsymv
from scipy.linalg.lapack import dpotrf, dpotri

from expunge.core.checks import require_finite
from expunge.core.errors import InvalidValue
from expunge.core.files import State
from expunge.core.read_back import array_of
from expunge.linear.given import Array
from expunge.linear.logistic import LogisticProblem

FOLD_RANK = 32  # rank at which the low-rank correction is folded into the inverse
_SHIFT_TERMS = 2


class Solver(Protocol):
    """Solves with a Hessian, none of which has to be exact.

    Whoever uses one charges ``||H x - rhs||``, or measures the residual that is left.
    """

    def solve(self, problem: LogisticProblem, w: Array, rhs: Array, enough: float | None = None) -> Array:
        """``H^{-1} rhs``, (d,), of the problem at ``w``, where ``||H x - rhs||`` may be ``enough``."""

    def nearby(self, rhs: Array) -> Array:
        """The same as well as it is known without a pass over the rows: a preconditioner."""

    def state(self) -> State:
        """What a state holds of it."""


@dataclass(frozen=True)
class Factor:
    """Approximate solves with ``H = H_0 - sum over departed rows of s (1 - s) x x^T - shift I``.

    H_0 was inverted once by Cholesky. Departed rows are a Woodbury correction
    ``(H_0 - U^T U)^{-1} = P + V K V^T`` with ``P = H_0^{-1}``, ``V = P U^T``, ``K = (I - U V)^{-1}``; their
    share of the regulariser, ``shift = lam m``, is a short Neumann series. No pass makes a solve any better.

    Attributes:
        inverse: P, (d, d) float64, lower triangle and diagonal hold it.
        v: (d, k). core: (k, k), K.
        shift: What the regulariser has lost since H_0.
    """

    inverse: Array
    v: Array
    core: Array
    shift: float = 0.0

    @classmethod
    def of(cls, hessian: NDArray[Any]) -> Factor:
        """Invert a symmetric positive definite (d, d) matrix.

        Raises:
            numpy.linalg.LinAlgError: It is not positive definite in its precision.
        """
        inverse = np.array(hessian, dtype=np.float64, order="F")  # all that follows happens in this one copy
        inverse, info = dpotrf(inverse, lower=1, overwrite_a=1)
        if info == 0:
            inverse, info = dpotri(inverse, lower=1, overwrite_c=1)
        if info != 0:
            raise np.linalg.LinAlgError("Hessian is not positive definite")
        return cls(inverse, np.empty((len(hessian), 0)), np.empty((0, 0)))

    def solve(self, problem: LogisticProblem, w: Array, rhs: Array, enough: float | None = None) -> Array:
        """``H^{-1} rhs``, (d,), as well as the inverse has it, whatever would be ``enough``."""
        return self.nearby(rhs)

    def nearby(self, rhs: Array) -> Array:
        """The same."""
        total = term = self._solve_unshifted(rhs)
        for _ in range(_SHIFT_TERMS if self.shift else 0):
            term = self.shift * self._solve_unshifted(term)
            total = total + term
        return total

    def without(self, u: Array, shift: float) -> Factor:
        """Return the factor after rows with ``U^T U`` (U: (m, d)) and ``shift`` of the regulariser left.

        Raises:
            numpy.linalg.LinAlgError: The correction is singular to working precision; rebuild instead.
        """
        new = self._solve_unshifted(u[0])[:, None] if len(u) == 1 else self._solve_unshifted(u.T)
        core = np.linalg.inv(np.eye(len(u)) - u @ new)
        rank = self.v.shape[1]
        joint = np.zeros((rank + len(u),) * 2)
        joint[:rank, :rank], joint[rank:, rank:] = self.core, core
        v, shift = np.hstack([self.v, new]), self.shift + shift
        if len(joint) <= FOLD_RANK:
            return Factor(self.inverse, v, joint, shift)
        folded = dgemm(1.0, v @ joint, v, beta=1.0, c=self.inverse, trans_b=1)  # a copy, added to in place
        return Factor(folded, np.empty((len(folded), 0)), np.empty((0, 0)), shift)

    def state(self) -> State:
        """What a state holds of it."""
        return State({key: getattr(self, key) for key in ("inverse", "v", "core")}, {"shift": self.shift})

    @classmethod
    def loaded(cls, state: State, dim: int) -> Factor:
        """Return that of ``state``, for d features.

        Raises:
            DataError: An array is missing, or of another form.
            InvalidValue: The shift is no number.
        """
        inverse = np.asfortranarray(array_of(state.arrays, "inverse", np.float64, (dim, dim)))
        v = array_of(state.arrays, "v", np.float64, (dim, None))
        core = array_of(state.arrays, "core", np.float64, (v.shape[1],) * 2)
        return cls(inverse, v, core, require_finite("shift", state.values["shift"]))

    def _solve_unshifted(self, rhs: Array) -> Array:
        """Solve for one right side (d,), or for several (d, m) in one pass over the inverse."""
        product = dsymv if rhs.ndim == 1 else dsymm
        solved: Array = product(1.0, self.inverse, rhs, lower=1)
        if self.v.shape[1]:
            solved += self.v @ (self.core @ (self.v.T @ rhs))
        return solved


def inverted(hessian: NDArray[Any], lam: float) -> Factor:
    """Invert the Hessian of a loss whose regularisation per example is ``lam``.

    Raises:
        InvalidValue: ``lam``: there is so little that the Hessian is not positive definite in float64.
    """
    try:
        return Factor.of(hessian)
    except np.linalg.LinAlgError:
        raise too_little(lam) from None


def too_little(lam: float) -> InvalidValue:
    """The error of a regularisation with which nothing can be solved."""
    return InvalidValue("lam", lam, "more: in float64 the Hessian is not positive definite with so little")
