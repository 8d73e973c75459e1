"""Feature rows with ||x_i||_2 <= 1 on a device of torch: they stay there, in the type they are stored in.

The passes are those of ``expunge.linear.rows``, and are charged the same: every sum is float64, over blocks
of ``BLOCK_ROWS`` rows that are added up, and which rows are in a block depends on nothing but n. How many
blocks are widened at a time is fixed for each kind of device, whatever memory is free. The same call gives
the same bits on the same device; another device may have other last bits, within the bound.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expunge.linear.device_columns import DeviceColumns
from expunge.linear.given import BLOCK_ROWS, NORM_SLACK, Array, refuse
from expunge.linear.operations import FEW_ROWS, DenseRows
from expunge.linear.resident import Resident
from expunge.linear.rows import Rows

__all__ = ["STORED", "DeviceRows"]
log = logging.getLogger(__name__)

STORED = (torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64)
_NUMBERS = {"cpu": 2**20, "cuda": 2**24}  # widened at a time: in cache, or enough to keep a GPU busy
_FEW_FEATURES = 64
_COPIED = 2**26  # bytes that are brought to a device at a time
_TYPES = {np.float32: torch.float32, np.float64: torch.float64}
_LEAST_NORM, _MOST_NORM = 2.0**-450, 2.0**500


@dataclass(frozen=True, eq=False)
class DeviceRows(DenseRows):
    """Dense rows on a device; ``x_i = factor_i (raw_i - offset)``, and ``index`` as in ``RowOperations``.

    A pickle of them is of ``Rows`` in memory. Every number that is stored is finite, of rows that have left
    too.

    Attributes:
        raw: (n, d) contiguous, of a type in ``STORED``.
        factor: (n,) float64, 0 for rows that are removed or not in use: ``scale`` where it lies.
        offset: Subtracted from every raw entry.
        held: What else is there: labels and weights.
    """

    raw: Tensor
    factor: Tensor
    offset: float = 0.0
    index: NDArray[np.int64] | None = None
    held: Resident = field(default=None, repr=False)  # type: ignore[assignment]
    together: ClassVar[int] = 16  # 8 GiB of slopes: a head of 1,000 classes for a million rows

    def __post_init__(self) -> None:
        if self.held is None:
            object.__setattr__(self, "held", Resident(self.raw.device))

    # -- where they come from ---------------------------------------------------------------------------

    @classmethod
    def of(cls, rows: Rows, device: torch.device) -> DeviceRows:
        """These rows on ``device``: the same numbers, in the same type. Rows that have left are zero."""
        raw = torch.empty(rows.raw.shape, dtype=torch.from_numpy(rows.raw[:0].copy()).dtype, device=device)
        step = max(1, _COPIED // max(1, rows.raw[:1].nbytes))
        for lo in range(0, len(rows), step):
            part, gone = np.array(rows.raw[lo : lo + step]), rows.scale[lo : lo + step] == 0
            if gone.any():
                part[gone & ~np.isfinite(part).all(axis=1)] = 0
            raw[lo : lo + step] = torch.from_numpy(part)
        factor = torch.from_numpy(np.array(rows.scale)).to(device)
        return cls(raw, factor, rows.offset, rows.index)

    @classmethod
    def normalised(cls, raw: Tensor, offset: float = 0.0, what: str = "row") -> DeviceRows:
        """Rows of a tensor (n, d), where it is, divided by their L2 norm after ``offset`` is subtracted.

        Nothing is copied. Rows of norm zero stay as they are.

        Raises:
            DataError: A row holds NaN or infinity, or its norm is below 1e-135 or above 1e150.
        """
        rows = cls(raw.contiguous(), raw.new_ones(len(raw), dtype=torch.float64), offset)
        norms = rows._norms()
        _refuse(~torch.isfinite(norms), f"{what} {{}} holds NaN or infinity")
        far = (norms < _LEAST_NORM) | (norms > _MOST_NORM)
        _refuse(far & (norms != 0), f"{what} {{}} has an L2 norm that float64 cannot square")
        return replace(rows, factor=torch.where(norms == 0, 1.0, 1.0 / norms))

    @classmethod
    def as_given(cls, raw: Tensor, what: str = "row") -> DeviceRows:
        """Rows of a tensor (n, d), where it is, as they are; every norm must be at most 1.

        Raises:
            DataError: A row holds NaN or infinity, or its norm is above 1.
        """
        rows = cls(raw.contiguous(), raw.new_ones(len(raw), dtype=torch.float64))
        norms = rows._norms()
        _refuse(~torch.isfinite(norms), f"{what} {{}} holds NaN or infinity")
        _refuse(norms > 1 + NORM_SLACK, f"{what} {{}} has L2 norm above 1; normalise the rows")
        return replace(rows, factor=torch.where(norms > 1, 1.0 / norms.clamp(min=1.0), 1.0))

    # -- how many, and who is there ---------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where the rows are."""
        return self.raw.device

    @property
    def dim(self) -> int:
        """Number of features d."""
        return int(self.raw.shape[1])

    def __len__(self) -> int:
        return int(self.raw.shape[0])

    @cached_property
    def scale(self) -> Array:  # type: ignore[override]
        """``factor`` in memory: no pass asks for it."""
        return self.factor.cpu().numpy()

    @cached_property
    def count(self) -> int:
        """Number of rows that have not been removed."""
        return int(torch.count_nonzero(self.factor))

    def uses(self, index: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each of some rows, none of which has been removed, is in use, (m,)."""
        return (self.factor[self._there(index)] != 0).cpu().numpy()

    def without(self, index: Sequence[int] | NDArray[np.int64]) -> DeviceRows:
        """Return these rows with ``index``, none of which has been removed, removed; the numbering stays."""
        index = np.asarray(index, dtype=np.int64)
        count = self.count - int(np.count_nonzero(self.uses(np.unique(index))))
        left = replace(self, factor=self.factor.index_fill(0, self._there(index), 0.0))
        vars(left)["count"] = count
        return left

    def only(self, used: NDArray[np.bool_]) -> DeviceRows:
        """Return the same rows with those outside ``used`` (n,) not in use; the numbering stays."""
        factor = torch.where(self.held.copied(used), self.factor, 0.0)
        return replace(self, factor=factor, index=np.flatnonzero(used))

    def erased(self, gone: NDArray[np.bool_]) -> DeviceRows:
        """Return the same rows without what those in ``gone`` (n,) were, which have left."""
        there = self._there(np.flatnonzero(gone))
        if not (self.raw[there].any() or self.factor[there].any()):
            return self
        raw, factor = self.raw.clone(), self.factor.index_fill(0, there, 0.0)
        raw[there] = 0
        return replace(self, raw=raw, factor=factor)

    def storing(self, other: DeviceRows) -> DeviceRows:
        """Return these rows as ``other`` stores them: the same numbers but for rows that have left."""
        return replace(self, raw=other.raw, offset=other.offset, held=other.held)

    def alone(self, index: NDArray[np.int64]) -> DeviceRows:
        """Return some rows as if there had never been others, numbered from 0."""
        there = self._there(index)
        return DeviceRows(self.raw[there], self.factor[there], self.offset)

    def few(self) -> DeviceRows:
        """The first rows that are there and the first features of each, stored in the same way."""
        there = torch.nonzero(self.factor).flatten()[:FEW_ROWS]
        raw = self.raw[there][:, :_FEW_FEATURES].contiguous()
        return DeviceRows(raw, self.factor[there], self.offset)

    def rehearse(self) -> None:
        """Run every pass once, on a single row: kernels are compiled, libraries are loaded."""
        one = replace(self, raw=self.raw[:1], factor=self.factor.new_ones(1), index=None, held=None)  # type: ignore[arg-type]
        w = np.zeros(self.dim)
        one.gradient(np.ones(1), w)
        one.curved(one.slopes(np.ones(1), w), w)
        for kind in (np.float32, np.float64):
            one.weighted_gram(None, kind)

    # -- passes over the rows in use --------------------------------------------------------------------

    def scores(self, w: Array) -> Array:
        """``x_i.w`` for every row, (n,); zero for removed rows and those not in use."""
        return self._scores(w).cpu().numpy()

    def slopes(self, y: Array, w: Array) -> Tensor:
        """``|y_i| s_i (1 - s_i)`` with ``s_i = sigmoid(x_i.w)``, (n,), on the device."""
        scores = self._scores(w)
        return torch.sigmoid(scores).mul_(torch.sigmoid(scores.neg_())).mul_(self._of(y).abs())

    def gradient(self, y: Array, w: Array) -> Array:
        """``sum_i d/dw log(1 + exp(-y_i x_i.w))``, (d,); y (n,) are -1 or +1, or times weights up to 1."""
        labels, along = self._of(y), self.held.copied(w)
        if kernels := self._kernels():
            found, _ = kernels.walk(kernels.GRADIENT, *self._walk, labels, along, self.offset)
            return found.cpu().numpy()

        def of(x: Tensor, part: slice) -> Tensor:
            own = self._chosen(labels, part)
            return torch.sigmoid(torch.sign(own).neg_() * (x @ along)).mul_(own).neg_()

        return self._summed(lambda x, part: _in_blocks(x, of(x, part)), torch.float64).cpu().numpy()

    def curved(self, slopes: Any, step: Array) -> tuple[Array, Array]:
        """``sum_i slopes_i (x_i.step) x_i``, (d,), and the sums of the 2nd and 4th powers of ``x_i.step``."""
        weights, along = self._of(slopes), self.held.copied(step)
        if kernels := self._kernels():
            found, powers = kernels.walk(kernels.CURVED, *self._walk, weights, along, self.offset)
            return found.cpu().numpy(), powers.cpu().numpy()
        powers = self.factor.new_zeros(2)

        def of(x: Tensor, part: slice) -> Tensor:
            moved = x @ along
            squares = moved.square()
            powers[0] += squares.sum()
            powers[1] += squares.square().sum()
            return moved.mul_(self._chosen(weights, part))

        found = self._summed(lambda x, part: _in_blocks(x, of(x, part)), torch.float64)
        return found.cpu().numpy(), powers.cpu().numpy()

    def squares(self, slopes: Any) -> Array:
        """``sum_i slopes_i x_ij^2``, (d,): the diagonal of ``X^T diag(slopes) X``."""
        weights = self._of(slopes)
        found = self._summed(lambda x, part: self._chosen(weights, part) @ x.square_(), torch.float64)
        return found.cpu().numpy()

    def weighted_gram(self, weights: Any = None, dtype: Any = np.float64) -> NDArray[Any]:
        """``X^T diag(weights) X``, (d, d) symmetric in ``dtype``; weights (n,) >= 0, None for all ones."""
        return self._gram_there(weights, _TYPES[np.dtype(dtype).type]).cpu().numpy()

    def absolute(self, v: Array) -> Array:
        """``|X|^T |X| v``, (d,), of the entries' sizes, for v >= 0: every term of the sum is >= 0."""
        along = self.held.copied(v)

        def of(x: Tensor, part: slice) -> Tensor:
            sizes = x.abs_()
            return (sizes @ along) @ sizes

        return self._summed(of, torch.float64).cpu().numpy()

    def spectrum(self) -> tuple[Array, Array]:
        """Eigenvalues (d,) and eigenvectors (d, d) of ``X^T X``, which is summed in float32."""
        values, vectors = torch.linalg.eigh(self._gram_there(None, torch.float32).double())
        return values.cpu().numpy(), vectors.contiguous().cpu().numpy()

    def columns(self, own: NDArray[np.int64], ridge: float, b: Array) -> DeviceColumns:
        """The passes for many columns over these rows."""
        return DeviceColumns(self, own, ridge, b)

    def weighted_blocks(self, weights: Array | None, part: range, dtype: Any) -> Iterator[NDArray[Any]]:
        """Yield ``weights_i x_i`` in ``dtype`` by blocks of the rows at the places ``part``, in memory."""
        factors = None if weights is None else self._of(weights)
        for lo in part:
            here = slice(lo, min(lo + part.step, part.stop))
            block = self.widened(here, torch.float64)
            if factors is not None:
                block.mul_(self._chosen(factors, here)[:, None])
            yield block.to(_TYPES[np.dtype(dtype).type]).cpu().numpy()

    # -- some rows --------------------------------------------------------------------------------------

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored numbers; of bfloat16, which NumPy has not, float32."""
        return _in_numpy(self.raw[:0]).dtype

    def contents(self, index: NDArray[np.int64], labels: NDArray[np.int64]) -> Iterator[Any]:
        """The stored numbers of each of some rows with its label, as bytes, whatever their type."""
        for start in range(0, len(index), BLOCK_ROWS):
            part = index[start : start + BLOCK_ROWS]
            numbers = np.hstack(
                [_in_numpy(self.raw[self._there(part)]), labels[start : start + BLOCK_ROWS, None]],
                dtype=np.float64,
            )
            yield from numbers + 0.0  # no -0.0

    def part(self, index: Any = slice(None)) -> Array:
        """The rows of ``index`` as a float64 array in memory (removed rows are zero)."""
        return self.part_there(np.arange(len(self))[index] if isinstance(index, slice) else index).cpu().numpy()

    def part_there(self, index: Any) -> Tensor:
        """The same on the device."""
        there = self._there(np.asarray(index))
        return (self.raw[there].double() - self.offset) * self.factor[there][..., None]

    def times(self, w: Array, rows: NDArray[np.int64] | None = None) -> Array:
        """``x_i.w_k`` of some rows (None: all of them) and several weight vectors ``w`` (d, K), (m, K)."""
        chosen, along = np.arange(len(self)) if rows is None else rows, self.held.copied(w)
        step = max(1, _NUMBERS[self.device.type] // self.dim)
        parts = [chosen[lo : lo + step] for lo in range(0, len(chosen), step)]
        scores = [(self.part_there(part) @ along).cpu().numpy() for part in parts]
        return np.concatenate([np.empty((0, w.shape[1])), *scores])

    def __reduce__(self) -> Any:
        """What is pickled: the same rows in memory, which any machine has."""
        return Rows, (_in_numpy(self.raw), self.factor.cpu().numpy(), self.offset, self.index)

    def __deepcopy__(self, memo: Any) -> DeviceRows:
        return self

    # -- how it is done ---------------------------------------------------------------------------------

    def widened(self, part: slice, dtype: torch.dtype) -> Tensor:
        """The rows at the places ``part``, (m, d) in ``dtype``: a copy."""
        raw, factor = self._chosen(self.raw, part), self._chosen(self.factor, part)
        if self.offset:
            return (raw.to(dtype) - self.offset).mul_(factor[:, None])
        if dtype == torch.float32:
            return raw.to(dtype, copy=raw.dtype == dtype).mul_(factor[:, None])
        return torch.mul(raw, factor[:, None])  # widened in registers

    def blocks(self, width: int = 0) -> Iterator[slice]:
        """Places of whole blocks that are gone through at a time, each row with ``width`` results besides."""
        step = max(1, _NUMBERS[self.device.type] // max(1, self.dim, width) // BLOCK_ROWS) * BLOCK_ROWS
        return (slice(lo, min(lo + step, self.places)) for lo in range(0, self.places, step))

    def chosen(self, values: Tensor, part: slice) -> Tensor:
        """Those of the (n, ...) ``values`` that are of the rows at the places ``part``."""
        return self._chosen(values, part)

    def _chosen(self, values: Tensor, part: slice) -> Tensor:
        return values[part] if self._places is None else values[self._places[part]]

    @cached_property
    def _places(self) -> Tensor | None:
        return None if self.index is None else self.held.of(self.index)

    @property
    def _walk(self) -> tuple[Tensor, Tensor | None, Tensor]:
        return self.raw, self._places, self.factor

    def _of(self, values: Any) -> Tensor:
        return values if isinstance(values, Tensor) else self.held.of(values)

    def _there(self, index: NDArray[np.int64]) -> Tensor:
        return self.held.copied(np.asarray(index, dtype=np.int64))

    def _kernels(self) -> Any:
        """The module that has the passes as one kernel, where it works; else None."""
        kernels = compiled(self.device)
        return kernels if kernels is not None and self.dim <= kernels.WIDEST else None

    def _scores(self, w: Array) -> Tensor:
        along = self.held.copied(w)
        if kernels := self._kernels():
            return kernels.walk(kernels.SCORES, *self._walk, None, along, self.offset)[0]
        out = self.factor.new_zeros(len(self))
        for part in self.blocks():
            where = part if self._places is None else self._places[part]
            out[where] = self.widened(part, torch.float64) @ along
        return out

    def _gram_there(self, weights: Any, dtype: torch.dtype) -> Tensor:
        roots = None if weights is None else self._of(weights).sqrt()

        def of(x: Tensor, part: slice) -> Tensor:
            if roots is not None:
                x.mul_(self._chosen(roots, part)[:, None])
            return x.T @ x

        return self._summed(of, dtype, (self.dim, self.dim))

    def _summed(
        self, of: Callable[[Tensor, slice], Tensor], dtype: torch.dtype, shape: tuple[int, ...] | None = None
    ) -> Tensor:
        """The sum of ``of`` (d,) of the widened rows, some blocks at a time, in order."""
        total = torch.zeros(shape or (self.dim,), dtype=dtype, device=self.device)
        for part in self.blocks():
            total += of(self.widened(part, dtype), part)
        return total

    def _norms(self) -> Tensor:
        out = self.factor.new_empty(len(self))
        for part in self.blocks():
            x = self.widened(part, torch.float64)
            out[part] = torch.linalg.vector_norm(x, dim=1)
        return out


def _in_blocks(x: Tensor, weights: Tensor) -> Tensor:
    """``weights @ x`` with a partial sum for every ``BLOCK_ROWS`` rows: what rounding is charged for."""
    whole = len(x) // BLOCK_ROWS * BLOCK_ROWS
    d = x.shape[1]
    parts = torch.bmm(weights[:whole].view(-1, 1, BLOCK_ROWS), x[:whole].view(-1, BLOCK_ROWS, d))
    found = parts.sum(dim=(0, 1))
    return found + weights[whole:] @ x[whole:] if whole < len(x) else found


def _refuse(bad: Tensor, message: str) -> None:
    if bad.any():
        refuse(bad.cpu().numpy(), message)


def _in_numpy(raw: Tensor) -> NDArray[Any]:
    return (raw.float() if raw.dtype == torch.bfloat16 else raw).cpu().numpy()


@lru_cache(maxsize=4)
def compiled(device: torch.device) -> Any:
    """The module of kernels for this device, where they are to be had and run; None: plain torch serves."""
    if device.type != "cuda":
        return None
    try:
        from expunge.linear import device_kernels

        one = torch.ones((1, 1), dtype=torch.float64, device=device)
        found, _ = device_kernels.walk(0, one, None, one[0], one[0], one[0], 0.0)
        found.cpu()
    except Exception as error:  # no Triton, or no compiler for what it writes
        log.info("rows on %s: no kernel of Triton (%s); plain torch does the same", device, error)
        return None
    return device_kernels
