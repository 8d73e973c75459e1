"""What a pass for many weight vectors makes of runs of blocks: see ``expunge.linear.column_passes``.

Every pass returns the (d, k) sums of its columns, (units, d, k), and a second sum, (units, k) or (units,).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from expunge.linear import column_kernels, kernels
from expunge.linear.cuts import Edges
from expunge.linear.given import BLOCK_ROWS, Array
from expunge.linear.parallel import for_each
from expunge.linear.passes import Dense, one, read_by

Single = NDArray[np.float32]
Columns = NDArray[np.int64]

_CACHED = 640 * 1024  # bytes of widened rows that a second-level cache holds beside weights and sums
_LEAST_PIECE = 32
_MANY_COLUMNS = 128


@one("gradients")
def GRADIENTS(
    rows: Dense,
    edges: Edges,
    own: Columns,
    sizes: Array | None,
    slopes: Single,
    w: Array,
    local: Columns,
    columns: Columns,
) -> list[Any]:
    """``sum_i -y_i sigmoid(-sign(y_i) x_i.w) x_i``, the sums of the slopes, which are written.

    Args:
        rows: They.
        edges: The units.
        own: (n,) the column in which each row is +1, -1 for none.
        sizes: (n,) what each row counts; None: 1 each.
        slopes: (places, K).
        w: (d, k) weights.
        local: (K + 1,) where each column is among the k, -1 for one that is not; the last is -1.
        columns: (k,) their numbers.
    """
    if len(columns) <= column_kernels.FEW:
        return _compiled(rows, edges, w, (own, local, sizes, columns), slopes)
    every = len(columns) == slopes.shape[1]

    def term(x: Array, lo: int, hi: int) -> tuple[Array, Array]:
        share = x @ w
        np.negative(share, out=share)
        positive = local[own[rows._walked[lo:hi]]]
        at = np.flatnonzero(positive >= 0), positive[positive >= 0]
        share[at] *= -1
        with np.errstate(over="ignore"):  # e^800 is infinite, and a share of 0 is right then
            np.exp(share, out=share)
        share += 1.0
        np.reciprocal(share, out=share)  # sigmoid(-y x.w)
        curved, counts = share - share * share, _counts(rows, sizes, lo, hi)
        slope = (curved if counts is None else counts * curved).astype(np.float32)
        if every:
            slopes[lo:hi] = slope
        else:
            slopes[lo:hi, columns] = slope
        share[at] *= -1
        if counts is not None:
            share *= counts
        return x.T @ share, slope.sum(axis=0, dtype=np.float64)

    return _summed(rows, edges, term, w.shape[1], np.float64, True)


def _compiled(
    rows: Dense, edges: Edges, w: Array, told: tuple[Columns, Columns, Array | None, Columns], slopes: Single
) -> list[Any]:
    """The same, of few columns; ``told`` are own, local, sizes and columns."""
    own, local, sizes, columns = told
    width, even = len(columns), len(columns) + len(columns) % 2
    stored = kernels.bits_of(rows.raw), rows._walked, rows.scale, rows.offset
    counts, turned = np.ones(1) if sizes is None else sizes, np.zeros((even, rows.dim))
    given = [_read_only(one) for one in (own, local, counts, turned, columns)]
    turned[:width] = w.T
    totals, others = np.zeros((len(edges), even, rows.dim)), np.zeros((len(edges), width))

    def add_up(k: int) -> None:
        for lo, hi in pairwise(edges[k].tolist()):
            of_block = np.zeros_like(turned)
            column_kernels.columns_block(*stored, *given, lo, hi, of_block, slopes, others[k])
            totals[k] += of_block

    for_each(add_up, len(edges), read_by(rows, edges))
    return [np.ascontiguousarray(totals[:, :width].transpose(0, 2, 1)), others]


@one("look")
def LOOK(
    rows: Dense, edges: Edges, sizes: Array | None, slopes: Single, narrow: Single, columns: Columns
) -> list[Any]:
    """Nothing, and the sums of the slopes at ``narrow`` (d, K), which are written."""

    def term(x: Single, lo: int, hi: int) -> tuple[float, Array]:
        share = expit(x @ narrow)
        slopes[lo:hi] = share - share * share
        if (counts := _counts(rows, sizes, lo, hi)) is not None:
            slopes[lo:hi] *= counts
        return 0.0, slopes[lo:hi].sum(axis=0, dtype=np.float64)

    _, sums = _summed(rows, edges, term, len(columns), np.float32, True)
    return [np.zeros(len(edges)), sums]


@one("curved columns")
def CURVED(rows: Dense, edges: Edges, slopes: Single, unit: Single, columns: Columns) -> list[Any]:
    """``X^T diag(slopes_k) X unit_k`` of these columns, and nothing."""

    def term(x: Single, lo: int, hi: int) -> tuple[Any, float]:
        moved = x @ unit
        moved *= _of(slopes, lo, hi, columns)
        return x.T @ moved, 0.0

    return _summed(rows, edges, term, len(columns), np.float32, False)


@one("diagonals")
def DIAGONALS(rows: Dense, edges: Edges, slopes: Single, columns: Columns) -> list[Any]:
    """The diagonals of ``X^T diag(slopes_k) X``, and nothing."""

    def term(x: Single, lo: int, hi: int) -> tuple[Any, float]:
        return np.square(x).T @ _of(slopes, lo, hi, columns), 0.0

    return _summed(rows, edges, term, len(columns), np.float32, False)


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """The same, not to be written: as kernels are compiled by that, too, they are compiled once."""
    view = array.view()
    view.flags.writeable = False
    return view


def _counts(rows: Dense, sizes: Array | None, lo: int, hi: int) -> Array | None:
    """What the rows at these places count, (hi - lo, 1)."""
    return None if sizes is None else sizes[rows._walked[lo:hi], None]


def _of(slopes: Single, lo: int, hi: int, columns: Columns) -> Single:
    block = slopes[lo:hi]
    return block if len(columns) == slopes.shape[1] else block[:, columns]


def _summed(
    rows: Dense,
    edges: Edges,
    term: Callable[[Any, int, int], tuple[Any, Any]],
    width: int,
    dtype: Any,
    second: bool,
) -> list[Any]:
    """The sums over the blocks of each unit of what ``term(x, lo, hi)`` says of the rows at lo..hi.

    A block is gone through a piece at a time, and its sum added to the others when it is whole: what
    rounding is charged holds for any order within a block, not for more blocks.
    """
    totals = np.zeros((len(edges), rows.dim, width))
    others = np.zeros((len(edges), width) if second else len(edges))
    most = _piece(rows.dim, width, np.dtype(dtype).itemsize)

    def add_up(k: int) -> None:
        total, bounds = totals[k], edges[k].tolist()
        for lo, hi in pairwise(bounds):
            part = range(lo, hi, most)
            of_block = total if len(part) == 1 else np.zeros_like(total)
            for at, x in zip(part, rows.weighted_blocks(None, part, dtype), strict=True):
                data, other = term(x, at, at + len(x))
                of_block += data
                others[k] += other
            if of_block is not total:
                total += of_block

    for_each(add_up, len(edges), read_by(rows, edges))
    return [totals, others]


def _piece(dim: int, width: int, size: int) -> int:
    """Rows of so many numbers of ``size`` bytes to go through at a time.

    They stay in the cache between the product with the weights and that with the shares. Of many columns
    the products are long enough to hide what memory takes, and sums of theirs are large.
    """
    if width > _MANY_COLUMNS:
        return BLOCK_ROWS
    return min(BLOCK_ROWS, max(_LEAST_PIECE, _CACHED // (dim * size)))
