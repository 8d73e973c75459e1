"""Compiled kernel of the scan where cells hold several rows: tables with ties."""

from __future__ import annotations

import numpy as np

from expunge.codec.kernels import turn
from expunge.core.compiled import njit


@njit()
def walk_cells(  # type: ignore[no-untyped-def]
    values, orders, ranks, cyclic, label, start, near, squared, reach, ascending, cells, todo, sums
):
    """As ``walk_rows``; within a cell, rows lie sorted by the candidate's value and are found by halving.

    Args:
        values: The candidates, (c, n) float64.
        orders: Rows sorted by value in each candidate, (c, n).
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
    # One deep nest of loops on purpose: as functions for a row and a cell it took twice the time.
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
                best, first, found = np.inf, n, -1
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
                            step = turn(i, j, n, cyclic)
                            if distance < best or step < first:
                                best, first, found = distance, step, j
                        at = run_end[at]
                    at = middle - 1
                    while at >= low:  # and downwards
                        difference = value[at] - column[i]
                        distance = base + difference * difference
                        if distance > best:
                            break
                        j = _next_in_run(place, run_first[at], at + 1, i, cyclic)
                        step = turn(i, j, n, cyclic)
                        if distance < best or step < first:
                            best, first, found = distance, step, j
                        at = run_first[at] - 1
                if best < reach[q]:
                    todo[i, c] = False
                    total += min(ranks[i], ranks[found])
        sums[c] += total


@njit()
def _arrange(column, order, label, start, place, value, run_first, run_end):  # type: ignore[no-untyped-def]
    """Sort rows by (cell, value, row), a counting pass over ``order``, and mark runs of equal values."""
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
                _end_run(place, run_end, first, at)
                first = at
            run_first[at] = first
        _end_run(place, run_end, first, start[cell + 1])


@njit()
def _end_run(place, run_end, first, end):  # type: ignore[no-untyped-def]
    """Mark one run of equal values and put its rows in order."""
    run_end[first:end] = end
    if end - first > 1:
        place[first:end].sort()


@njit(inline="always")
def _first_not_below(value, low, high, wanted):  # type: ignore[no-untyped-def]
    """First place in low..high-1 whose value is at least ``wanted``; high if there is none."""
    while low < high:
        middle = (low + high) // 2
        if value[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@njit(inline="always")
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
