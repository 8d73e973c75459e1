"""Compiled passes over rows that stay in their stored type (uint8 pixels, float16, float32, float64).

numba has no float16 on the processor: such rows come as their bits, in uint16 (``bits_of``).

Each kernel reads a block of four rows once, widens it to float64 in first-level cache, and uses it twice:
for the scores and for the weighted sum. All arithmetic is float64. A row with ``scale == 0`` has been
removed: it is never read, whatever has become of its place, and the others are summed as if it were zero.
``index`` lists the rows in use: a kernel's lo..hi are places in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

from expunge.core.compiled import njit

# Sums may be reordered (that is what lets them use vector registers); NaN and infinity keep their meaning.
FAST = {"reassoc", "contract", "nsz", "arcp"}

# Where what a loop writes begins within a few registers of what it reads, it is run without vector registers,
# and so sums in another order. Room on both sides keeps the same numbers at the same bits wherever the arrays
# happen to lie in memory.
_ROOM = 64


def bits_of(raw: NDArray[Any]) -> NDArray[Any]:
    """Rows as kernels take them: float16 as uint16, others as they are; no copy."""
    return raw.view(np.uint16) if raw.dtype == np.float16 else raw


def widened(number):  # type: ignore[no-untyped-def]
    """A stored number in float64: exact."""
    raise NotImplementedError  # compiled code alone calls it


def _half(number):  # type: ignore[no-untyped-def]
    """That of the bits of a float16: a sign, 5 bits of exponent + 15, 10 bits of what follows the first."""
    size = np.int64(number) & 0x7FFF
    exponents = np.int64(0x7FF) if size >= 0x7C00 else np.int64(1008)  # infinite and NaN; 1023 - 15
    normal = ((size << 42) + (exponents << 52)) if size < 0x7C00 else ((size << 42) | (exponents << 52))
    found = np.int64(normal).view(np.float64) if size >= 0x400 else np.float64(size) * 2.0**-24
    return -found if number >= 0x8000 else found


@overload(widened, inline="never")
def _widened_of(number):  # type: ignore[no-untyped-def]
    if number == types.uint16:
        return _half
    return lambda number: np.float64(number)


@njit(fastmath=FAST)
def room_for_four(d):  # type: ignore[no-untyped-def]
    """Four buffers of d numbers."""
    size = d + _ROOM
    buffer = np.empty(4 * size + _ROOM)
    b0, b1 = buffer[_ROOM : _ROOM + d], buffer[_ROOM + size : _ROOM + size + d]
    b2, b3 = buffer[_ROOM + 2 * size : _ROOM + 2 * size + d], buffer[_ROOM + 3 * size : _ROOM + 3 * size + d]
    return b0, b1, b2, b3


@njit(fastmath=FAST)
def find_four(index, scale, i, hi, four):  # type: ignore[no-untyped-def]
    """Write the ids of the rows at i..i+3 to ``four``; False where none of them is there.

    One that has left, or is at ``hi`` or beyond, is replaced by one that is there, and is to weigh nothing.
    """
    there = -1
    for k in range(4):
        four[k] = -1
        if i + k < hi and scale[index[i + k]] != 0.0:
            four[k] = index[i + k]
            there = four[k]
    for k in range(4):
        if four[k] < 0:
            four[k] = there
    return there >= 0


@njit(fastmath=FAST)
def _widen_four(raw, four, offset, w, b0, b1, b2, b3, score):  # type: ignore[no-untyped-def]
    """Write the rows ``four`` to the buffers, their ``x.w`` to ``score``."""
    r0, r1, r2, r3 = raw[four[0]], raw[four[1]], raw[four[2]], raw[four[3]]
    a0, a1, a2, a3 = 0.0, 0.0, 0.0, 0.0
    for j in range(w.shape[0]):
        v0, v1 = widened(r0[j]) - offset, widened(r1[j]) - offset
        v2, v3 = widened(r2[j]) - offset, widened(r3[j]) - offset
        b0[j], b1[j], b2[j], b3[j] = v0, v1, v2, v3
        a0 += v0 * w[j]
        a1 += v1 * w[j]
        a2 += v2 * w[j]
        a3 += v3 * w[j]
    score[0], score[1], score[2], score[3] = a0, a1, a2, a3


@njit(fastmath=FAST)
def _add_four(weight, b0, b1, b2, b3, out):  # type: ignore[no-untyped-def]
    """Add the buffers' weighted sum to ``out``."""
    c0, c1, c2, c3 = weight[0], weight[1], weight[2], weight[3]
    for j in range(out.shape[0]):
        out[j] += c0 * b0[j] + c1 * b1[j] + c2 * b2[j] + c3 * b3[j]


