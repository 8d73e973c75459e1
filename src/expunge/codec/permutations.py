"""Which row gives its Z to which, in copies of a sample where Y and Z are independent (given X)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from expunge.codec.neighbours import share
from expunge.core.compiled import njit
from expunge.core.cores import available_cores


def near_rows(points: NDArray[np.float64], k: int, threads: int | None = None) -> NDArray[np.int64]:
    """The ``k`` nearest rows of each row of ``points`` (r, n), itself first, (n, k).

    Of rows at the same distance the first that follows on the circle 0, 1, ..., n-1, 0 comes first: rows
    that are all alike do not take the same few donors. O(n^2 r), each thread its own rows.
    """
    n = points.shape[1]
    found = np.empty((n, k), dtype=np.int64)
    rows = np.ascontiguousarray(points.T)
    threads = threads or available_cores()
    with ThreadPoolExecutor(threads) as pool:
        share(pool, threads, n, lambda a, b: _nearest(rows, a, b, found))
    return found


def local_permutations(
    n: int, near: NDArray[np.int64] | None, count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Whose Z each of ``n`` rows takes in ``count`` copies, (count, n), drawn copy by copy.

    Without ``near`` each copy is a permutation. With the rows that each row may take from, (n, k), rows are
    visited in random order, and each takes from a random one of its ``near`` that has not given yet; where
    all have, from a random one of them (Runge 2018, algorithm 1).
    """
    drawn = np.empty((count, n), dtype=np.int64)
    for b in range(count):
        order = rng.permutation(n)
        if near is None:
            drawn[b] = order
        else:
            _assign(order, near, rng.random(near.shape), drawn[b])
    return drawn


@njit()
def _nearest(rows, low, high, found):  # type: ignore[no-untyped-def]
    """Fill ``found[low:high]`` (., k): insertion into a sorted list, visiting the circle from the row on."""
    n, columns = rows.shape
    k = found.shape[1]
    squared = np.empty(k)
    for i in range(low, high):
        have = 0
        for step in range(n):
            j = i + step
            if j >= n:
                j -= n
            limit = squared[k - 1] if have == k else np.inf
            distance = 0.0
            for c in range(columns):
                difference = rows[j, c] - rows[i, c]
                distance += difference * difference
                if distance >= limit:
                    break
            if distance >= limit:
                continue
            at = min(have, k - 1)
            while at > 0 and squared[at - 1] > distance:
                squared[at] = squared[at - 1]
                found[i, at] = found[i, at - 1]
                at -= 1
            squared[at], found[i, at] = distance, j
            have = min(have + 1, k)


@njit()
def _assign(order, near, key, taken_from):  # type: ignore[no-untyped-def]
    """One local permutation: the donor with the smallest key among those left, or else among all."""
    used = np.zeros(len(order), dtype=np.bool_)
    for i in order:
        free, any_donor, lowest_free, lowest = -1, -1, np.inf, np.inf
        for m in range(near.shape[1]):
            j = near[i, m]
            if key[i, m] < lowest:
                lowest, any_donor = key[i, m], j
            if not used[j] and key[i, m] < lowest_free:
                lowest_free, free = key[i, m], j
        taken_from[i] = free if free >= 0 else any_donor
        used[taken_from[i]] = True
