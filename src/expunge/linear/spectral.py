"""Upper bounds on ||X||_2 where there is no room for a Gram matrix."""

from __future__ import annotations

from math import sqrt

import numpy as np

from expunge.linear.operations import RowOperations
from expunge.linear.rounding import OUTWARD

_PASSES = 8
_LEAST = 2.0**-100  # of the largest entry: every entry has to be above 0


def spectral_bound(rows: RowOperations) -> float:
    """Upper bound on ||X||_2, from a few passes over the rows, without a matrix of d x d.

    ||X||_2^2 is the largest eigenvalue of X^T X, whose entries are in size at most those of A = |X|^T |X|, of
    the entries' sizes. So it is at most A's (Perron and Frobenius), and that is at most
    ``max_j (A v)_j / v_j`` for every v > 0 (Collatz and Wielandt). v = 1 gives at most ``||X||_1 ||X||_inf``;
    a few steps of the power iteration come near the eigenvalue itself, which of rows without negative
    entries, as of text, is that of X^T X. And it is at most the square of the Frobenius norm, at most the
    number of rows.

    A sum of terms that are not negative is right to (n + d + 10) u of itself: ``OUTWARD`` is more than that.
    """
    least, v = float(rows.count), np.ones(rows.dim)
    for _ in range(_PASSES):
        product = rows.absolute(v)
        least = min(least, float((product / v).max()))
        if not least > 0:
            break
        v = np.maximum(product / product.max(), _LEAST)
    return OUTWARD**2 * sqrt(least)
