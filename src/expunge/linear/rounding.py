"""What float64 adds to gradients and steps of the logistic loss: bounds in 2-norm, known beforehand.

u = 2^-53. Standard forward analysis (Higham, Accuracy and Stability of Numerical Algorithms, section 3) with
||x_i|| <= 1, where x_i is a row with the scale that it is stored with:

- a score x.w, in whatever order it is summed and with the scale's product, is off by (d + 8) u ||w|| at most;
- sigmoid changes by at most 1/4 of that, its derivative by at most c3 = 1 / (6 sqrt 3) of it;
- N terms of norm at most 1 added to each other one by one leave u (1 + 2 + ... + N) <= u N (N + 1) / 2, and
  sums over blocks of ``BLOCK_ROWS`` rows, B of them, u B N more: partial sums are no longer than N.

d / 2 more per term pays for rows whose scale is a rounded norm: they are that far from exactly normalised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from expunge.certificate.bounds import THIRD_DERIVATIVE
from expunge.linear.rows import BLOCK_ROWS, UNIT, Array

if TYPE_CHECKING:
    from expunge.linear.logistic import LogisticProblem


def of_gradient(problem: LogisticProblem, w: Array) -> float:
    """Error of the gradient of ``problem`` at ``w``, a sum over its rows in blocks."""
    n, length = problem.n, float(np.linalg.norm(w))
    size = n + problem.lam * n * length + float(np.linalg.norm(problem.b))
    return UNIT * (_scores(problem, n * length / 4) + _depth(problem) * n + 8 * size)


def of_removed(problem: LogisticProblem, w: Array, m: int) -> float:
    """Error of the removed gradient of m rows at ``w``."""
    length = float(np.linalg.norm(w))
    depth = min(m, BLOCK_ROWS) / 2 + 16 + m / BLOCK_ROWS
    return UNIT * (_scores(problem, m * length / 4) + (depth + 8 * problem.lam * length) * m)


def of_step(problem: LogisticProblem, origin: Array, step: Array, rhs: Array) -> float:
    """Error of what is known of a step from ``origin``, and of ``origin + step`` itself.

    Known are ``||H step - rhs||`` and the sums of powers of the scores ``x_i.step``, each of which is off by
    (d + 8) u ||step||; the certificates multiply these by c3 n ||step|| at most.
    """
    n, length, of_rhs = problem.n, float(np.linalg.norm(step)), float(np.linalg.norm(rhs))
    start, end = float(np.linalg.norm(origin)), float(np.linalg.norm(origin + step))
    slopes = THIRD_DERIVATIVE * n * length * (start + length)  # of H at the origin; of the powers
    product = _scores(problem, slopes + n * length / 4) + (_depth(problem) / 4 + 8 * problem.lam) * n * length
    norm = (problem.rows.dim / 2 + 8) * (n * length / 4 + problem.lam * n * length + of_rhs)
    return UNIT * (product + norm + (0.25 + problem.lam) * n * end)


def _scores(problem: LogisticProblem, weight: float) -> float:
    """``(d + 8) weight``: what the scores' errors come to where each counts ``weight`` / n."""
    return (problem.rows.dim + 8) * weight


def _depth(problem: LogisticProblem) -> float:
    """Roundings a term of a sum over the rows, blocks that hold no row any more left out."""
    blocks = min(problem.n, 1 + problem.rows.places / BLOCK_ROWS)
    return BLOCK_ROWS / 2 + 16 + problem.rows.dim / 2 + blocks
