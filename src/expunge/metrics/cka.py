"""Linear CKA: how alike two networks represent the same rows, whatever the axes and the scale of either.

With features X (n, d) and Y (n, e) of the same rows, centred, K = X X^T and L = Y Y^T, Kornblith's index is

    CKA = HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)),    HSIC(K, L) = tr(K L) = ||X^T Y||_F^2.

It is 1 for Y = s X Q with Q orthogonal and s not 0, and between 0 and 1. With fewer rows than features it is
near 1 whatever the features are: that bias is what the unbiased estimate of HSIC takes away (Song et al.),
with ~ for a diagonal of zeros,

    n (n - 3) HSIC_1(K, L) = tr(K~ L~) + 1'K~1 1'L~1 / ((n-1)(n-2)) - 2 1'K~L~1 / (n-2),

which of independent features is 0 on average, and so may come to a little below 0. Everything is computed
from d x e sums over blocks of rows, in O(n d e), never from n x n matrices: with k and m the diagonals of K
and L, tr(K~ L~) = ||X^T Y||_F^2 - k'm, and 1'K~L~1 = k'm once both are centred, which HSIC_1 does not see.

Sources: Kornblith, Norouzi, Lee, Hinton, *Similarity of Neural Network Representations Revisited*, ICML 2019;
Song, Smola, Gretton, Bedo, Borgwardt, *Feature Selection via Dependence Maximization*, JMLR 2012; Nguyen,
Raghu, Kornblith, *Do Wide and Deep Networks Learn the Same Things?*, ICLR 2021, for the latter in CKA.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import InvalidValue

Array = NDArray[np.float64]

_BLOCK = 4096  # rows
_LEAST = 4  # rows, for HSIC_1
_NO_SPREAD = 1e-26  # of the sum of squares before centring: below that what is left is rounding
_NOTHING = 1e-12  # of HSIC_1 with itself, relative: below that it is rounding, or negative


class Cka(NamedTuple):
    """Both estimates, 1 for the same representation; None where one is not defined.

    Attributes:
        biased: Kornblith's, in [0, 1].
        unbiased: By HSIC_1, at most 1.
    """

    biased: float | None = None
    unbiased: float | None = None


def linear_cka(x: Array, y: Array) -> Cka:
    """Linear CKA of two representations of the same n rows; see the module for the equations.

    Args:
        x: (n, d) finite.
        y: (n, e).

    Returns:
        Nothing is defined where all rows of one side are alike, or for n < 2; the unbiased one for n < 4
        and where HSIC_1 of a side with itself is not above 0 either.

    Raises:
        InvalidValue: They are not two such arrays of equally many rows.
    """
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise InvalidValue("y", f"shape {y.shape} beside {x.shape}", "two arrays (n, d) and (n, e)")
    n = len(x)
    if n < 2:
        return Cka()
    means, wide = [_mean(one) for one in (x, y)], [_square(one) for one in (x, y)]
    products = [np.zeros((a.shape[1], b.shape[1])) for a, b in ((x, y), (x, x), (y, y))]
    k, m = np.empty(n), np.empty(n)
    for at in range(0, n, _BLOCK):
        rows = slice(at, at + _BLOCK)
        a, b = (np.asarray(one[rows], dtype=np.float64) - of for one, of in zip((x, y), means, strict=True))
        k[rows], m[rows] = (a**2).sum(axis=1), (b**2).sum(axis=1)
        for product, left, right in zip(products, (a, a, b), (b, a, b), strict=True):
            product += left.T @ right
    if k.sum() <= _NO_SPREAD * wide[0] or m.sum() <= _NO_SPREAD * wide[1]:
        return Cka()
    traces = [float((product**2).sum()) for product in products]
    biased = traces[0] / np.sqrt(traces[1] * traces[2])
    if n < _LEAST:
        return Cka(float(min(biased, 1.0)))
    sides = zip(traces, ((k, m), (k, k), (m, m)), strict=True)
    both, own, other = (_hsic(trace, *diagonals) for trace, diagonals in sides)
    defined = min(own / traces[1], other / traces[2]) > _NOTHING
    unbiased = float(min(both / np.sqrt(own * other), 1.0)) if defined else None
    return Cka(float(min(biased, 1.0)), unbiased)


def _hsic(trace: float, k: Array, m: Array) -> float:
    """``n (n - 3) HSIC_1`` of centred features: their ``||X^T Y||_F^2`` and the diagonals k and m of K and L.

    Centred, K 1 = 0: K~1 = -k, so that 1'K~1 = -sum k and 1'K~L~1 = k'm.
    """
    n, inner = len(k), float(k @ m)
    return trace - inner + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 * inner / (n - 2)


def _mean(x: Array) -> Array:
    starts = range(0, len(x), _BLOCK)
    blocks = (np.asarray(x[at : at + _BLOCK], dtype=np.float64).sum(axis=0) for at in starts)
    return np.asarray(sum(blocks) / len(x))


def _square(x: Array) -> float:
    starts = range(0, len(x), _BLOCK)
    return float(sum((np.asarray(x[at : at + _BLOCK], dtype=np.float64) ** 2).sum() for at in starts))
