"""A table of rows on a device of torch: what is stored there, which rows are there, and some of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expunge.core.errors import InvalidValue
from expunge.linear.given import BLOCK_ROWS, NORM_SLACK, Array, refuse
from expunge.linear.operations import FEW_ROWS, DenseRows
from expunge.linear.resident import Resident
from expunge.linear.rows import Rows

Table = TypeVar("Table", bound="DeviceTable")

NUMBERS = {"cpu": 2**20, "cuda": 2**24}
"""Numbers that are widened at a time: those that stay in cache, or keep a GPU busy."""
_STORED = (torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64)
_FEW_FEATURES = 64
_COPIED = 2**26  # bytes that are brought to a device at a time
_LEAST_NORM, _MOST_NORM = 2.0**-450, 2.0**500


@dataclass(frozen=True, eq=False)
class DeviceTable(DenseRows):
    """Dense rows on a device; ``x_i = factor_i (raw_i - offset)``, and ``index`` as in ``RowOperations``.

    A pickle of them is of ``Rows`` in memory. Every number that is stored is finite, of rows that have left
    too.

    Attributes:
        raw: (n, d) contiguous, of uint8, float16, bfloat16, float32 or float64.
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
    def of(cls: type[Table], rows: Rows, device: torch.device) -> Table:
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
    def normalised(cls: type[Table], raw: Tensor, offset: float = 0.0, what: str = "row") -> Table:
        """Rows of a tensor (n, d), where it is, divided by their L2 norm after ``offset`` is subtracted.

        Nothing is copied. Rows of norm zero stay as they are.

        Raises:
            DataError: A row holds NaN or infinity, or its norm is below 1e-135 or above 1e150.
        """
        rows = cls(_stored(raw), raw.new_ones(len(raw), dtype=torch.float64), offset)
        norms = rows._norms()
        _refuse(~torch.isfinite(norms), f"{what} {{}} holds NaN or infinity")
        far = (norms < _LEAST_NORM) | (norms > _MOST_NORM)
        _refuse(far & (norms != 0), f"{what} {{}} has an L2 norm that float64 cannot square")
        return replace(rows, factor=torch.where(norms == 0, 1.0, 1.0 / norms))

    @classmethod
    def as_given(cls: type[Table], raw: Tensor, what: str = "row") -> Table:
        """Rows of a tensor (n, d), where it is, as they are; every norm must be at most 1.

        Raises:
            DataError: A row holds NaN or infinity, or its norm is above 1.
        """
        rows = cls(_stored(raw), raw.new_ones(len(raw), dtype=torch.float64))
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

    def without(self: Table, index: Sequence[int] | NDArray[np.int64]) -> Table:
        """Return these rows with ``index``, none of which has been removed, removed; the numbering stays."""
        index = np.asarray(index, dtype=np.int64)
        count = self.count - int(np.count_nonzero(self.uses(np.unique(index))))
        left = replace(self, factor=self.factor.index_fill(0, self._there(index), 0.0))
        vars(left)["count"] = count
        return left

    def only(self: Table, used: NDArray[np.bool_]) -> Table:
        """Return the same rows with those outside ``used`` (n,) not in use; the numbering stays."""
        factor = torch.where(self.held.copied(used), self.factor, 0.0)
        return replace(self, factor=factor, index=np.flatnonzero(used))

    def erased(self: Table, gone: NDArray[np.bool_]) -> Table:
        """Return the same rows without what those in ``gone`` (n,) were, which have left.

        It is asked for before they are pickled: the copy is on the processor, the device may have no room.
        """
        there = self._there(np.flatnonzero(gone))
        if not (self.raw[there].any() or self.factor[there].any()):
            return self
        raw, factor, there = self.raw.to("cpu", copy=True), self.factor.cpu(), there.cpu()
        raw[there] = 0
        return replace(self, raw=raw, factor=factor.index_fill(0, there, 0.0), held=Resident(raw.device))

    def storing(self: Table, other: Table) -> Table:
        """Return these rows as ``other`` stores them: the same numbers but for rows that have left."""
        factor = self.factor.to(other.device)
        return replace(self, raw=other.raw, factor=factor, offset=other.offset, held=other.held)

    def alone(self: Table, index: NDArray[np.int64]) -> Table:
        """Return some rows as if there had never been others, numbered from 0."""
        there = self._there(index)
        return type(self)(self.raw[there], self.factor[there], self.offset)

    def few(self: Table) -> Table:
        """The first rows that are there and the first features of each, stored in the same way."""
        there = torch.nonzero(self.factor).flatten()[:FEW_ROWS]
        raw = self.raw[there][:, :_FEW_FEATURES].contiguous()
        return type(self)(raw, self.factor[there], self.offset)

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
        return (
            self.part_there(np.arange(len(self))[index] if isinstance(index, slice) else index).cpu().numpy()
        )

    def part_there(self, index: Any) -> Tensor:
        """The same on the device."""
        there = self._there(np.asarray(index))
        return (self.raw[there].double() - self.offset) * self.factor[there][..., None]

    def __reduce__(self) -> Any:
        """What is pickled: the same rows in memory, which any machine has."""
        raw = self.held.in_memory(self.raw, _in_numpy)  # once for all that are of the same table
        return Rows, (raw, self.factor.cpu().numpy(), self.offset, self.index)

    def __deepcopy__(self: Table, memo: Any) -> Table:
        return self

    # -- blocks -----------------------------------------------------------------------------------------

    def widened(self, part: slice, dtype: torch.dtype) -> Tensor:
        """The rows at the places ``part``, (m, d) in ``dtype``: a copy."""
        raw, factor = self.chosen(self.raw, part), self.chosen(self.factor, part)
        if self.offset:
            return (raw.to(dtype) - self.offset).mul_(factor[:, None])
        if dtype == torch.float32:
            return raw.to(dtype, copy=raw.dtype == dtype).mul_(factor[:, None])
        return torch.mul(raw, factor[:, None])  # widened in registers

    def blocks(self, width: int = 0) -> Iterator[slice]:
        """Places of whole blocks that are gone through at a time, each row with ``width`` results besides."""
        step = max(1, NUMBERS[self.device.type] // max(1, self.dim, width) // BLOCK_ROWS) * BLOCK_ROWS
        return (slice(lo, min(lo + step, self.places)) for lo in range(0, self.places, step))

    def chosen(self, values: Tensor, part: slice) -> Tensor:
        """Those of the (n, ...) ``values`` that are of the rows at the places ``part``."""
        return values[part] if self.at is None else values[self.at[part]]

    @cached_property
    def at(self) -> Tensor | None:
        """``index`` on the device."""
        return None if self.index is None else self.held.of(self.index)

    def _norms(self) -> Tensor:
        out = self.factor.new_empty(len(self))
        for part in self.blocks():
            x = self.widened(part, torch.float64)
            out[part] = torch.linalg.vector_norm(x, dim=1)
        return out

    def _there(self, index: NDArray[np.int64]) -> Tensor:
        return self.held.copied(np.asarray(index, dtype=np.int64))


def _stored(raw: Tensor) -> Tensor:
    if raw.ndim != 2 or not raw.shape[1] or raw.dtype not in _STORED:
        got = f"{str(raw.dtype).removeprefix('torch.')} of shape {tuple(raw.shape)}"
        allowed = "a table of uint8, float16, bfloat16, float32 or float64 of shape (rows, features)"
        raise InvalidValue("features", got, allowed)
    return raw.contiguous()


def _refuse(bad: Tensor, message: str) -> None:
    if bad.any():
        refuse(bad.cpu().numpy(), message)


def _in_numpy(raw: Tensor) -> NDArray[Any]:
    return (raw.float() if raw.dtype == torch.bfloat16 else raw).cpu().numpy()
