"""What float64 adds to gradients and steps of the logistic loss: bounds in 2-norm, known beforehand.

They are guaranteed, and so are the numbers that they are returned as: ``OUTWARD`` is larger than all that
the terms of second order in u, evaluating in float64, and the norms there can take away. What every release
is charged (``of_gradient``) is evaluated exactly, and only the result is rounded: up.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import inf, isfinite, sqrt

import numpy as np
from scipy.linalg.blas import dnrm2

from expunge.certificate.bounds import THIRD_DERIVATIVE
from expunge.certificate.outward import norm_up, up
from expunge.linear.given import BLOCK_ROWS, Array
from expunge.linear.operations import UNIT

# k roundings in a row are off by k u / (1 - k u), and a norm of d entries by (d / 2 + 2) u of itself: with up
# to 2^26 features and 2^32 rows both, and the twenty roundings of a formula here, are below 2^-25 in all.
OUTWARD = 1 + 2.0**-20
_LONGEST_SQUARE = 0.27846455  # at least max t / (1 + e^t), which is W(1 / e) = 0.278464542...
_NEAR = 256  # how many floors a model may be off from its minimiser: the most that a release plans with


@dataclass(frozen=True)
class Rounding:
    """Errors of one problem's sums, u = 2^-53.

    Standard forward analysis (Higham, Accuracy and Stability of Numerical Algorithms, section 3) with
    ||x_i|| <= 1, where x_i is a row with the scale that it is stored with:

    - a score x.w, in whatever order it is summed and with the scale's product, is off by (d + 8) u ||w||;
    - sigmoid is off by 1/4 of that, its derivative by c3 = 1 / (6 sqrt 3) of it;
    - N terms of norm at most 1 added one by one leave u (1 + 2 + ... + N) <= u N (N + 1) / 2, and sums over
      blocks of ``block`` rows, B of them, u B N more: no partial sum is longer than N.

    A row that counts c_i < 1 has every term and derivative times c_i, which is one rounding more: the 16 of a
    term, of which ten are used, have room for it. Bounds for c = 1 are bounds for all smaller.

    Of sparse rows all of this holds as it stands: what is not stored is added nowhere and rounds nothing, so
    that d bounds the terms of a score, and an entry of a sum has a rounding for each row that has the entry.
    How many entries a row has is what its owner may not want to tell, and no figure here depends on it; the
    blocks are longer, ``block`` being a function of n and d.

    0.55 d more a term pays for rows whose scale is a rounded norm: those are (d / 2 + 3) u from normalised,
    and a term moves by at most 1.1 times as much (max |d/dt (t sigmoid(t))| is 1.0998).

    Args:
        n: Rows that have not been removed.
        places: Rows that a pass goes through.
        dim: Features d.
        lam: Regularisation per example.
        b: ||b||.
        block: Rows that a partial sum is of at most.
    """

    n: int
    places: int
    dim: int
    lam: float
    b: float
    block: int = BLOCK_ROWS

    def of_gradient(self, w: Array) -> float:
        """Error of the gradient at ``w``, a sum over the rows in blocks."""
        return self.of_gradient_at(norm_up(w))

    def of_gradient_at(self, length: float) -> float:
        """The same at any w with ||w|| <= ``length``."""
        if not isfinite(length + self.b):
            return inf
        at_zero, slope = _line(self)
        return up(at_zero + slope * Fraction(length))

    def of_removed(self, w: Array, m: int) -> float:
        """Error of the removed gradient of m rows at ``w``."""
        length = _norm(w)
        depth = min(m, BLOCK_ROWS) / 2 + 16 + m / BLOCK_ROWS
        return OUTWARD * (UNIT * (self._scores(m * length / 4) + (depth + 8 * self.lam * length) * m))

    def of_step(self, origin: Array, step: Array, rhs: Array) -> float:
        """Error of what is known of a step from ``origin``, and of ``origin + step`` itself.

        Known are ``||H step - rhs||`` and the sums of powers of the scores ``x_i.step``, each of which is off
        by (d + 8) u ||step||; the certificates multiply these by c3 n ||step|| at most.
        """
        start, length, end = (_norm(one) for one in (origin, step, origin + step))
        moved, shrunk = self.n * length, self.lam * self.n * length
        slopes = THIRD_DERIVATIVE * moved * (start + length)  # of H at the origin; of the powers
        product = self._scores(slopes + moved / 4) + float(self._depth) * moved / 4 + 8 * shrunk
        norm = (self.dim / 2 + 8) * (moved / 4 + shrunk + _norm(rhs))
        return OUTWARD * (UNIT * (product + norm + (0.25 + self.lam) * self.n * end))

    def _scores(self, weight: float) -> float:
        """``(d + 8) weight``: what the scores' errors come to where each counts ``weight`` / n."""
        return (self.dim + 8) * weight

    @property
    def _depth(self) -> Fraction:
        """Roundings a term of a sum over the rows; blocks that hold no row any more add none."""
        in_block = Fraction(min(self.n, self.block), 2) + 16 + Fraction(11, 20) * self.dim
        return in_block + min(Fraction(self.n), 1 + Fraction(self.places, BLOCK_ROWS))


