"""Feature rows with ||x_i||_2 <= 1, kept in the type they were stored in.

``x_i = scale_i (raw_i - offset)``: L2 normalisation, and the pixel offset of images, are applied exactly
(in float64) while a row is in cache, so that 8-bit images are never blown up to eight times their size and
a memory-mapped array is never copied.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.linear import kernels
from expunge.linear.given import (
    BLOCK_ROWS,
    Array,
    in_range,
    refuse,
    require_finite,
    spans,
    square_norms,
    stored,
)
from expunge.linear.parallel import for_each, one_blas_thread

__all__ = ["BLOCK_ROWS", "UNIT", "Array", "Rows", "spectral_norm", "weighted_gram"]
log = logging.getLogger(__name__)

UNIT = 2.0**-53
_GRAM_BLOCK = 2048  # rows widened at a time
_PARTS_BELOW = 1024  # features up to which four partial sums are small beside the rows
_KEEP_GRAM = 2048  # features up to which the Gram matrix (8 d^2 bytes: 32 MiB) is kept with the rows
_NORM_SLACK = 1e-9  # how far over 1 the norm of a row that calls itself normalised may be
_PIECES = 64  # lists of departed rows that are kept apart, so that another one costs no more than itself


@dataclass(frozen=True)
class Rows:
    """n rows of d features, some of them possibly removed or not in use.

    Attributes:
        raw: (n, d) C-contiguous uint8, float32 or float64; may be a memory map.
        scale: (n,) float64; 0 marks a row that is removed or not in use.
        offset: Subtracted from every raw entry.
        index: (m,) ids of the rows that passes go through, in order; None for all n. A subset costs a pass
            over the subset alone, and no copy of the rows.
    """

    raw: NDArray[Any]
    scale: Array
    offset: float = 0.0
    index: NDArray[np.int64] | None = None

    @classmethod
    def normalised(
        cls, raw: Any, offset: float = 0.0, what: str = "row", used: NDArray[np.bool_] | None = None
    ) -> Rows:
        """Rows divided by their L2 norm after ``offset`` is subtracted from every entry.

        ``raw`` (n, d) is kept without a copy where its type is uint8, float32 or float64 and no norm is below
        1e-135 or above 1e150. Rows of norm zero stay as they are: they teach the model nothing, and harm no
        bound. Errors call a row ``what``. Those outside ``used`` (n,) have left: they may hold anything.

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
        refuse(norms > 1 + _NORM_SLACK, f"{what} {{}} has L2 norm above 1; normalise the rows")
        # Shrinking by the slack keeps ||x|| <= 1 true but for roundings, which ``bounds`` allows for.
        scale = np.where(norms > 1, 1.0 / np.maximum(norms, 1.0), 1.0)
        return cls(raw, np.where(used, scale, 0.0), 0.0)

    @property
    def dim(self) -> int:
        """Number of features d."""
        return int(self.raw.shape[1])

    @cached_property  # asked for several times a removal, and a pass over a million rows is not free
    def count(self) -> int:
        """Number of rows that have not been removed."""
        return int(np.count_nonzero(self.scale))

    def uses(self, index: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each of some rows, none of which has been removed, is in use, (m,)."""
        return np.asarray(self._base[0][index] != 0)

    def gram(self) -> tuple[Array, float]:
        """``X^T X``, (d, d) symmetric, and an upper bound on ||X||_2.

        Kept as long as these rows are, so that several models of the same rows make them once: where every
        row is in use and d is at most 2048. A subset, or what a removal leaves, is seldom asked for twice.
        """
        whole = self.index is None and self.count == len(self) and self.dim <= _KEEP_GRAM
        return self._kept_gram if whole else self._gram()

    @cached_property
    def _kept_gram(self) -> tuple[Array, float]:
        gram, norm = self._gram()
        gram.flags.writeable = False  # several models have it
        return gram, norm

    def _gram(self) -> tuple[Array, float]:
        gram = weighted_gram(self)
        return gram, spectral_norm(gram, self.count)

    @property
    def places(self) -> int:
        """Rows that a pass goes through, removed ones included."""
        return len(self) if self.index is None else len(self.index)

    def __len__(self) -> int:
        return int(self.raw.shape[0])

    def without(self, index: Sequence[int] | NDArray[np.int64]) -> Rows:
        """Return these rows with ``index``, none of which has been removed, removed; the numbering stays.

        ``scale``, as long as the table, is made when somebody asks for it: nobody need who has no pass to
        make.
        """
        index = np.asarray(index, dtype=np.int64)
        whole, gone = self._base
        gone = (np.concatenate(gone), index) if len(gone) == _PIECES else (*gone, index)
        left = object.__new__(Rows)
        count = self.count - int(np.count_nonzero(self.uses(np.unique(index))))
        held = {"raw": self.raw, "offset": self.offset, "index": self.index, "count": count}
        vars(left).update(held, _left=(whole, gone))
        return left

    @property
    def _base(self) -> tuple[Array, tuple[NDArray[np.int64], ...]]:
        """A scale that is there, and the rows that have left since."""
        return vars(self).get("_left") or (self.scale, ())

    def __getattr__(self, name: str) -> Any:
        """``scale`` of rows that ``without`` made, when it is first asked for."""
        left = vars(self).get("_left")
        if name != "scale" or left is None:
            if name in vars(self):  # another thread was here meanwhile
                return vars(self)[name]
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        scale: Array = left[0].copy()
        scale[np.concatenate(left[1])] = 0.0
        vars(self)["scale"] = scale
        vars(self).pop("_left", None)
        return scale

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: nothing of what rows were that have left."""
        return {name: getattr(self, name) for name in ("raw", "scale", "offset", "index")}

    def only(self, used: NDArray[np.bool_]) -> Rows:
        """Return the same rows with those outside ``used`` (n,) not in use; the numbering stays."""
        return replace(self, scale=np.where(used, self.scale, 0.0), index=np.flatnonzero(used))

    def compacted(self, gone: NDArray[np.bool_]) -> Rows:
        """Return a subset without the places of ``gone`` (n,) rows, which have left; all rows keep theirs."""
        return self if self.index is None else replace(self, index=self.index[~gone[self.index]])

    @property
    def _walked(self) -> NDArray[np.int64]:
        return _every(len(self)) if self.index is None else self.index

    def dense(self, index: Any = slice(None)) -> Array:
        """The rows of ``index`` as a float64 array (removed rows are zero, whatever their places hold)."""
        scale = self.scale[index]
        there = scale != 0
        if there.all():
            return (self.raw[index].astype(np.float64) - self.offset) * scale[..., None]
        dense = np.zeros((*scale.shape, self.dim))
        dense[there] = self.dense(np.arange(len(self))[index][there])
        return dense

    def times(self, w: Array, rows: NDArray[np.int64] | None = None) -> Array:
        """``x_i.w_k`` of some rows (None: all of them) and several weight vectors ``w`` (d, K), (m, K)."""
        chosen = np.arange(len(self)) if rows is None else rows
        parts = [chosen[start : start + BLOCK_ROWS] for start in range(0, len(chosen), BLOCK_ROWS)]
        return np.concatenate([np.empty((0, w.shape[1])), *(self.dense(part) @ w for part in parts)])

    def weighted_blocks(self, weights: Array | None, part: range, dtype: Any) -> Iterator[NDArray[Any]]:
        """Yield ``weights_i x_i`` in ``dtype`` by blocks of the rows at the places ``part``.

        A place is one in ``index``; the step of ``part`` is the size of a block, which the next overwrites.
        """
        factor = self.scale if weights is None else self.scale * weights
        buffer = np.empty((part.step, self.dim), dtype=dtype)
        for lo in part:
            hi = min(lo + part.step, part.stop)
            kernels.weigh_block(self.raw, self._walked, self.offset, factor, lo, hi, buffer)
            yield buffer[: hi - lo]

    def scores(self, w: Array) -> Array:
        """``x_i.w`` for every row, (n,); zero for removed rows and those not in use."""
        w = np.ascontiguousarray(w, dtype=np.float64)
        out, blocks = np.zeros(len(self)), spans(self.places)
        rows = (self.raw, self._walked, self.scale, self.offset)
        numbers = self.places * self.dim
        for_each(lambda k: kernels.score_block(*rows, w, *blocks[k], out), len(blocks), numbers)
        return out

    def reduce(self, block: Callable[..., Any], args: tuple[Any, ...], shapes: Sequence[int]) -> list[Array]:
        """Sum a kernel's outputs, of the lengths ``shapes``, over fixed blocks of rows, in block order.

        ``block(raw, index, scale, offset, *args, lo, hi, *outputs)`` adds to its outputs.
        """
        blocks = spans(self.places)
        outputs = [np.zeros((len(blocks), size)) for size in shapes]
        rows = (self.raw, self._walked, self.scale, self.offset)

        def work(k: int) -> None:
            block(*rows, *args, *blocks[k], *(out[k] for out in outputs))

        for_each(work, len(blocks), self.places * self.dim)
        return [out.sum(axis=0) for out in outputs]


def weighted_gram(rows: Rows, weights: Array | None = None, dtype: Any = np.float64) -> NDArray[Any]:
    """``X^T diag(weights) X``, (d, d) symmetric; weights >= 0, None for all ones."""
    roots = None if weights is None else np.sqrt(weights)
    # A fixed number of partial sums: the result does not depend on the number of threads.
    parts = 4 if rows.dim <= _PARTS_BELOW else 2
    sums = np.zeros((parts, rows.dim, rows.dim), dtype=dtype)

    def add_up(k: int) -> None:
        part = range(rows.places * k // parts, rows.places * (k + 1) // parts, _GRAM_BLOCK)
        for block in rows.weighted_blocks(roots, part, dtype):
            # NumPy knows this product as symmetric (half the work) and lets other threads run meanwhile.
            sums[k] += block.T @ block

    with one_blas_thread():
        for_each(add_up, parts, rows.places * rows.dim)
    return sums.sum(axis=0)


def spectral_norm(gram: Array, n: int) -> float:
    """Upper bound on ||X||_2 from X^T X of n rows.

    The largest eigenvalue, plus what floating point can have hidden: summing n products is off by at most
    n u |X|^T |X|, whose norm is at most the trace, and the eigensolver by a small multiple of d u ||X^T X||.
    """
    largest = float(np.linalg.eigvalsh(gram)[-1])
    return sqrt(max(largest, 0.0) + 2 * UNIT * (n + 8 * len(gram)) * float(np.trace(gram)))


@lru_cache(maxsize=4)  # each removal makes new rows, of the same number
def _every(n: int) -> NDArray[np.int64]:
    return np.arange(n)
