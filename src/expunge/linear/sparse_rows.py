"""Sparse feature rows with ||x_i||_2 <= 1, in compressed sparse form (CSR): text, counts, categories.

``x_i = scale_i raw_i``, the scale applied in float64 while a row is in cache. Nothing is ever made dense but
the rows that somebody asks for by name, and a Gram matrix where d is small enough to be asked for one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from expunge.core.errors import InvalidValue
from expunge.linear import sparse_kernels as kernels
from expunge.linear.given import BLOCK_ROWS, LEAST_SQUARE, MOST_SQUARE, NORM_SLACK, Array, refuse
from expunge.linear.operations import FEW_ROWS, RowOperations
from expunge.linear.parallel import for_each

log = logging.getLogger(__name__)

_STORED_TYPES = (np.float32, np.float64)
_PARTS = 4  # partial sums at least, where there are rows for them: threads share them
_GRAM_PARTS = 2


@dataclass(frozen=True)
class SparseRows(RowOperations):
    """CSR rows, compiled passes on the processor; ``scale`` and ``index`` as in ``RowOperations``.

    Columns of a row rise, none is there twice, and no entry of a row that is in use is zero: ``canonical``
    sees to it, so that equal rows are stored alike.

    Attributes:
        data: (m,) float32 or float64, the entries that are not zero, row after row.
        columns: (m,) int32 or int64, the column of each.
        starts: (n + 1,) int64, where the entries of each row begin; the last is m.
        width: d.
    """

    data: NDArray[Any]
    columns: NDArray[Any]
    starts: NDArray[np.int64]
    width: int
    scale: Array
    index: NDArray[np.int64] | None = None

    @classmethod
    def normalised(cls, raw: Any, what: str = "row", used: NDArray[np.bool_] | None = None) -> SparseRows:
        """Rows divided by their L2 norm; rows of zeros, or without entries, stay as they are.

        ``raw`` (n, d) is a matrix or array of scipy.sparse; one in canonical CSR of float32 or float64, with
        no norm below 1e-135 or above 1e150, is kept without a copy. Errors call a row ``what``. Those outside
        ``used`` (n,) have left: they may hold anything.

        Raises:
            DataError: A row holds NaN or infinity.
        """
        raw, used, squares = _measured(raw, used)
        data, squares = _in_range(raw, squares, what)
        norms = np.sqrt(squares)
        if zero := np.count_nonzero(norms == 0):
            log.info("%s: %d of %d have norm zero, and stay as they are", what, zero, len(norms))
            norms[norms == 0] = 1.0
        return cls._of(raw, data, np.where(used, 1.0 / norms, 0.0))

    @classmethod
    def as_given(cls, raw: Any, what: str = "row", used: NDArray[np.bool_] | None = None) -> SparseRows:
        """Rows used as they are; every norm must be at most 1, but of rows outside ``used`` (n,).

        Raises:
            DataError: A row holds NaN or infinity, or its norm is above 1.
        """
        raw, used, squares = _measured(raw, used)
        _require_finite(raw, np.flatnonzero(~np.isfinite(squares)), what)
        norms = np.sqrt(squares)
        refuse(norms > 1 + NORM_SLACK, f"{what} {{}} has L2 norm above 1; normalise the rows")
        scale = np.where(norms > 1, 1.0 / np.maximum(norms, 1.0), 1.0)
        return cls._of(raw, raw.data, np.where(used, scale, 0.0))

    @classmethod
    def unscaled(cls, raw: Any) -> SparseRows:
        """Rows of any norm, to be looked at by a model that is there."""
        raw = canonical(raw)
        return cls._of(raw, raw.data, np.ones(raw.shape[0]))

    @classmethod
    def _of(cls, raw: Any, data: NDArray[Any], scale: Array) -> SparseRows:
        starts = raw.indptr.astype(np.int64, copy=False)
        return cls(data[: starts[-1]], raw.indices[: starts[-1]], starts, int(raw.shape[1]), scale)

    @property
    def dim(self) -> int:
        """Number of features d."""
        return self.width

    @property
    def raw(self) -> Any:
        """The rows as they are stored, before ``scale``: an (n, d) array of scipy.sparse in CSR."""
        return sp.csr_array((self.data, self.columns, self.starts), shape=(len(self), self.dim))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def block(self) -> int:
        """Rows that a partial sum is of at most: d or more, so that what is summed costs more than the sums.

        It depends on n and d alone.
        """
        return max(BLOCK_ROWS, min(self.dim, -(-len(self) // _PARTS)))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored numbers."""
        return self.data.dtype

    def erased(self, gone: NDArray[np.bool_]) -> SparseRows:
        """Return the same rows without what those in ``gone`` (n,) were, which have left."""
        lengths = np.diff(self.starts)
        if not (lengths[gone].any() or self.scale[gone].any()):
            return self
        stay = np.repeat(~gone, lengths)
        starts = np.concatenate([[0], np.cumsum(np.where(gone, 0, lengths))])
        scale = np.where(gone, 0.0, self.scale)
        return replace(self, data=self.data[stay], columns=self.columns[stay], starts=starts, scale=scale)

    def contents(self, index: NDArray[np.int64], labels: NDArray[np.int64]) -> Iterator[Any]:
        """The entries of each of some rows with its label, as bytes, whatever the types of the numbers."""
        for i, label in zip(index.tolist(), labels.tolist(), strict=True):
            own = slice(self.starts[i], self.starts[i + 1])
            numbers = self.data[own].astype(np.float64)
            yield np.concatenate([[len(numbers), label], self.columns[own], numbers], dtype=np.float64)

    def alone(self, index: NDArray[np.int64]) -> SparseRows:
        """Return some rows as if there had never been others, numbered from 0."""
        stored = self.raw[index]
        return self._of(stored, stored.data, self.scale[index])

    def few(self) -> SparseRows:
        """The first rows that are there, stored in the same way."""
        found = self.alone(np.flatnonzero(self.scale)[:FEW_ROWS])
        for name in ("data", "columns", "starts"):
            getattr(found, name).flags.writeable = getattr(self, name).flags.writeable
        return found

    def rehearse(self) -> None:
        """Run every compiled pass once, on a single row that is stored like these."""
        one = replace(self, starts=self.starts[:2], scale=np.ones(1), index=None)
        one = replace(one, starts=np.array([0, min(1, len(self.data))]))
        w, ones = np.zeros(self.dim), np.ones(1)
        one.gradient(ones, w)
        one.curved(one.scores(w), w)
        one.squares(ones)
        one.absolute(w)

    # -- passes -----------------------------------------------------------------------------------------

    def scores(self, w: Array) -> Array:
        """``x_i.w`` for every row, (n,); zero for removed rows and those not in use."""
        out, spans = np.zeros(len(self)), self._spans()
        w = np.ascontiguousarray(w, dtype=np.float64)
        for_each(lambda k: kernels.score_block(*self._stored, w, *spans[k], out), len(spans), len(self.data))
        return out

    def gradient(self, y: Array, w: Array) -> Array:
        """``sum_i -y_i sigmoid(-sign(y_i) x_i.w) x_i``, (d,); see ``RowOperations``."""
        return self._reduce(kernels.gradient_block, (y, np.ascontiguousarray(w)), [self.dim])[0]

    def curved(self, slopes: Array, step: Array) -> tuple[Array, Array]:
        """``sum_i slopes_i (x_i.step) x_i``, (d,), and the sums of the 2nd and 4th powers of ``x_i.step``."""
        args = (slopes, np.ascontiguousarray(step))
        data, sums = self._reduce(kernels.curvature_block, args, [self.dim, 2])
        return data, sums

    def squares(self, slopes: Array) -> Array:
        """``sum_i slopes_i x_ij^2``, (d,): the diagonal of ``X^T diag(slopes) X``."""
        return self._reduce(kernels.square_block, (slopes,), [self.dim])[0]

    def absolute(self, v: Array) -> Array:
        """``|X|^T |X| v``, (d,), of the entries' sizes, for v >= 0: every term of the sum is >= 0."""
        return self._reduce(kernels.absolute_block, (np.ascontiguousarray(v),), [self.dim])[0]

    def weighted_gram(self, weights: Array | None = None, dtype: Any = np.float64) -> NDArray[Any]:
        """``X^T diag(weights) X``, (d, d) symmetric in ``dtype``; weights (n,) >= 0, None for all ones."""
        weights = np.ones(len(self)) if weights is None else weights
        sums = np.zeros((_GRAM_PARTS, self.dim, self.dim))

        def add_up(k: int) -> None:
            span = (self.places * part // _GRAM_PARTS for part in (k, k + 1))
            kernels.gram_block(*self._stored, weights, *span, sums[k])

        for_each(add_up, _GRAM_PARTS, len(self.data))
        return sums.sum(axis=0).astype(dtype, copy=False)

    def part(self, index: Any = slice(None)) -> Any:
        """Some rows as a float64 matrix in CSR; removed rows are zero, whatever their places hold."""
        ids = np.atleast_1d(np.arange(len(self))[index])
        scale = self.scale[ids]
        lengths = np.where(scale != 0, self.starts[ids + 1] - self.starts[ids], 0)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        # the place of every entry: from the start of its row on
        places = np.arange(starts[-1]) + np.repeat(self.starts[ids] - starts[:-1], lengths)
        data = self.data[places].astype(np.float64) * np.repeat(scale, lengths)
        return sp.csr_array((data, self.columns[places], starts), shape=(len(ids), self.dim))

    @property
    def _stored(self) -> tuple[Any, ...]:
        return self.data, self.columns, self.starts, self._walked, self.scale

    def _spans(self) -> list[tuple[int, int]]:
        """Bounds lo, hi of the blocks of places."""
        count = max(1, -(-self.places // self.block))
        return [(self.places * k // count, self.places * (k + 1) // count) for k in range(count)]

    def _reduce(self, block: Callable[..., Any], args: tuple[Any, ...], shapes: Sequence[int]) -> list[Array]:
        """Sum a kernel's outputs, of the lengths ``shapes``, over fixed blocks of rows, in block order."""
        spans = self._spans()
        outputs = [np.zeros((len(spans), size)) for size in shapes]
        for_each(
            lambda k: block(*self._stored, *args, *spans[k], *(out[k] for out in outputs)),
            len(spans),
            len(self.data),
        )
        return [out.sum(axis=0) for out in outputs]


def canonical(raw: Any) -> Any:
    """Return a sparse matrix (n, d) in CSR of float32 or float64, duplicates summed and zeros dropped.

    What is so already is not copied. Its indices are taken to be in range: see ``taken.require_sound``.

    Raises:
        InvalidValue: It has no features, or no real numbers.
    """
    if raw.ndim != 2 or raw.shape[1] == 0:
        raise InvalidValue("features", raw.shape, "a table of shape (rows, features)")
    if raw.dtype.kind not in "biuf":
        raise InvalidValue("features", str(raw.dtype), "real numbers")
    raw = raw.tocsr()
    if raw.dtype.type not in _STORED_TYPES or not raw.dtype.isnative:
        raw = raw.astype(np.float64)
    rises = np.ones(max(raw.nnz, 1), dtype=bool)
    rises[1 : raw.nnz] = np.diff(raw.indices[: raw.nnz]) > 0
    rises[raw.indptr[:-1][raw.indptr[:-1] < raw.nnz]] = True  # a row may begin anywhere
    if not rises.all():
        raw = raw.copy()
        raw.has_sorted_indices = raw.has_canonical_format = False
        raw.sum_duplicates()
    if not raw.data[: raw.nnz].all():
        raw = raw.copy()
        raw.eliminate_zeros()
    return raw


def _measured(raw: Any, used: NDArray[np.bool_] | None) -> tuple[Any, NDArray[np.bool_], Array]:
    """The matrix as it is kept, which rows are in use, and the squared norms as float64 has them."""
    raw = canonical(raw)
    n = raw.shape[0]
    used = np.ones(n, dtype=bool) if used is None else used
    squares = np.empty(n)
    kernels.square_norm_block(raw.data, raw.indptr.astype(np.int64, copy=False), used, 0, n, squares)
    return raw, used, squares


def _in_range(raw: Any, squares: Array, what: str) -> tuple[NDArray[Any], Array]:
    """Entries and squared norms, with every norm where squares keep all their bits; see ``given.in_range``.

    Raises:
        DataError: A row holds NaN or infinity.
    """
    outside = np.flatnonzero(~((squares >= LEAST_SQUARE) & (squares <= MOST_SQUARE)))
    _require_finite(raw, outside, what)
    data = raw.data
    for i in outside[np.diff(raw.indptr)[outside] > 0]:
        data = data.astype(np.float64, copy=data is raw.data)
        own = slice(raw.indptr[i], raw.indptr[i + 1])
        data[own] = np.ldexp(data[own], -np.frexp(np.abs(data[own]).max())[1])
        squares[i] = data[own] @ data[own]
    return data, squares


def _require_finite(raw: Any, rows: NDArray[np.int64], what: str) -> None:
    """Raise ``DataError`` if one of these rows holds NaN or infinity."""
    bad = np.zeros(raw.shape[0], dtype=bool)
    for i in rows:
        bad[i] = not np.isfinite(raw.data[raw.indptr[i] : raw.indptr[i + 1]]).all()
    refuse(bad, f"{what} {{}} holds NaN or infinity")
