"""Compiled kernels: for candidate columns, the nearest neighbour of every row in (chosen columns, candidate).

Distances only grow when a column is added. So the neighbours of a row are visited in order of their distance
in the chosen columns, and the visit ends as soon as that distance alone exceeds the best found.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, inline="always")
def _turn(i, j, n, cyclic):  # type: ignore[no-untyped-def]
    """Order among ties: the first row after i on the circle comes first, or the lowest row."""
    return j + n if cyclic and j < i else j


@numba.njit(nogil=True, cache=True)
def walk_rows(  # type: ignore[no-untyped-def]
    values, ranks, cyclic, near, squared, reach, ascending, rows, todo, sums, together
):
    """Every cell is one row: add ``min(R_i, R_M(i))`` of each finished row to ``sums``.

    Args:
        values: The candidates, (n, c) float64.
        ranks: R, (n,) int64.
        cyclic: Ties go to the next row on the circle (else to the lowest row).
        near: This and the next three: the lists of ``rows``, see ``neighbours.Lists``.
        squared: (q, m).
        reach: (q,).
        ascending: Whether lists are sorted.
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
                    if ascending:
                        break
                    continue
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
_GO_ON = 8  # sweep again while more than one in so many is not


@numba.njit(nogil=True, cache=True)
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


@numba.njit(nogil=True, cache=True)
def _close(best, gain, tied, limit, waiting, sums):  # type: ignore[no-untyped-def]
    """Add up the candidates that can find nothing nearer beyond ``limit``; the others go on waiting."""
    for c in range(len(best)):
        done = (best[c] < limit) & (tied[c] == 0)
        sums[c] += gain[c] if done else 0
        waiting[c] = not done


@numba.njit(nogil=True, cache=True)
def _open(best, base):  # type: ignore[no-untyped-def]
    """How many candidates may still find something at the distance ``base`` or beyond."""
    count = np.int64(0)
    for c in range(len(best)):
        count += np.int64(best[c] >= base)
    return count


@numba.njit(nogil=True, cache=True)
def _among_ties(column, i, least, near, squared, cyclic):  # type: ignore[no-untyped-def]
    """Of the listed rows at distance ``least`` from row i, the one that the tie goes to."""
    n = len(column)
    found, turn = -1, 2 * n
    for t in range(len(near)):
        j = near[t]
        difference = column[j] - column[i]
        if squared[t] + difference * difference == least and _turn(i, j, n, cyclic) < turn:
            found, turn = j, _turn(i, j, n, cyclic)
    return found


@numba.njit(nogil=True, cache=True)
def walk_cells(  # type: ignore[no-untyped-def]
    values, orders, ranks, cyclic, label, start, near, squared, reach, ascending, cells, todo, sums
):
    """The same where cells hold several rows: within a cell, rows lie sorted by the candidate's value.

    Args:
        values: The candidates, (c, n) float64.
        orders: Rows sorted by (value, row) in each candidate, (c, n).
        label: Cell of each row, (n,).
        start: First place of each cell in an array sorted by cell, (count + 1,).
        near: This and the next three: the lists of ``cells``; each cell lists itself.
        squared: (q, m).
        reach: (q,).
        ascending: Whether lists are sorted.
        cells: The cells to look at, (q,).
        ranks: This and the rest as in ``walk_rows``.
        cyclic: Ties go to the next row on the circle.
        todo: (n, c) bool.
        sums: (c,) int64.
    """
    n = len(ranks)
    m = near.shape[1]
    place = np.empty(n, dtype=np.int64)  # rows sorted by (cell, value, row)
    value = np.empty(n)
    run_first = np.empty(n, dtype=np.int64)  # first and one past last place of the run of equal values
    run_end = np.empty(n, dtype=np.int64)
    for c in range(len(values)):
        column = values[c]
        _arrange(column, orders[c], label, start, place, value, run_first, run_end)
        total = 0
        for q in range(len(cells)):
            own = cells[q]
            for s in range(start[own], start[own + 1]):
                i = place[s]
                if not todo[i, c]:
                    continue
                best, turn, found = np.inf, n, -1
                for t in range(m):
                    base = squared[q, t]
                    if base > best:
                        if ascending:
                            break
                        continue
                    cell = near[q, t]
                    low, high = start[cell], start[cell + 1]
                    middle = run_first[s] if cell == own else _first_not_below(value, low, high, column[i])
                    at = middle
                    while at < high:  # upwards, run by run
                        difference = value[at] - column[i]
                        distance = base + difference * difference
                        if distance > best:
                            break
                        j = _next_in_run(place, at, run_end[at], i, cyclic)
                        if j >= 0:
                            step = _turn(i, j, n, cyclic)
                            if distance < best or step < turn:
                                best, turn, found = distance, step, j
                        at = run_end[at]
                    at = middle - 1
                    while at >= low:  # and downwards
                        difference = value[at] - column[i]
                        distance = base + difference * difference
                        if distance > best:
                            break
                        j = _next_in_run(place, run_first[at], at + 1, i, cyclic)
                        step = _turn(i, j, n, cyclic)
                        if distance < best or step < turn:
                            best, turn, found = distance, step, j
                        at = run_first[at] - 1
                if best < reach[q]:
                    todo[i, c] = False
                    total += min(ranks[i], ranks[found])
        sums[c] += total


@numba.njit(nogil=True, cache=True)
def _arrange(column, order, label, start, place, value, run_first, run_end):  # type: ignore[no-untyped-def]
    """Sort rows by (cell, value, row), one counting pass over ``order``, and mark runs of equal values."""
    n = len(order)
    fill = start[:-1].copy()
    for k in range(n):
        i = order[k]
        at = fill[label[i]]
        place[at] = i
        value[at] = column[i]
        fill[label[i]] = at + 1
    for cell in range(len(start) - 1):
        first = start[cell]
        for at in range(start[cell], start[cell + 1]):
            if value[at] != value[first]:
                run_end[first:at] = at
                first = at
            run_first[at] = first
        run_end[first : start[cell + 1]] = start[cell + 1]


@numba.njit(nogil=True, cache=True, inline="always")
def _first_not_below(value, low, high, wanted):  # type: ignore[no-untyped-def]
    """First place in low..high-1 whose value is at least ``wanted``; high if there is none."""
    while low < high:
        middle = (low + high) // 2
        if value[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit(nogil=True, cache=True, inline="always")
def _next_in_run(place, first, end, i, cyclic):  # type: ignore[no-untyped-def]
    """The row of place[first:end] (ascending) that a tie goes to, seen from row i; -1 if i is alone there."""
    if not cyclic:
        at = first
        if place[at] == i:
            at += 1
        return place[at] if at < end else -1
    low, high = first, end
    while low < high:  # first place whose row is beyond i
        middle = (low + high) // 2
        if place[middle] <= i:
            low = middle + 1
        else:
            high = middle
    if low == end:
        low = first
    return place[low] if place[low] != i else -1
