"""The scan as one kernel for a GPU (Triton): distances, minima and ties in registers, nothing in between."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ImportError:  # operations of torch do the same: see ``device``
    triton = tl = None

_ROWS = 8  # of a tile: the candidates' values are read once for all of them
_WIDTH = 128  # candidates of a tile
_WARPS = 2
EIGHT = 8  # near rows are visited in so many at a time
_FEW_ROWS, _NARROW = 4, 64  # the same of the kernel that visits near rows only


def fused_sums(values: Tensor, base: Tensor, ranks: Tensor, index: Tensor, *, cyclic: bool) -> Tensor:
    """``sum_i min(R_i, R_M(i))`` for each candidate, (c,) int64, on the device of the arguments.

    Args:
        values: The columns, (n, p) float64.
        base: Squared distances in the chosen columns, inf from a row to itself, (n, n) float64.
        ranks: R, (n,) int32.
        index: Which columns are candidates, (c,) int64.
        cyclic: Ties go to the next row on the circle (else to the lowest row).
    """
    (n, p), count = values.shape, len(index)
    tiles = -(-n // _ROWS)
    parts = torch.empty((tiles, count), dtype=torch.int32, device=values.device)
    grid = (tiles, -(-count // _WIDTH))
    steps = n + _ROWS - 1 if cyclic else n
    with torch.cuda.device_of(values):
        # Nothing is fused: base + d * d is rounded twice, as on the CPU.
        _walk[grid](
            values,
            base,
            ranks,
            index,
            parts,
            n,
            p,
            count,
            steps,
            CYCLIC=cyclic,
            WIDTH=_WIDTH,
            num_warps=_WARPS,
            enable_fp_fusion=False,
        )
    return parts.sum(dim=0, dtype=torch.int64)


def near_sums(
    values: Tensor, near: Tensor, squared: Tensor, ranks: Tensor, index: Tensor, *, cyclic: bool
) -> tuple[Tensor, Tensor]:
    """The same from sorted distances, and how many rows were visited for each row, in the mean, () float64.

    Distances only grow when a column is added: the visit of a row ends where that in the chosen columns alone
    exceeds the best of all candidates of a tile.

    Args:
        values: As in ``fused_sums``, as is the rest.
        near: All rows in the order of their distance from each row, (n, m) int32, m a multiple of 8.
        squared: These distances, inf from a row to itself and where m goes beyond n, (n, m) float64.
        ranks: (n,).
        index: (c,).
        cyclic: Whether ties go around.
    """
    (n, p), count = values.shape, len(index)
    grid = (-(-n // _FEW_ROWS), -(-count // _NARROW))
    parts = torch.empty((grid[0], count), dtype=torch.int32, device=values.device)
    visits = torch.empty(grid, dtype=torch.int32, device=values.device)
    with torch.cuda.device_of(values):
        _visit[grid](
            values,
            near,
            squared,
            ranks,
            index,
            parts,
            visits,
            n,
            near.shape[1],
            p,
            count,
            grid[1],
            CYCLIC=cyclic,
            WIDTH=_NARROW,
            ROWS=_FEW_ROWS,
            num_warps=1,
            enable_fp_fusion=False,
        )
    return parts.sum(dim=0, dtype=torch.int64), visits.double().sum() / (n * grid[1])


class _Missing:
    """In place of a kernel where there is no Triton."""

    def __getitem__(self, grid: object) -> Any:
        raise ImportError("the kernel needs triton, which is not installed")


def _jit(**how: Any) -> Any:
    """What makes a kernel of a function."""
    return (lambda function: _Missing()) if triton is None else triton.jit(**how)


@_jit()
def _nearer(base, there, here, worth, best, gain):  # type: ignore[no-untyped-def]
    """Visit one neighbour of a row for all candidates; of several at one distance the first one stays."""
    difference = there - here
    distance = base + difference * difference
    less = distance < best
    return tl.where(less, distance, best), tl.where(less, worth, gain)


@_jit(do_not_specialize=["n", "p", "count", "steps"])
def _walk(  # type: ignore[no-untyped-def]
    values, base, ranks, index, parts, n, p, count, steps, CYCLIC: tl.constexpr, WIDTH: tl.constexpr
):
    """Eight rows, ``WIDTH`` candidates: all other rows in the order in which ties go to them.

    On the circle that is from the row on, all around; rows of the tile that come before it are passed over at
    first, and met again at the end.
    """
    tile = tl.program_id(0)
    place = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    inside = place < count
    column = tl.load(index + place, mask=inside, other=0)
    first = tile * 8
    last = n - 1
    i0, i1, i2, i3 = first, min(first + 1, last), min(first + 2, last), min(first + 3, last)
    i4, i5 = min(first + 4, last), min(first + 5, last)
    i6, i7 = min(first + 6, last), min(first + 7, last)
    here0 = tl.load(values + i0.to(tl.int64) * p + column)
    here1 = tl.load(values + i1.to(tl.int64) * p + column)
    here2 = tl.load(values + i2.to(tl.int64) * p + column)
    here3 = tl.load(values + i3.to(tl.int64) * p + column)
    here4 = tl.load(values + i4.to(tl.int64) * p + column)
    here5 = tl.load(values + i5.to(tl.int64) * p + column)
    here6 = tl.load(values + i6.to(tl.int64) * p + column)
    here7 = tl.load(values + i7.to(tl.int64) * p + column)
    best0 = tl.full([WIDTH], float("inf"), tl.float64)
    best1, best2, best3, best4, best5, best6, best7 = best0, best0, best0, best0, best0, best0, best0
    gain0 = tl.zeros([WIDTH], tl.int32)
    gain1, gain2, gain3, gain4, gain5, gain6, gain7 = gain0, gain0, gain0, gain0, gain0, gain0, gain0
    far = float("inf")
    j = first if CYCLIC else first * 0
    for step in range(0, 8):
        seen = step if CYCLIC else 8
        there = tl.load(values + j.to(tl.int64) * p + column)
        worth = tl.load(ranks + j)
        line = base + j.to(tl.int64) * n  # distances are the same both ways
        best0, gain0 = _nearer(tl.load(line + i0), there, here0, worth, best0, gain0)
        best1, gain1 = _nearer(
            tl.load(line + i1, mask=seen > 0, other=far), there, here1, worth, best1, gain1
        )
        best2, gain2 = _nearer(
            tl.load(line + i2, mask=seen > 1, other=far), there, here2, worth, best2, gain2
        )
        best3, gain3 = _nearer(
            tl.load(line + i3, mask=seen > 2, other=far), there, here3, worth, best3, gain3
        )
        best4, gain4 = _nearer(
            tl.load(line + i4, mask=seen > 3, other=far), there, here4, worth, best4, gain4
        )
        best5, gain5 = _nearer(
            tl.load(line + i5, mask=seen > 4, other=far), there, here5, worth, best5, gain5
        )
        best6, gain6 = _nearer(
            tl.load(line + i6, mask=seen > 5, other=far), there, here6, worth, best6, gain6
        )
        best7, gain7 = _nearer(
            tl.load(line + i7, mask=seen > 6, other=far), there, here7, worth, best7, gain7
        )
        j += 1
        j = tl.where(j == n, 0, j)
    for _ in range(8, steps):
        there = tl.load(values + j.to(tl.int64) * p + column)
        worth = tl.load(ranks + j)
        line = base + j.to(tl.int64) * n
        best0, gain0 = _nearer(tl.load(line + i0), there, here0, worth, best0, gain0)
        best1, gain1 = _nearer(tl.load(line + i1), there, here1, worth, best1, gain1)
        best2, gain2 = _nearer(tl.load(line + i2), there, here2, worth, best2, gain2)
        best3, gain3 = _nearer(tl.load(line + i3), there, here3, worth, best3, gain3)
        best4, gain4 = _nearer(tl.load(line + i4), there, here4, worth, best4, gain4)
        best5, gain5 = _nearer(tl.load(line + i5), there, here5, worth, best5, gain5)
        best6, gain6 = _nearer(tl.load(line + i6), there, here6, worth, best6, gain6)
        best7, gain7 = _nearer(tl.load(line + i7), there, here7, worth, best7, gain7)
        j += 1
        j = tl.where(j == n, 0, j)
    total = tl.minimum(tl.load(ranks + i0), gain0)
    total += tl.where(first + 1 < n, tl.minimum(tl.load(ranks + i1), gain1), 0)
    total += tl.where(first + 2 < n, tl.minimum(tl.load(ranks + i2), gain2), 0)
    total += tl.where(first + 3 < n, tl.minimum(tl.load(ranks + i3), gain3), 0)
    total += tl.where(first + 4 < n, tl.minimum(tl.load(ranks + i4), gain4), 0)
    total += tl.where(first + 5 < n, tl.minimum(tl.load(ranks + i5), gain5), 0)
    total += tl.where(first + 6 < n, tl.minimum(tl.load(ranks + i6), gain6), 0)
    total += tl.where(first + 7 < n, tl.minimum(tl.load(ranks + i7), gain7), 0)
    tl.store(parts + tile.to(tl.int64) * count + place, total, mask=inside)


@_jit(do_not_specialize=["n", "m", "p", "count", "blocks"])
def _visit(  # type: ignore[no-untyped-def]
    values,
    near,
    squared,
    ranks,
    index,
    parts,
    visits,
    n,
    m,
    p,
    count,
    blocks,
    CYCLIC: tl.constexpr,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
):
    """A few rows, one after the other, ``WIDTH`` candidates: near rows first, eight at a time."""
    tile = tl.program_id(0)
    block = tl.program_id(1)
    place = block * WIDTH + tl.arange(0, WIDTH)
    inside = place < count
    column = tl.load(index + place, mask=inside, other=0)
    total = tl.zeros([WIDTH], tl.int32)
    visited = tile * 0
    for own in range(0, ROWS):
        row = min(tile * ROWS + own, n - 1)
        here = tl.load(values + row.to(tl.int64) * p + column)
        best = tl.full([WIDTH], float("inf"), tl.float64)
        gain = tl.zeros([WIDTH], tl.int32)
        first = tl.full([WIDTH], 2147483647, tl.int32)  # the turn of the best
        line = row.to(tl.int64) * m
        at = row * 0
        while (at < m) & (tl.load(squared + line + tl.minimum(at, m - 1)) <= tl.max(best)):
            for step in tl.static_range(8):
                j = tl.load(near + line + at + step)
                there = tl.load(values + j.to(tl.int64) * p + column)
                difference = there - here
                distance = tl.load(squared + line + at + step) + difference * difference
                turn = j
                if CYCLIC:
                    turn = tl.where(j < row, j + n, j)
                less = distance < best
                taken = less | ((distance == best) & (turn < first))
                best = tl.where(less, distance, best)
                gain = tl.where(taken, tl.load(ranks + j), gain)
                first = tl.where(taken, turn, first)
            at += 8
        visited += at
        total += tl.where(tile * ROWS + own < n, tl.minimum(tl.load(ranks + row), gain), 0)
    tl.store(parts + tile.to(tl.int64) * count + place, total, mask=inside)
    tl.store(visits + tile.to(tl.int64) * blocks + block, visited)