@njit(fastmath=FAST)
def gradient_block(raw, index, scale, offset, y, w, lo, hi, out):  # type: ignore[no-untyped-def]
    """Add ``sum_i -y_i sigmoid(-sign(y_i) x_i.w) x_i`` over the rows at lo..hi to ``out`` (d,)."""
    b0, b1, b2, b3 = room_for_four(w.shape[0])
    score, weight, four = np.empty(4), np.empty(4), np.empty(4, np.int64)
    for i in range(lo, hi, 4):
        if not find_four(index, scale, i, hi, four):
            continue
        _widen_four(raw, four, offset, w, b0, b1, b2, b3, score)
        for k in range(4):
            weight[k] = 0.0
            if i + k < hi and scale[index[i + k]] != 0.0:
                own, s = y[index[i + k]], scale[index[i + k]]
                weight[k] = -(own * s) / (1.0 + np.exp((s if own > 0.0 else -s) * score[k]))
        _add_four(weight, b0, b1, b2, b3, out)


@njit(fastmath=FAST)
def curvature_block(raw, index, scale, offset, slope, step, lo, hi, out, sums):  # type: ignore[no-untyped-def]
    """Add ``sum_i slope_i (x_i.step) x_i`` over the rows at lo..hi to ``out`` (d,).

    ``sums[0] += sum_i (x_i.step)^2`` and ``sums[1] += sum_i (x_i.step)^4``.
    """
    b0, b1, b2, b3 = room_for_four(step.shape[0])
    score, weight, four = np.empty(4), np.empty(4), np.empty(4, np.int64)
    for i in range(lo, hi, 4):
        if not find_four(index, scale, i, hi, four):
            continue
        _widen_four(raw, four, offset, step, b0, b1, b2, b3, score)
        for k in range(4):
            weight[k] = 0.0
            if i + k < hi and scale[index[i + k]] != 0.0:
                s = scale[index[i + k]]
                u = s * score[k]
                weight[k] = slope[index[i + k]] * s * u
                sums[0] += u * u
                sums[1] += u * u * u * u
        _add_four(weight, b0, b1, b2, b3, out)


@njit(fastmath=FAST)
def score_block(raw, index, scale, offset, w, lo, hi, out):  # type: ignore[no-untyped-def]
    """Write ``x_i.w`` for the rows at lo..hi to ``out`` (rows of ``raw``), each at its own id."""
    d = w.shape[0]
    for i in range(lo, hi):
        if scale[index[i]] == 0.0:
            out[index[i]] = 0.0
            continue
        stored = raw[index[i]]
        z = 0.0
        for j in range(d):
            z += (widened(stored[j]) - offset) * w[j]
        out[index[i]] = scale[index[i]] * z


@njit(fastmath=FAST)
def square_norm_block(raw, used, offset, lo, hi, out):  # type: ignore[no-untyped-def]
    """Write ``||raw_i - offset||^2`` for rows lo..hi to ``out[lo:hi]`` (NaN and infinity pass through).

    Rows that are not ``used`` have 1.
    """
    d = raw.shape[1]
    for i in range(lo, hi):
        if not used[i]:
            out[i] = 1.0
            continue
        stored = raw[i]
        total = 0.0
        for j in range(d):
            v = widened(stored[j]) - offset
            total += v * v
        out[i] = total


@njit(fastmath=FAST)
def weigh_block(raw, index, offset, weight, lo, hi, out):  # type: ignore[no-untyped-def]
    """Write ``weight_i (raw_i - offset)`` for the rows at lo..hi to ``out`` (hi - lo, d), in its type.

    Rows of weight 0 are zero.
    """
    d = raw.shape[1]
    for i in range(lo, hi):
        stored = raw[index[i]]
        row = out[i - lo]
        c = weight[index[i]]
        if c == 0.0:
            row[:] = 0.0
            continue
        for j in range(d):
            row[j] = c * (widened(stored[j]) - offset)
