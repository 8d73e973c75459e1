"""Compiled passes over rows in compressed sparse form (CSR).

Row i has the entries ``data[k]`` in the columns ``columns[k]``, k from ``starts[i]`` to ``starts[i + 1]``;
what is not listed is zero, and is neither read nor added. All arithmetic is float64. A row with
``scale == 0`` has been removed and is never read. ``index`` lists the rows in use: a kernel's lo..hi are
places in it.

Places are unsigned numbers: to ask whether one counts from the end takes a third of the time. Nothing is
reordered here, so that the same rows have the same sums whatever the processor.
"""

from __future__ import annotations

import numpy as np

from expunge.core.compiled import njit


@njit()
def _score(data, columns, starts, i, w):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(np.uint64(starts[i]), np.uint64(starts[i + 1])):
        total += np.float64(data[k]) * w[np.uint64(columns[k])]
    return total


@njit()
def score_block(data, columns, starts, index, scale, w, lo, hi, out):  # type: ignore[no-untyped-def]
    """Write ``x_i.w`` for the rows at lo..hi to ``out`` (n,), each at its own id."""
    for place in range(lo, hi):
        i = index[place]
        out[i] = 0.0
        if scale[i] != 0.0:
            out[i] = scale[i] * _score(data, columns, starts, i, w)


@njit()
def gradient_block(data, columns, starts, index, scale, y, w, lo, hi, out):  # type: ignore[no-untyped-def]
    """Add ``sum_i -y_i sigmoid(-sign(y_i) x_i.w) x_i`` over the rows at lo..hi to ``out`` (d,)."""
    for place in range(lo, hi):
        i = index[place]
        if scale[i] == 0.0:
            continue
        s = scale[i] if y[i] > 0.0 else -scale[i]
        weight = -(y[i] * scale[i]) / (1.0 + np.exp(s * _score(data, columns, starts, i, w)))
        for k in range(np.uint64(starts[i]), np.uint64(starts[i + 1])):
            out[np.uint64(columns[k])] += weight * np.float64(data[k])


@njit()
def curvature_block(data, columns, starts, index, scale, slope, step, lo, hi, out, sums):  # type: ignore[no-untyped-def]
    """Add ``sum_i slope_i (x_i.step) x_i`` over the rows at lo..hi to ``out`` (d,).

    ``sums[0] += sum_i (x_i.step)^2`` and ``sums[1] += sum_i (x_i.step)^4``.
    """
    for place in range(lo, hi):
        i = index[place]
        if scale[i] == 0.0:
            continue
        u = scale[i] * _score(data, columns, starts, i, step)
        sums[0] += u * u
        sums[1] += u * u * u * u
        weight = slope[i] * scale[i] * u
        for k in range(np.uint64(starts[i]), np.uint64(starts[i + 1])):
            out[np.uint64(columns[k])] += weight * np.float64(data[k])


@njit()
def square_block(data, columns, starts, index, scale, slope, lo, hi, out):  # type: ignore[no-untyped-def]
    """Add ``sum_i slope_i x_ij^2`` over the rows at lo..hi to ``out`` (d,)."""
    for place in range(lo, hi):
        i = index[place]
        if scale[i] == 0.0:
            continue
        weight = slope[i] * scale[i] * scale[i]
        for k in range(np.uint64(starts[i]), np.uint64(starts[i + 1])):
            v = np.float64(data[k])
            out[np.uint64(columns[k])] += weight * v * v


@njit()
def absolute_block(data, columns, starts, index, scale, v, lo, hi, out):  # type: ignore[no-untyped-def]
    """Add ``sum_i (|x_i|.v) |x_i|`` over the rows at lo..hi to ``out`` (d,)."""
    for place in range(lo, hi):
        i = index[place]
        if scale[i] == 0.0:
            continue
        total = 0.0
        for k in range(np.uint64(starts[i]), np.uint64(starts[i + 1])):
            total += abs(np.float64(data[k])) * v[np.uint64(columns[k])]
        weight = scale[i] * scale[i] * total
        for k in range(np.uint64(starts[i]), np.uint64(starts[i + 1])):
            out[np.uint64(columns[k])] += weight * abs(np.float64(data[k]))


@njit()
def gram_block(data, columns, starts, index, scale, weight, lo, hi, out):  # type: ignore[no-untyped-def]
    """Add ``sum_i weight_i x_i x_i^T`` over the rows at lo..hi to ``out`` (d, d)."""
    for place in range(lo, hi):
        i = index[place]
        if scale[i] == 0.0:
            continue
        c = weight[i] * scale[i] * scale[i]
        for k in range(np.uint64(starts[i]), np.uint64(starts[i + 1])):
            left = c * np.float64(data[k])
            row = out[np.uint64(columns[k])]
            for m in range(np.uint64(starts[i]), np.uint64(starts[i + 1])):
                row[np.uint64(columns[m])] += left * np.float64(data[m])


@njit()
def square_norm_block(data, starts, used, lo, hi, out):  # type: ignore[no-untyped-def]
    """Write ``||raw_i||^2`` for rows lo..hi to ``out[lo:hi]`` (NaN and infinity pass through).

    Rows that are not ``used`` have 1.
    """
    for i in range(lo, hi):
        out[i] = 1.0
        if used[i]:
            total = 0.0
            for k in range(np.uint64(starts[i]), np.uint64(starts[i + 1])):
                v = np.float64(data[k])
                total += v * v
            out[i] = total
