"""An inverse Hessian that is kept, and corrected for rows that have left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsymm, dsymv
from scipy.linalg.lapack import dpotrf, dpotri

from expunge.core.errors import InvalidValue
from expunge.linear.rows import Array

FOLD_RANK = 32  # rank at which the low-rank correction is folded into the inverse
_SHIFT_TERMS = 2


@dataclass(frozen=True)
class Factor:
    """Approximate solves with ``H = H_0 - sum over departed rows of s (1 - s) x x^T - shift I``.

    H_0 was inverted once by Cholesky. Departed rows are a Woodbury correction
    ``(H_0 - U^T U)^{-1} = P + V K V^T`` with ``P = H_0^{-1}``, ``V = P U^T``, ``K = (I - U V)^{-1}``; their
    share of the regulariser, ``shift = lam m``, is a short Neumann series. Nothing here has to be exact:
    whoever uses a solve charges ``||H step - rhs||``, or measures the residual that is left.

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

    def solve(self, rhs: Array) -> Array:
        """Return an approximation of ``H^{-1} rhs``, (d,)."""
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
        folded = np.asfortranarray(self.inverse + v @ joint @ v.T)
        return Factor(folded, np.empty((len(folded), 0)), np.empty((0, 0)), shift)

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
        allowed = "more: in float64 the Hessian is not positive definite with so little"
        raise InvalidValue("lam", lam, allowed) from None
