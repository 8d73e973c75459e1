"""What the linear model asks of its rows, however they are stored: one interface.

Dense rows in memory or on disk are ``expunge.linear.rows.Rows``, sparse ones are those of
``expunge.linear.sparse_rows``, dense ones on a device of torch those of ``expunge.linear.device_rows``. A
pass sums over fixed blocks of rows, in order, so that no result depends on the number of threads; all sums
are float64. Another kind is these passes, written once more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from functools import cached_property, lru_cache
from math import sqrt
from typing import Any, ClassVar, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from expunge.linear.cuts import Cut, whole
from expunge.linear.given import BLOCK_ROWS, Array
from expunge.linear.parallel import one_blas_thread

Own = TypeVar("Own", bound="RowOperations")

UNIT = 2.0**-53
_KEEP_GRAM = 2048  # features up to which the Gram matrix (8 d^2 bytes: 32 MiB) is kept with the rows
FEW_ROWS = 24
_PIECES = 64  # lists of departed rows that are kept apart, so that another one costs no more than itself


class RowOperations(ABC):
    """n rows of d features with ``||x_i||_2 <= 1``, some of them possibly removed or not in use.

    Where a pass takes ``y`` (n,), its sign is the label and its size, in (0, 1], what the row counts in the
    loss (``expunge.linear.example_weights``): -1 and +1 where all count alike.

    A kind is a frozen dataclass of how its rows are stored, ``scale`` and ``index`` among its fields.

    Attributes:
        scale: (n,) float64, what a stored row is multiplied by; 0 marks a row that is removed or not in use:
            no pass reads it, whatever has become of its place.
        index: (m,) ids of the rows that passes go through, in order; None for all n. A subset costs a pass
            over the subset alone, and no copy of the rows.
    """

    scale: Array
    index: NDArray[np.int64] | None
    together: ClassVar[int] = 0
    """How many times ``MOST_SLOPES`` a pass for many columns at once may keep; 0 where there is none."""

    # -- how many, and who is there ---------------------------------------------------------------------

    @property
    @abstractmethod
    def dim(self) -> int:
        """Number of features d."""

    @abstractmethod
    def __len__(self) -> int:
        """n, whatever has been removed."""

    @property
    def block(self) -> int:
        """Rows that a partial sum is of at most; what rounding costs depends on it."""
        return BLOCK_ROWS

    @cached_property  # asked for several times a removal, and a pass over a million rows is not free
    def count(self) -> int:
        """Number of rows that have not been removed."""
        return int(np.count_nonzero(self.scale))

    @property
    def places(self) -> int:
        """Rows that a pass goes through, removed ones included."""
        return len(self) if self.index is None else len(self.index)

    def uses(self, index: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each of some rows, none of which has been removed, is in use, (m,)."""
        return np.asarray(self._base[0][index] != 0)

    def without(self: Own, index: Sequence[int] | NDArray[np.int64]) -> Own:
        """Return these rows with ``index``, none of which has been removed, removed; the numbering stays.

        ``scale``, as long as the table, is made when somebody asks for it: nobody need who has no pass to
        make.
        """
        index = np.asarray(index, dtype=np.int64)
        whole, gone = self._base
        gone = (np.concatenate(gone), index) if len(gone) == _PIECES else (*gone, index)
        left = object.__new__(type(self))
        count = self.count - int(np.count_nonzero(self.uses(np.unique(index))))
        held = {name: getattr(self, name) for name in self._fields() if name != "scale"}
        vars(left).update(held, count=count, _left=(whole, gone))
        return left

    def only(self: Own, used: NDArray[np.bool_]) -> Own:
        """Return the same rows with those outside ``used`` (n,) not in use; the numbering stays."""
        made = {"scale": np.where(used, self.scale, 0.0), "index": np.flatnonzero(used)}
        return cast("Own", replace(cast("Any", self), **made))

    def compacted(self: Own, gone: NDArray[np.bool_]) -> Own:
        """Return a subset without the places of ``gone`` (n,) rows, which have left; all rows keep theirs."""
        if self.index is None:
            return self
        return cast("Own", replace(cast("Any", self), index=self.index[~gone[self.index]]))

    @abstractmethod
    def erased(self: Own, gone: NDArray[np.bool_]) -> Own:
        """Return the same rows without what those in ``gone`` (n,) were, which have left."""

    def storing(self: Own, other: Own) -> Own:
        """Return these rows as ``other`` stores them: the same numbers but for rows that have left."""
        kept = {name: getattr(other, name) for name in self._fields() if name not in ("scale", "index")}
        return cast("Own", replace(cast("Any", self), **kept))

    @abstractmethod
    def alone(self: Own, index: NDArray[np.int64]) -> Own:
        """Return some rows as if there had never been others, numbered from 0."""

    @abstractmethod
    def few(self: Own) -> Own:
        """The first rows that are there, stored in the same way: what is compiled for them serves all."""

    @abstractmethod
    def rehearse(self) -> None:
        """Run every compiled pass once, on a single row that is stored like these.

        Kernels are compiled for each way in which rows may be stored when they first meet it, for some
        seconds; what is compiled is kept for later processes, where that is possible. No time that is
        reported shall depend on it.
        """

    # -- passes over the rows in use --------------------------------------------------------------------

    @abstractmethod
    def scores(self, w: Array) -> Array:
        """``x_i.w`` for every row, (n,); zero for removed rows and those not in use."""

    @abstractmethod
    def gradient(self, y: Array, w: Array) -> Array:
        """``sum_i -y_i sigmoid(-sign(y_i) x_i.w) x_i``, (d,), of the loss ``sum_i |y_i| log(1 + ...)``."""

    def slopes(self, y: Array, w: Array) -> Any:
        """``|y_i| s_i (1 - s_i)`` with s_i = sigmoid(x_i.w), (n,): the second derivatives of the losses.

        For the passes that take slopes or weights: nobody else need be able to read them.
        """
        scores = self.scores(w)
        return np.abs(y) * (expit(scores) * expit(-scores))

    @abstractmethod
    def curved(self, slopes: Array, step: Array) -> tuple[Array, Array]:
        """``sum_i slopes_i (x_i.step) x_i``, (d,), and the sums of the 2nd and 4th powers of ``x_i.step``."""

    @abstractmethod
    def squares(self, slopes: Array) -> Array:
        """``sum_i slopes_i x_ij^2``, (d,): the diagonal of ``X^T diag(slopes) X``."""

    @abstractmethod
    def weighted_gram(self, weights: Array | None = None, dtype: Any = np.float64) -> NDArray[Any]:
        """``X^T diag(weights) X``, (d, d) symmetric in ``dtype``; weights (n,) >= 0, None for all ones."""

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
        gram = self.weighted_gram()
        return gram, spectral_norm(gram, self.count)

    @abstractmethod
    def absolute(self, v: Array) -> Array:
        """``|X|^T |X| v``, (d,), of the entries' sizes, for v >= 0: every term of the sum is >= 0."""

    # -- some rows --------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored numbers."""

    @abstractmethod
    def contents(self, index: NDArray[np.int64], labels: NDArray[np.int64]) -> Iterator[Any]:
        """The stored numbers of each of some rows with its label, as bytes, whatever their type."""

    @abstractmethod
    def part(self, index: Any) -> Any:
        """Some rows as a float64 matrix that can be multiplied with ``@``, an array or in CSR.

        Removed rows are zero, whatever their places hold.
        """

    def dense(self, index: Any = slice(None)) -> Array:
        """The same as an array: of a few rows, where they may be sparse."""
        found = self.part(index)
        return cast("Array", found if isinstance(found, np.ndarray) else found.toarray())

    def times(self, w: Array, rows: NDArray[np.int64] | None = None) -> Array:
        """``x_i.w_k`` of some rows (None: all of them) and several weight vectors ``w`` (d, K), (m, K)."""
        chosen = np.arange(len(self)) if rows is None else rows
        parts = [chosen[start : start + BLOCK_ROWS] for start in range(0, len(chosen), BLOCK_ROWS)]
        return np.concatenate([np.empty((0, w.shape[1])), *(self.part(part) @ w for part in parts)])

    # -- how it is kept ---------------------------------------------------------------------------------

    @classmethod
    def _fields(cls) -> list[str]:
        return [field.name for field in fields(cast("Any", cls))]

    @property
    def _walked(self) -> NDArray[np.int64]:
        return _every(len(self)) if self.index is None else self.index

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
        return {name: getattr(self, name) for name in self._fields()}


