"""Compiled kernels: for candidate columns, the nearest neighbour of every row in (chosen columns, candidate).

Distances only grow when a column is added. So the neighbours of a row are visited in order of their distance in
the chosen columns, and the visit ends as soon as that distance alone exceeds the best found.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, inline="always")
def _turn(i, j, n, cyclic):  # type: ignore[no-untyped-def]
    """Order among ties: the first row after i on the circle comes first, or the lowest row."""
    return j + n if cyclic and j < i else j


@numba.njit(nogil=True, cache=True)
def walk_rows(columns, index, ranks, cyclic, near, squared, reach, rows, todo, sums):  # type: ignore[no-untyped-def]
    """Every cell is one row: add ``min(R_i, R_M(i))`` of each finished row to ``sums``.

    Args:
        columns: (p, n) float64.
        index: Candidates, (c,).
        ranks: R, (n,) int64.
        cyclic: Ties go to the next row on the circle (else to the lowest row).
        near, squared, reach: Lists of ``rows``, see ``neighbours.Lists``.
        rows: The rows to look at, (q,).
        todo: (c, n) bool; cleared where the list was long enough.
        sums: (c,) int64, added to.
    """
    n = len(ranks)
    m = near.shape[1]
    for c in range(len(index)):
        column = columns[index[c]]
        pending = todo[c]
        total = 0
        for q in range(len(rows)):
            i = rows[q]
            if not pending[i]:
                continue
            here = column[i]
            best, turn, found = np.inf, 0, -1
            for t in range(m):
                base = squared[q, t]
                if base > best:
                    break
                j = near[q, t]
                difference = column[j] - here
                distance = base + difference * difference
                if distance > best or j == i:
                    continue
                step = _turn(i, j, n, cyclic)
                if distance < best or step < turn:
                    best, turn, found = distance, step, j
            if best < reach[q]:
                pending[i] = False
                total += min(ranks[i], ranks[found])
        sums[c] += total


@numba.njit(nogil=True, cache=True)
def walk_cells(  # type: ignore[no-untyped-def]
    columns, index, orders, ranks, cyclic, label, start, near, squared, reach, cells, todo, sums
):
    """The same where cells hold several rows: within a cell, rows lie sorted by the candidate's value.

    Args:
        orders: Rows sorted by (value, row) in each candidate, (c, n).
        label: Cell of each row, (n,).
        start: First place of each cell in an array sorted by cell, (count + 1,).
        cells: The cells that ``near``, ``squared`` and ``reach`` belong to, (q,), ascending.
        columns, index, ranks, cyclic, todo, sums: As in ``walk_rows``.
    """
    n = len(ranks)
    m = near.shape[1]
    place = np.empty(n, dtype=np.int64)  # rows sorted by (cell, value, row)
    value = np.empty(n)
    run_first = np.empty(n, dtype=np.int64)  # first and one past last place of the run of equal values
    run_end = np.empty(n, dtype=np.int64)
    for c in range(len(index)):
        column = columns[index[c]]
        _arrange(column, orders[c], label, start, place, value, run_first, run_end)
        total = 0
        for q in range(len(cells)):
            own = cells[q]
            for s in range(start[own], start[own + 1]):
                i = place[s]
                if not todo[c, i]:
                    continue
                best, turn, found = np.inf, n, -1
                for t in range(m):
                    base = squared[q, t]
                    if base > best:
                        break
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
                    todo[c, i] = False
                    total += min(ranks[i], ranks[found])
        sums[c] += total


@numba.njit(nogil=True, cache=True)
def _arrange(column, order, label, start, place, value, run_first, run_end):  # type: ignore[no-untyped-def]
    """Sort rows by (cell, value, row) - one counting pass over ``order`` - and mark the runs of equal values."""
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
