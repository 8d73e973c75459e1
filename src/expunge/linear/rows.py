"""Feature rows with ||x_i||_2 <= 1, kept in the type they were stored in.

``x_i = scale_i (raw_i - offset)``: L2 normalisation, and the pixel offset of images, are applied exactly
(in float64) while a row is in cache, so that 8-bit images are never blown up to eight times their size and
a memory-mapped array is never copied.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from expunge.linear import kernels, passes
from expunge.linear.column_passes import ColumnPasses
from expunge.linear.cuts import BLOCKS, PARTS, Cut, parts_of
from expunge.linear.given import (
    BLOCK_ROWS,
    NORM_SLACK,
    Array,
    in_range,
    refuse,
    require_finite,
    square_norms,
    stored,
)
from expunge.linear.operations import FEW_ROWS, UNIT, DenseRows, spectral_norm

__all__ = ["BLOCK_ROWS", "UNIT", "Array", "Rows", "spectral_norm", "weighted_gram"]
log = logging.getLogger(__name__)

_FEW_FEATURES = 64
_CONTENTS = 2048  # rows widened at a time


@dataclass(frozen=True)
class Rows(DenseRows):
    """Dense rows, compiled passes on the processor; ``scale`` and ``index`` as in ``RowOperations``.

    Attributes:
        raw: (n, d) C-contiguous uint8, float16, float32 or float64; may be a memory map.
        offset: Subtracted from every raw entry.
    """

    raw: NDArray[Any]
    scale: Array
    offset: float = 0.0
    index: NDArray[np.int64] | None = None
    together: ClassVar[int] = 1

    @classmethod
    def normalised(
        cls, raw: Any, offset: float = 0.0, what: str = "row", used: NDArray[np.bool_] | None = None
    ) -> Rows:
        """Rows divided by their L2 norm after ``offset`` is subtracted from every entry.

        ``raw`` (n, d) is kept without a copy where its type is uint8, float16, float32 or float64 and no norm
        is below 1e-135 or above 1e150. Rows of norm zero stay as they are: they teach the model nothing, and
        harm no bound. Errors call a row ``what``. Those outside ``used`` (n,) have left: they may hold
        anything.

        Raises:
            DataError: A row holds NaN or infinity.
        """
        raw, offset = stored(raw), float(offset)
        used = np.ones(len(raw), dtype=bool) if used is None else used
        raw, offset, squares = in_range(raw, offset, square_norms(raw, used, offset), what)
        norms = np.sqrt(squares)
        if zero := np.count_nonzero(norms == 0):
            log.info("%s: %d of %d have norm zero, and stay as they are", what, zero, len(norms))
            norms[norms == 0] = 1.0
        return cls(raw, np.where(used, 1.0 / norms, 0.0), offset)

    @classmethod
    def as_given(cls, raw: Any, what: str = "row", used: NDArray[np.bool_] | None = None) -> Rows:
        """Rows used as they are; every norm must be at most 1, but of rows outside ``used`` (n,).

        Raises:
            DataError: A row holds NaN or infinity, or its norm is above 1.
        """
        raw = stored(raw)
        used = np.ones(len(raw), dtype=bool) if used is None else used
        squares = square_norms(raw, used, 0.0)
        require_finite(raw, np.flatnonzero(~np.isfinite(squares)), what)
        norms = np.sqrt(squares)  # infinite where they are merely too large to be squared
        refuse(norms > 1 + NORM_SLACK, f"{what} {{}} has L2 norm above 1; normalise the rows")
        # Shrinking by the slack keeps ||x|| <= 1 true but for roundings, which ``bounds`` allows for.
        scale = np.where(norms > 1, 1.0 / np.maximum(norms, 1.0), 1.0)
        return cls(raw, np.where(used, scale, 0.0), 0.0)

    @property
    def dim(self) -> int:
        """Number of features d."""
        return int(self.raw.shape[1])

    def __len__(self) -> int:
        return int(self.raw.shape[0])

    def erased(self, gone: NDArray[np.bool_]) -> Rows:
        """Return the same rows without what those in ``gone`` (n,) were, which have left."""
        if not (self.raw[gone].any() or self.scale[gone].any()):
            return self
        raw = self.raw.copy()
        raw[gone] = 0
        return replace(self, raw=raw, scale=np.where(gone, 0.0, self.scale))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored numbers."""
        return self.raw.dtype

    def contents(self, index: NDArray[np.int64], labels: NDArray[np.int64]) -> Iterator[Any]:
        """The stored numbers of each of some rows with its label, as bytes, whatever their type."""
        for start in range(0, len(index), _CONTENTS):
            part = slice(start, start + _CONTENTS)
            numbers = np.hstack([self.raw[index[part]], labels[part, None]], dtype=np.float64)
            yield from numbers + 0.0  # no -0.0

    def alone(self, index: NDArray[np.int64]) -> Rows:
        """Return some rows as if there had never been others, numbered from 0."""
        return Rows(np.ascontiguousarray(self.raw[index]), self.scale[index], self.offset)

    def few(self) -> Rows:
        """The first rows that are there and the first features of each, stored in the same way."""
        there = np.flatnonzero(self.scale)[:FEW_ROWS]
        raw = np.ascontiguousarray(self.raw[there][:, :_FEW_FEATURES])
        raw.flags.writeable = self.raw.flags.writeable  # by which kernels are compiled, too
        return Rows(raw, self.scale[there], self.offset)

    def rehearse(self) -> None:
        """Run every compiled pass once, on a single row that is stored like these; for each type of a sum."""
        one, w = replace(self, raw=self.raw[:1], scale=np.ones(1), index=None), np.zeros(self.dim)
        one.gradient(np.ones(1), w)
        one.curved(one.scores(w), w)
        several = one.columns(np.zeros(1, dtype=np.int64), 0.0, np.zeros((self.dim, 2)))
        several.gradients(several.b, np.arange(2), several.slopes())
        for kind in (np.float32, np.float64):
            for _ in one.weighted_blocks(None, range(0, 1, 1), kind):
                pass

    def part(self, index: Any = slice(None)) -> Array:
        """The rows of ``index`` as a float64 array (removed rows are zero, whatever their places hold)."""
        scale = self.scale[index]
        there = scale != 0
        if there.all():
            return (self.raw[index].astype(np.float64) - self.offset) * scale[..., None]
        dense = np.zeros((*scale.shape, self.dim))
        dense[there] = self.part(np.arange(len(self))[index][there])
        return dense

    def weighted_blocks(self, weights: Array | None, part: range, dtype: Any) -> Iterator[NDArray[Any]]:
        """Yield ``weights_i x_i`` in ``dtype`` by blocks of the rows at the places ``part``.

        A place is one in ``index``; the step of ``part`` is the size of a block, which the next overwrites.
        """
        factor = self.scale if weights is None else self.scale * weights
        buffer = np.empty((part.step, self.dim), dtype=dtype)
        for lo in part:
            hi = min(lo + part.step, part.stop)
            kernels.weigh_block(kernels.bits_of(self.raw), self._walked, self.offset, factor, lo, hi, buffer)
            yield buffer[: hi - lo]

    def columns(
        self, own: NDArray[np.int64], ridge: float, b: Array, sizes: Array | None = None
    ) -> ColumnPasses:
        """The passes for many columns over these rows."""
        return ColumnPasses(self, own, ridge, b, sizes)

    def scores(self, w: Array) -> Array:
        """``x_i.w`` for every row, (n,); zero for removed rows and those not in use."""
        out = np.zeros(len(self))
        self.partial_sums(passes.SCORES, BLOCKS, (out,), np.ascontiguousarray(w, dtype=np.float64))
        return out

    def gradient(self, y: Array, w: Array) -> Array:
        """``sum_i -y_i sigmoid(-sign(y_i) x_i.w) x_i``, (d,); see ``RowOperations``."""
        (data,) = self.partial_sums(passes.GRADIENT, BLOCKS, (y,), np.ascontiguousarray(w))
        return np.asarray(data.sum(axis=0))

    def curved(self, slopes: Array, step: Array) -> tuple[Array, Array]:
        """``sum_i slopes_i (x_i.step) x_i``, (d,), and the sums of the 2nd and 4th powers of ``x_i.step``."""
        data, sums = self.partial_sums(passes.CURVED, BLOCKS, (slopes,), np.ascontiguousarray(step))
        return data.sum(axis=0), sums.sum(axis=0)

    def squares(self, slopes: Array) -> Array:
        """``sum_i slopes_i x_ij^2``, (d,): the diagonal of ``X^T diag(slopes) X``."""
        (sums,) = self.partial_sums(passes.SQUARES, Cut("parts", PARTS), (slopes,))
        return np.asarray(sums.sum(axis=0))

    def weighted_gram(self, weights: Array | None = None, dtype: Any = np.float64) -> NDArray[Any]:
        """``X^T diag(weights) X``, (d, d) symmetric in ``dtype``; weights (n,) >= 0, None for all ones."""
        return weighted_gram(self, weights, dtype)

    def absolute(self, v: Array) -> Array:
        """``|X|^T |X| v``, (d,), of the entries' sizes, for v >= 0: every term of the sum is >= 0."""
        (sums,) = self.partial_sums(passes.ABSOLUTE, Cut("parts", PARTS), (), v)
        return np.asarray(sums.sum(axis=0))


def weighted_gram(rows: Rows, weights: Array | None = None, dtype: Any = np.float64) -> NDArray[Any]:
    """``X^T diag(weights) X``, (d, d) symmetric; weights >= 0, None for all ones."""
    cut, single = Cut("parts", parts_of(rows.dim)), np.dtype(dtype) == np.float32
    (sums,) = rows.partial_sums(passes.GRAM, cut, (weights,), int(single))
    return np.asarray(sums.sum(axis=0))
