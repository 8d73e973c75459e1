"""Compiled kernels: for candidate columns, the nearest neighbour of every row in (chosen columns, candidate).

Distances only grow when a column is added. So the neighbours of a row are visited in order of their distance
in the chosen columns, and the visit ends as soon as that distance alone exceeds the best found.
"""

from __future__ import annotations

import numpy as np

from expunge.core.compiled import njit


@njit(inline="always")
def turn(i, j, n, cyclic):  # type: ignore[no-untyped-def]
    """Order among ties: the first row after i on the circle comes first, or the lowest row."""
    return j + n if cyclic and j < i else j


@njit()
def walk_rows(  # type: ignore[no-untyped-def]
    values, ranks, cyclic, near, squared, reach, rows, todo, sums, together
):
    """Every cell is one row: add ``min(R_i, R_M(i))`` of each finished row to ``sums``.

    Args:
        values: The candidates, (n, c) float64.
        ranks: R, (n,) int64.
        cyclic: Ties go to the next row on the circle (else to the lowest row).
        near: This and the next two: the lists of ``rows``, sorted, see ``neighbours.Lists``.
        squared: (q, m).
        reach: (q,).
        rows: The rows to look at, (q,).
        todo: (n, c) bool; cleared where the list was long enough.
        sums: (c,) int64, added to.
        together: Begin with all candidates side by side (vector registers), while most of them go on.
    """
    m, width = near.shape[1], values.shape[1]
    best = np.empty(width)
    gain = np.empty(width, dtype=np.int64)  # min(R_i, R_j) of the best row j
    tied = np.empty(width, dtype=np.int64)
    for q in range(len(rows)):
        i = rows[q]
        here, waiting = values[i], todo[i]
        best[:], gain[:], tied[:] = np.inf, 0, 0
        begin, limit = 0, reach[q]
        while together and begin < m:
            end = min(m, begin + _SWEEP)
            for t in range(begin, end):
                j = near[q, t]
                _sweep(here, values[j], squared[q, t], min(ranks[i], ranks[j]), best, gain, tied)
            begin = end
            limit = squared[q, begin] if begin < m else reach[q]
            if _GO_ON * _open(best, limit) < width:
                break
        if together:
            _close(best, gain, tied, limit, waiting, sums)
        for c in range(width):
            if not waiting[c]:
                continue
            least, most, ties = best[c], gain[c], tied[c]
            for t in range(begin, m):
                base = squared[q, t]
                if base > least:
                    break
                j = near[q, t]
                difference = values[j, c] - here[c]
                distance = base + difference * difference
                if distance < least:
                    least, most, ties = distance, min(ranks[i], ranks[j]), 0
                elif distance == least:
                    ties = 1
            if least < reach[q]:
                waiting[c] = False
                if ties:
                    j = _among_ties(values[:, c], i, least, near[q], squared[q], cyclic)
                    most = min(ranks[i], ranks[j])
                sums[c] += most


_SWEEP = 8  # neighbours visited for all candidates before looking who is done
_GO_ON = 8  # sweep again while more than one in this many is not


@njit()
def _sweep(here, there, base, worth, best, gain, tied):  # type: ignore[no-untyped-def]
    """Visit one neighbour for all candidates; free of branches, so that it runs in vector registers."""
    for c in range(len(best)):
        difference = there[c] - here[c]
        distance = base + difference * difference
        least = best[c]
        less = distance < least
        same = distance == least
        tied[c] = 0 if less else (1 if same else tied[c])
        gain[c] = worth if less else gain[c]
        best[c] = distance if less else least


@njit()
def _close(best, gain, tied, limit, waiting, sums):  # type: ignore[no-untyped-def]
    """Add up the candidates that can find nothing nearer beyond ``limit``; the others go on waiting."""
    for c in range(len(best)):
        done = (best[c] < limit) & (tied[c] == 0)
        sums[c] += gain[c] if done else 0
        waiting[c] = not done


@njit()
def _open(best, base):  # type: ignore[no-untyped-def]
    """How many candidates may still find something at the distance ``base`` or beyond."""
    count = np.int64(0)
    for c in range(len(best)):
        count += np.int64(best[c] >= base)
    return count


@njit()
def _among_ties(column, i, least, near, squared, cyclic):  # type: ignore[no-untyped-def]
    """Of the listed rows at distance ``least`` from row i, the one that the tie goes to."""
    n = len(column)
    found, first = -1, 2 * n
    for t in range(len(near)):
        j = near[t]
        difference = column[j] - column[i]
        if squared[t] + difference * difference == least and turn(i, j, n, cyclic) < first:
            found, first = j, turn(i, j, n, cyclic)
    return found


@njit()
def exhaust_rows(columns, index, ranks, cyclic, squared, rows, todo, sums):  # type: ignore[no-untyped-def]
    """The same from unsorted distances to all rows: a plain pass for each row and candidate still waiting.

    Args:
        columns: (p, n) float64.
        index: Which of them are candidates, (c,).
        squared: Distances of ``rows`` to all rows, inf to themselves, (q, n).
        ranks: This and the rest as in ``walk_rows``.
        cyclic: Ties go to the next row on the circle.
        rows: (q,).
        todo: (n, c) bool.
        sums: (c,) int64.
    """
    n = len(ranks)
    for q in range(len(rows)):
        i, base = rows[q], squared[q]
        for c in range(len(index)):
            if not todo[i, c]:
                continue
            column = columns[index[c]]
            least, begin, end = np.inf, 0, 0
            for a in range(0, n, _CHUNK):
                z = min(n, a + _CHUNK)
                nearest = _least(base[a:z], column[a:z], column[i])
                if nearest < least:
                    least, begin = nearest, a
                if nearest == least:
                    end = z
            found, first = -1, 2 * n
            for j in range(begin, end):
                difference = column[j] - column[i]
                if base[j] + difference * difference == least and turn(i, j, n, cyclic) < first:
                    found, first = j, turn(i, j, n, cyclic)
            todo[i, c] = False
            sums[c] += min(ranks[i], ranks[found])


_CHUNK = 256


@njit(fastmath={"nnan", "nsz"})  # minima may be taken in any order; no NaN is here
def _least(base, column, here):  # type: ignore[no-untyped-def]
    """Smallest distance of a chunk."""
    least = np.inf
    for u in range(len(base)):
        difference = column[u] - here
        least = min(least, base[u] + difference * difference)
    return least
