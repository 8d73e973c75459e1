"""The sum Q of many copies of Z, the rows of each in other places."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.codec.kernels import turn
from expunge.codec.neighbours import Lists, Neighbours, share
from expunge.codec.scan import Scan
from expunge.codec.statistic import agreement
from expunge.core.compiled import njit
from expunge.core.cores import available_cores

LIST = 512  # neighbours looked up before all of them


def sums_of(
    given: NDArray[np.float64],
    z: NDArray[np.float64],
    drawn: NDArray[np.int64],
    ranks: NDArray[np.int64],
    *,
    cyclic: bool,
    threads: int | None,
) -> NDArray[np.int64]:
    """``Q(given, z[:, d])`` for each row d of ``drawn`` (c, n), (c,): what ``agreement`` gives, faster.

    X is ``given`` (r, n), where r may be 0, and Z is ``z`` (q, n); without X each copy must be a permutation.

    Copies of one column are the candidates of one scan. Copies of several columns walk the same lists of
    neighbours, those in ``given``; without ``given``, a permuted copy has the neighbours of the original
    under other numbers. Only where rows of ``given`` (or distances in z alone) are equal is it one copy after
    the other.
    """
    if len(z) == 1:
        scan = Scan(np.vstack([given, z[0][drawn]]), ranks, cyclic=cyclic, threads=threads)
        for j in range(len(given)):
            scan.choose(j)
        return scan.sums(np.arange(len(given), len(given) + len(drawn)))
    threads = threads or available_cores()
    if len(given):
        if len(np.unique(given, axis=1).T) == len(ranks):
            return _walked(given, z, drawn, ranks, cyclic, threads)
    elif (nearest := _only_nearest(z, threads)) is not None:
        # A row's nearest is where the nearest of its donor went; argsort inverts the permutation.
        places = (np.argsort(copy)[nearest[copy]] for copy in drawn)
        return np.array([np.minimum(ranks, ranks[place]).sum() for place in places])
    copies = (np.vstack([given, z[:, copy]]) for copy in drawn)
    return np.array([agreement(columns, ranks, cyclic=cyclic, threads=threads) for columns in copies])


def _only_nearest(z: NDArray[np.float64], threads: int) -> NDArray[np.int64] | None:
    """The nearest other row of each row of ``z`` (q, n), or None if one of them has several."""
    n = z.shape[1]
    nearest = np.empty(n, dtype=np.int64)
    neighbours = Neighbours(z, rows=True, threads=threads)
    with ThreadPoolExecutor(threads) as pool:
        for part, lists in neighbours.of(np.arange(n), 3, pool):
            first = lists.squared[:, 0]
            if (first == lists.squared[:, 1]).any() or (first >= lists.reach).any():
                return None
            nearest[part] = lists.cell[:, 0]
    return nearest


def _walked(
    given: NDArray[np.float64],
    z: NDArray[np.float64],
    drawn: NDArray[np.int64],
    ranks: NDArray[np.int64],
    cyclic: bool,
    threads: int,
) -> NDArray[np.int64]:
    """Rows of ``given`` are distinct: all copies visit the neighbours of a row side by side."""
    values = np.ascontiguousarray(z[:, drawn.T])  # (q, n, c)
    sums = np.zeros(len(drawn), dtype=np.int64)

    def walk(rows: NDArray[np.int64], near: Lists, done: NDArray[np.bool_], a: int, b: int) -> Any:
        lists, added = (near.cell[a:b], near.squared[a:b], near.reach[a:b]), np.zeros_like(sums)
        _walk_copies(values, ranks, cyclic, *lists, near.ascending, rows[a:b], done[a:b], added)
        return added

    neighbours = Neighbours(given, rows=True, threads=threads)
    pending, wanted = np.arange(len(ranks)), LIST
    with ThreadPoolExecutor(threads) as pool:
        while len(pending):
            length, left = neighbours.length(wanted), []
            for part, lists in neighbours.of(pending, length, pool):
                done = np.zeros(len(part), dtype=bool)
                sums += sum(share(pool, threads, len(part), partial(walk, part, lists, done)))
                left.append(part[~done])
            pending, wanted = np.concatenate(left), wanted * LIST  # next time all of them
    return sums


@njit()
def _walk_copies(  # type: ignore[no-untyped-def]
    values, ranks, cyclic, near, squared, reach, ascending, rows, done, sums
):
    """Add ``min(R_i, R_M(i))`` of each row whose list was long enough for every copy; mark it ``done``.

    Args:
        values: The copies, (q, n, c) float64.
        ranks: R, (n,) int64.
        cyclic: Ties go to the next row on the circle (else to the lowest row).
        near: This and the next three: the lists of ``rows``, see ``neighbours.Lists``.
        squared: (m, length).
        reach: (m,).
        ascending: Whether lists are sorted.
        rows: The rows to look at, (m,).
        done: (m,) bool, set.
        sums: (c,) int64, added to.
    """
    width = values.shape[2]
    distance, best = np.empty(width), np.empty(width)
    gain, tied = np.empty(width, dtype=np.int64), np.empty(width, dtype=np.int64)
    for q in range(len(rows)):
        i = rows[q]
        best[:], gain[:], tied[:] = np.inf, 0, 0
        worst = np.inf
        for t in range(near.shape[1]):
            base = squared[q, t]
            if base > worst:
                if ascending:
                    break
                continue
            j = near[q, t]
            if j == i:
                continue
            _measure_copies(values, i, j, base, distance)
            _keep_best(distance, min(ranks[i], ranks[j]), best, gain, tied)
            if t % 8 == 7:
                worst = best.max()
        if best.max() < reach[q]:
            done[q] = True
            for c in range(width):
                if tied[c]:
                    j = _first_of_ties(values, i, c, best[c], near[q], squared[q], cyclic)
                    gain[c] = min(ranks[i], ranks[j])
            sums += gain


@njit()
def _measure_copies(values, i, j, base, distance):  # type: ignore[no-untyped-def]
    """Squared distance of rows i and j in every copy, summed in the order of the columns."""
    distance[:] = base
    for k in range(len(values)):
        here, there = values[k, i], values[k, j]
        for c in range(len(distance)):
            difference = there[c] - here[c]
            distance[c] += difference * difference


@njit()
def _keep_best(distance, worth, best, gain, tied):  # type: ignore[no-untyped-def]
    """Free of branches, so that it runs in vector registers."""
    for c in range(len(best)):
        less, same = distance[c] < best[c], distance[c] == best[c]
        tied[c] = 0 if less else (1 if same else tied[c])
        gain[c] = worth if less else gain[c]
        best[c] = distance[c] if less else best[c]


@njit()
def _first_of_ties(values, i, c, least, near, squared, cyclic):  # type: ignore[no-untyped-def]
    """Of the listed rows at distance ``least`` from row i in copy c, the one that the tie goes to."""
    n = values.shape[1]
    found, first = -1, 2 * n
    for t in range(len(near)):
        j = near[t]
        total = squared[t]
        for k in range(len(values)):
            difference = values[k, j, c] - values[k, i, c]
            total += difference * difference
        if j != i and total == least and turn(i, j, n, cyclic) < first:
            found, first = j, turn(i, j, n, cyclic)
    return found
