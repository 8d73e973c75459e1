"""One pass over rows on a GPU: every row is read once, in its stored type, and all sums are float64.

Each program of the kernel goes through ``BLOCK_ROWS`` rows and writes a partial sum of its own, which are
added up in order: no atomic, the same bits every time. Needs Triton, which comes with torch for CUDA.
"""

from typing import Any

import torch
from torch import Tensor

from expunge.linear.given import BLOCK_ROWS

try:
    import triton
    import triton.language as tl
    from triton.language import constexpr
except ImportError:  # plain torch does the same
    triton = tl = None
    constexpr = Any

WIDEST = 8192  # features of which two rows of sums fit into the registers
GRADIENT, CURVED, SCORES = 0, 1, 2
_TILE, _STAGES = 512, 3  # numbers read at a time, tiles on their way: measured on an H200
_LEAST_COLUMNS = 16
_SHARED = 2**14  # bytes of a tile of which several find room beside each other
_MOST_WARPS, _OF_A_WARP = 16, 512


def _of_a_program(  # type: ignore[no-untyped-def]
    raw,
    places,
    scale,
    values,
    along,
    offset,
    partial,
    powers,
    scores,
    n,
    d,
    BLOCK: constexpr,
    ROWS: constexpr,
    COLUMNS: constexpr,
    INDEXED: constexpr,
    OFFSET: constexpr,
    KIND: constexpr,
    STAGES: constexpr,
):
    block = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, COLUMNS)
    feature = column < d
    w = tl.load(along + column, mask=feature, other=0.0)
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float64)
    second = tl.zeros((ROWS,), dtype=tl.float64)
    fourth = tl.zeros((ROWS,), dtype=tl.float64)
    for step in tl.range(0, BLOCK, ROWS, num_stages=STAGES):
        place = block * BLOCK + step + tl.arange(0, ROWS)
        inside = place < n
        row = place
        if INDEXED:
            row = tl.load(places + place, mask=inside, other=0)
        both = inside[:, None] & feature[None, :]
        x = tl.load(raw + row[:, None] * d + column[None, :], mask=both, other=0).to(tl.float64)
        if OFFSET:
            x = x - tl.load(offset)
        c = tl.load(scale + row, mask=inside, other=0.0)
        z = tl.sum(x * w[None, :], axis=1) * c
        if KIND == 2:
            tl.store(scores + row, z, mask=inside)
        else:
            y = tl.load(values + row, mask=inside, other=0.0)
            if KIND == 0:
                weight = -y * c / (1.0 + tl.exp(tl.where(y < 0, -z, z)))
            else:
                weight = y * z * c
                second += z * z
                fourth += z * z * z * z
            total += weight[:, None] * x
    if KIND != 2:
        tl.store(partial + block * d + column, tl.sum(total, axis=0), mask=feature)
    if KIND == 1:
        tl.store(powers + 2 * block, tl.sum(second, axis=0))
        tl.store(powers + 2 * block + 1, tl.sum(fourth, axis=0))


_walk: Any = _of_a_program
if triton is not None:
    _walk = triton.jit(_of_a_program)


def walk(
    kind: int,
    raw: Tensor,
    places: Tensor | None,
    scale: Tensor,
    values: Tensor | None,
    along: Tensor,
    offset: float,
    how: tuple[int, int, int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Go through the rows at ``places`` (None: all), on a GPU.

    Args:
        kind: ``GRADIENT`` (``values`` are labels), ``CURVED`` (they are slopes) or ``SCORES``.
        raw: (n, d), contiguous.
        places: (m,) int64.
        scale: (n,) float64.
        values: (n,) float64; None for scores.
        along: (d,) float64, what rows are multiplied with.
        offset: Subtracted from every number.
        how: Numbers read at a time, warps and stages of a program; None: what was measured to be fast.

    Returns:
        The sum over the rows, (d,), and of ``CURVED`` the sums of the 2nd and 4th powers of the scores, (2,);
        or the scores, (n,), twice.
    """
    d = raw.shape[1]
    count = len(raw) if places is None else len(places)
    blocks = max(1, -(-count // BLOCK_ROWS))
    columns = max(_LEAST_COLUMNS, triton.next_power_of_2(d))
    ahead = _STAGES if columns * raw.element_size() <= _SHARED else 1
    tile, warps, stages = how or (_TILE, min(_MOST_WARPS, max(1, columns // _OF_A_WARP)), ahead)
    nothing = along[:1]
    partial = nothing if kind == SCORES else along.new_empty((blocks, d))
    powers = along.new_empty((blocks, 2)) if kind == CURVED else nothing
    scores = along.new_zeros(len(raw)) if kind == SCORES else nothing
    _walk[(blocks,)](
        raw,
        nothing if places is None else places,
        scale,
        scale if values is None else values,
        along,
        torch.full((1,), offset, dtype=torch.float64, device=raw.device),
        partial,
        powers,
        scores,
        count,
        d,
        BLOCK=BLOCK_ROWS,
        ROWS=min(BLOCK_ROWS, max(1, tile // columns)),
        COLUMNS=columns,
        INDEXED=places is not None,
        OFFSET=offset != 0,
        KIND=kind,
        STAGES=stages,
        num_warps=warps,
    )
    if kind == SCORES:
        return scores, scores
    return partial.sum(dim=0), powers.sum(dim=0)