class DenseRows(RowOperations):
    """Rows that are a table, wherever it lies."""

    @abstractmethod
    def weighted_blocks(self, weights: Array | None, part: range, dtype: Any) -> Iterator[NDArray[Any]]:
        """Yield ``weights_i x_i`` in ``dtype`` by blocks of the rows at the places ``part``.

        A place is one in ``index``; the step of ``part`` is the size of a block, which the next overwrites.
        """

    def partial_sums(self, work: Any, cut: Cut, rowwise: tuple[Any, ...], *args: Any) -> list[Any]:
        """What ``work``, one of ``expunge.linear.passes``, has for each unit of ``cut``, (units, ...) each.

        ``rowwise`` are its arguments that have an entry for each row or place, ``args`` the others.
        """
        with one_blas_thread():
            return cast("list[Any]", work.run(self, whole(cut, self.places), *rowwise, *args))

    def room(self, width: int) -> Any:
        """Room for ``width`` numbers a place in float32, (places, width), which passes fill and read."""
        return np.empty((self.places, width), dtype=np.float32)

    @abstractmethod
    def columns(self, own: NDArray[np.int64], ridge: float, b: Array, sizes: Array | None = None) -> Any:
        """The passes for many columns, ``expunge.linear.column_passes.ColumnPasses``, over these rows."""

    def spectrum(self, sizes: Array | None = None) -> tuple[Array, Array]:
        """Eigenvalues (d,) and eigenvectors (d, d) of ``X^T diag(sizes) X``, which is summed in float32.

        sizes (n,) is what each row counts; None: 1 each.
        """
        with one_blas_thread():
            values, vectors = np.linalg.eigh(self.weighted_gram(sizes, np.float32).astype(np.float64))
        return values, vectors


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