@lru_cache(maxsize=8)  # a thousand columns of the same rows ask for the same
def _line(errors: Rounding) -> tuple[Fraction, Fraction]:
    """What the error of a gradient is at w = 0, and by how much it grows with ||w||: exactly."""
    lam, b = map(Fraction, (errors.lam, errors.b))
    unit = Fraction(OUTWARD * UNIT)
    at_zero = errors.n * (errors._depth + 8) + 8 * b
    return unit * at_zero, unit * errors.n * (Fraction(errors.dim + 8, 4) + 8 * lam)


def length_up(vector: Array) -> float:
    """Upper bound on the 2-norm of (d,), near enough where roundings are what it is for; NaN for NaN."""
    return OUTWARD * float(dnrm2(vector))  # which scales: no square underflows


def radius(lam: float) -> float:
    """``min(sqrt(W(1/e) / lam), 1 / (2 lam))``: upper bound on ||w*||, the minimiser of a loss without b.

    There the gradient is zero, and so is its product with w*:
    ``lam n ||w*||^2 = sum_i c_i t_i / (1 + e^t_i)`` with t_i = s_i x_i.w* and c_i <= 1. No term is above
    W(1/e) = 0.2785, nor, where t_i > 0, above t_i / 2 <= ||w*|| / 2.
    """
    return OUTWARD * min(sqrt(_LONGEST_SQUARE / lam), 0.5 / lam)


def public_floor(n: int, places: int, dim: int, width: int, lam: float, block: int = BLOCK_ROWS) -> float:
    """The sensitivity that rounding alone can come to, whatever rows are left: upper bound, public.

    ``sup over m <= n, ||w|| <= R of sqrt(width) rounding(m, ||w||) / (lam m)`` with R = radius + 256 floors:
    what a model that near to its minimiser is charged for rounding. Each row's share of the rounding only
    grows with the number of rows, so the supremum is at m = n.

    Args:
        n: Rows that are there at most.
        places: Rows that a pass goes through.
        dim: Features d of a column.
        width: Columns.
        lam: Regularisation per example; the loss has no b.
        block: Rows that a partial sum is of at most.

    Returns:
        Bound on ``||w~ - w*||_F`` from rounding alone; infinity where float64 cannot hold any.
    """
    errors = Rounding(n, places, dim, lam, 0.0, block)
    per_residual = OUTWARD * sqrt(width) / lam / n
    at_zero, at_one = (per_residual * errors.of_gradient_at(length) for length in (0.0, 1.0))
    share = _NEAR * (at_one - at_zero) * OUTWARD**2  # what each unit of ||w|| adds
    if not share < 0.5:
        return inf
    furthest = OUTWARD * (radius(lam) + _NEAR * at_zero) / (1 - share)
    return per_residual * errors.of_gradient_at(furthest)


def _norm(vector: Array) -> float:
    return float(np.linalg.norm(vector))
