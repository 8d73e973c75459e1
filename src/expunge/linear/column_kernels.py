"""A compiled pass for a few weight vectors: what ``expunge.linear.kernels`` does for one.

Four rows are widened to float64 once and used for all columns, of which four or two are gone through at a
time: as many sums as there are vector registers. Nothing of it needs the interpreter, on whose lock threads
wait for each other where a pass is made of many small products.
"""

from __future__ import annotations

import numpy as np

from expunge.core.compiled import njit
from expunge.linear.kernels import FAST, find_four, room_for_four, widened

FEW = 32
"""Columns up to which this is used: with 128 features and more it is faster than products of blocks of rows
with all columns; of 32 columns with 32 features it is a quarter slower at worst."""


@njit(fastmath=FAST)
def columns_block(raw, index, scale, offset, own, local, sizes, w, columns, lo, hi, out, slopes, sums):  # type: ignore[no-untyped-def]
    """Add ``sum_i -y_ik sigmoid(-sign(y_ik) x_i.w_k) x_i`` over the rows at lo..hi to ``out`` (k, d).

    ``own`` (n,) is the number of the column in which each row is +1, -1 for none, and ``local`` where each
    column is in w, -1 for one that is not, and at its end once more; ``sizes`` (n,) what each row counts, or
    (1,) what all do. w (k, d) are the weights of an even number of columns, of which the first m are wanted,
    of the numbers ``columns`` (m,). ``c_i s_ik (1 - s_ik)`` is written to ``slopes`` (places, K) and summed
    in ``sums`` (m,): of a row that has left as if its score were 0.
    """
    b0, b1, b2, b3 = room_for_four(w.shape[1])
    score, four = np.zeros((w.shape[0], 4)), np.empty(4, np.int64)
    by_four = w.shape[0] // 4 * 4
    for i in range(lo, hi, 4):
        there = find_four(index, scale, i, hi, four)
        if there:
            _widen_four(raw, four, offset, b0, b1, b2, b3)
            for k in range(0, by_four, 4):
                _score_four(b0, b1, b2, b3, w[k : k + 4], score[k : k + 4])
            for k in range(by_four, w.shape[0], 2):
                _score_two(b0, b1, b2, b3, w[k : k + 2], score[k : k + 2])
        else:
            score[:] = 0.0
        _weigh(index, scale, own, local, sizes, columns, i, hi, score, slopes, sums)
        if there:
            for k in range(0, by_four, 4):
                _add_four(b0, b1, b2, b3, score[k : k + 4], out[k : k + 4])
            for k in range(by_four, w.shape[0], 2):
                _add_two(b0, b1, b2, b3, score[k : k + 2], out[k : k + 2])


@njit(fastmath=FAST)
def _weigh(index, scale, own, local, sizes, columns, i, hi, score, slopes, sums):  # type: ignore[no-untyped-def]
    """Make of the scores (k, 4) of the rows at i..i+3 what these weigh; none at ``hi`` or beyond."""
    for r in range(4):
        if i + r >= hi:
            score[:, r] = 0.0
            continue
        row = index[i + r]
        s, size = scale[row], sizes[row if sizes.shape[0] > 1 else 0]
        positive = local[own[row]]
        for k in range(columns.shape[0]):
            sign = 1.0 if positive == k else -1.0
            wrong = 1.0 / (1.0 + np.exp(sign * s * score[k, r]))  # sigmoid(-y x.w)
            slope = size * (wrong - wrong * wrong)
            slopes[i + r, columns[k]] = slope
            sums[k] += slope
            score[k, r] = -sign * s * size * wrong


@njit(fastmath=FAST)
def _widen_four(raw, four, offset, b0, b1, b2, b3):  # type: ignore[no-untyped-def]
    r0, r1, r2, r3 = raw[four[0]], raw[four[1]], raw[four[2]], raw[four[3]]
    for j in range(b0.shape[0]):
        b0[j], b1[j] = widened(r0[j]) - offset, widened(r1[j]) - offset
        b2[j], b3[j] = widened(r2[j]) - offset, widened(r3[j]) - offset


@njit(fastmath=FAST)
def _score_four(b0, b1, b2, b3, w, score):  # type: ignore[no-untyped-def]
    """Write ``x.w`` of four rows and four columns to ``score`` (4, 4), a column a row."""
    w0, w1, w2, w3 = w[0], w[1], w[2], w[3]
    a0 = a1 = a2 = a3 = (0.0, 0.0, 0.0, 0.0)
    for j in range(b0.shape[0]):
        x = b0[j], b1[j], b2[j], b3[j]
        a0, a1, a2, a3 = _and(a0, x, w0[j]), _and(a1, x, w1[j]), _and(a2, x, w2[j]), _and(a3, x, w3[j])
    for r in range(4):
        score[0, r], score[1, r], score[2, r], score[3, r] = a0[r], a1[r], a2[r], a3[r]


@njit(fastmath=FAST)
def _score_two(b0, b1, b2, b3, w, score):  # type: ignore[no-untyped-def]
    """The same of two columns."""
    w0, w1 = w[0], w[1]
    a0 = a1 = (0.0, 0.0, 0.0, 0.0)
    for j in range(b0.shape[0]):
        x = b0[j], b1[j], b2[j], b3[j]
        a0, a1 = _and(a0, x, w0[j]), _and(a1, x, w1[j])
    for r in range(4):
        score[0, r], score[1, r] = a0[r], a1[r]


@njit(fastmath=FAST)
def _add_four(b0, b1, b2, b3, weight, out):  # type: ignore[no-untyped-def]
    """Add the sums of four rows that ``weight`` (4, 4) says, a column a row, to ``out`` (4, d)."""
    o0, o1, o2, o3 = out[0], out[1], out[2], out[3]
    c0, c1, c2, c3 = _own(weight[0]), _own(weight[1]), _own(weight[2]), _own(weight[3])
    for j in range(b0.shape[0]):
        x = b0[j], b1[j], b2[j], b3[j]
        o0[j] += _times(c0, x)
        o1[j] += _times(c1, x)
        o2[j] += _times(c2, x)
        o3[j] += _times(c3, x)


@njit(fastmath=FAST)
def _add_two(b0, b1, b2, b3, weight, out):  # type: ignore[no-untyped-def]
    """The same of two columns."""
    o0, o1 = out[0], out[1]
    c0, c1 = _own(weight[0]), _own(weight[1])
    for j in range(b0.shape[0]):
        x = b0[j], b1[j], b2[j], b3[j]
        o0[j] += _times(c0, x)
        o1[j] += _times(c1, x)


@njit(fastmath=FAST)
def _and(sums, x, u):  # type: ignore[no-untyped-def]
    return sums[0] + x[0] * u, sums[1] + x[1] * u, sums[2] + x[2] * u, sums[3] + x[3] * u


@njit(fastmath=FAST)
def _own(weight):  # type: ignore[no-untyped-def]
    return weight[0], weight[1], weight[2], weight[3]


@njit(fastmath=FAST)
def _times(c, x):  # type: ignore[no-untyped-def]
    return c[0] * x[0] + c[1] * x[1] + c[2] * x[2] + c[3] * x[3]
