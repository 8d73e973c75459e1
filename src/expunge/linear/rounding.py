"""What float64 adds to gradients and steps of the logistic loss: bounds in 2-norm, known beforehand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from expunge.certificate.bounds import THIRD_DERIVATIVE
from expunge.linear.rows import BLOCK_ROWS, UNIT, Array


@dataclass(frozen=True)
class Rounding:
    """Errors of one problem's sums, u = 2^-53.

    Standard forward analysis (Higham, Accuracy and Stability of Numerical Algorithms, section 3) with
    ||x_i|| <= 1, where x_i is a row with the scale that it is stored with:

    - a score x.w, in whatever order it is summed and with the scale's product, is off by (d + 8) u ||w||;
    - sigmoid is off by 1/4 of that, its derivative by c3 = 1 / (6 sqrt 3) of it;
    - N terms of norm at most 1 added one by one leave u (1 + 2 + ... + N) <= u N (N + 1) / 2, and sums over
      blocks of ``BLOCK_ROWS`` rows, B of them, u B N more: no partial sum is longer than N.

    d / 2 more a term pays for rows whose scale is a rounded norm: they are that far from normalised.

    Args:
        n: Rows that have not been removed.
        places: Rows that a pass goes through.
        dim: Features d.
        lam: Regularisation per example.
        b: ||b||.
    """

    n: int
    places: int
    dim: int
    lam: float
    b: float

    def of_gradient(self, w: Array) -> float:
        """Error of the gradient at ``w``, a sum over the rows in blocks."""
        length = float(np.linalg.norm(w))
        size = self.n + self.lam * self.n * length + self.b
        return UNIT * (self._scores(self.n * length / 4) + self._depth * self.n + 8 * size)

    def of_removed(self, w: Array, m: int) -> float:
        """Error of the removed gradient of m rows at ``w``."""
        length = float(np.linalg.norm(w))
        depth = min(m, BLOCK_ROWS) / 2 + 16 + m / BLOCK_ROWS
        return UNIT * (self._scores(m * length / 4) + (depth + 8 * self.lam * length) * m)

    def of_step(self, origin: Array, step: Array, rhs: Array) -> float:
        """Error of what is known of a step from ``origin``, and of ``origin + step`` itself.

        Known are ``||H step - rhs||`` and the sums of powers of the scores ``x_i.step``, each of which is off
        by (d + 8) u ||step||; the certificates multiply these by c3 n ||step|| at most.
        """
        start, length, end = (float(np.linalg.norm(one)) for one in (origin, step, origin + step))
        moved, shrunk = self.n * length, self.lam * self.n * length
        slopes = THIRD_DERIVATIVE * moved * (start + length)  # of H at the origin; of the powers
        product = self._scores(slopes + moved / 4) + self._depth * moved / 4 + 8 * shrunk
        norm = (self.dim / 2 + 8) * (moved / 4 + shrunk + float(np.linalg.norm(rhs)))
        return UNIT * (product + norm + (0.25 + self.lam) * self.n * end)

    def _scores(self, weight: float) -> float:
        """``(d + 8) weight``: what the scores' errors come to where each counts ``weight`` / n."""
        return (self.dim + 8) * weight

    @property
    def _depth(self) -> float:
        """Roundings a term of a sum over the rows; blocks that hold no row any more add none."""
        return BLOCK_ROWS / 2 + 16 + self.dim / 2 + min(self.n, 1 + self.places / BLOCK_ROWS)
