"""CODEC and FOCI straight from the equations (method.md, section 2): O(n^2), float64, exact counts."""

from __future__ import annotations

from fractions import Fraction

import numpy as np


def circle(n: int, seed: int | None) -> np.ndarray:
    """Position of every row on the circle on which ties are resolved."""
    place = np.empty(n, dtype=np.int64)
    place[np.random.default_rng(seed).permutation(n)] = np.arange(n)
    return place


def nearest(points: np.ndarray, place: np.ndarray | None) -> np.ndarray:
    """Nearest other row of each row of ``points`` (n, k).

    Among ties: the first that follows on the circle ``place``, or with None the one of the lowest index.
    """
    n = len(points)
    squared = np.zeros((n, n))
    for column in points.T:
        squared += (column[:, None] - column[None, :]) ** 2
    found = np.empty(n, dtype=np.int64)
    for i in range(n):
        others = np.array([j for j in range(n) if j != i])
        tied = others[squared[i, others] == squared[i, others].min()]
        found[i] = tied[0] if place is None else tied[np.argmin((place[tied] - place[i]) % n)]
    return found


def ranks(y: np.ndarray) -> tuple[list[int], list[int]]:
    """R_i = #{Y_j <= Y_i} and L_i = #{Y_j >= Y_i}."""
    return [int((y <= v).sum()) for v in y], [int((y >= v).sum()) for v in y]


def statistic(
    y: np.ndarray, z: np.ndarray, x: np.ndarray | None, place: np.ndarray | None
) -> Fraction | None:
    """T(Y, Z) or T(Y, Z | X) as an exact fraction; None where the denominator is zero."""
    n = len(y)
    r, lower = ranks(y)
    z = z.reshape(n, -1)
    if x is None:
        m = nearest(z, place)
        top = sum(n * min(r[i], r[m[i]]) - lower[i] ** 2 for i in range(n))
        bottom = sum(a * (n - a) for a in lower)
    else:
        x = x.reshape(n, -1)
        near, m = nearest(x, place), nearest(np.hstack([x, z]), place)
        top = sum(min(r[i], r[m[i]]) - min(r[i], r[near[i]]) for i in range(n))
        bottom = sum(r[i] - min(r[i], r[near[i]]) for i in range(n))
    return Fraction(top, bottom) if bottom else None


def expected_statistic(y: np.ndarray, z: np.ndarray) -> Fraction:
    """T(Y, Z) averaged over every way of breaking ties (each nearest neighbour uniform among its ties)."""
    n = len(y)
    r, lower = ranks(y)
    z = z.reshape(n, -1)
    squared = ((z[:, None, :] - z[None, :, :]) ** 2).sum(axis=2)
    total = Fraction(0)
    for i in range(n):
        others = np.array([j for j in range(n) if j != i])
        tied = others[squared[i, others] == squared[i, others].min()]
        total += Fraction(sum(n * min(r[i], r[j]) for j in tied), len(tied)) - lower[i] ** 2
    return total / sum(a * (n - a) for a in lower)


def select(
    x: np.ndarray, y: np.ndarray, place: np.ndarray | None, most: int | None = None, stop: bool = True
) -> tuple[list[int], list[Fraction]]:
    """FOCI; constant columns are not candidates, and equal scores go to the lowest column."""
    left = [j for j in range(x.shape[1]) if np.ptp(x[:, j]) > 0]
    columns: list[int] = []
    scores: list[Fraction] = []
    while left and (most is None or len(columns) < most):
        base = x[:, columns] if columns else None
        tried = [(statistic(y, x[:, j], base, place), j) for j in left]
        if tried[0][0] is None:  # y is a function of the chosen columns (or constant)
            break
        best, j = max(tried, key=lambda pair: (pair[0], -pair[1]))
        if stop and best <= 0:
            break
        columns.append(j)
        scores.append(best)
        left.remove(j)
    return columns, scores
