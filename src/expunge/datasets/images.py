"""Inputs of a network: stored arrays that become tensors a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expunge.core.checks import (
    LARGEST_SINGLE,
    require_choice,
    require_count,
    require_finite,
    require_positive,
)
from expunge.core.errors import DataError, InvalidValue, last_line
from expunge.core.hashing import sha256_of_array
from expunge.core.row_ids import row_ids

LAYOUTS = ("channels_last", "channels_first")
_SHAPES = {2: "(rows, features)", 3: "(rows, height, width)", 4: "(rows, height, width, channels)"}
_CHANNELS = (1, 3, 4)  # of an image: grey, colour, colour with transparency
_BLOCK = 4096
_WIDEST = 8  # bytes of a number that torch knows


@dataclass(frozen=True)
class Images:
    """n images or feature rows, as stored; a value reaches the network as ``raw / unit - offset``.

    Attributes:
        raw: (n, d), (n, height, width) or (n, height, width, channels), real numbers; may be a memory map.
        unit, offset: As in ``Dataset``.
    """

    raw: NDArray[Any]
    unit: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.raw, np.ndarray) or self.raw.ndim not in _SHAPES:
            got: Any = getattr(self.raw, "shape", type(self.raw).__name__)
            raise InvalidValue("raw", got, "an array of shape " + " or ".join(_SHAPES.values()))

    @classmethod
    def of(
        cls,
        x: Any,
        unit: float = 1.0,
        offset: float = 0.0,
        what: str = "inputs",
        layout: str | None = None,
    ) -> Images:
        """Return an array, a tensor or images, which stay as they are, as inputs that messages call ``what``.

        Of four axes, ``layout`` says which one is the channels: ``channels_last`` (rows, height, width,
        channels) or ``channels_first`` (rows, channels, height, width), as torch's networks take them. Where
        it is None, a tensor's are the one of the two that has 1, 3 or 4 entries, if only one has; a tensor
        with both or neither is refused. An array's are the last, unless it looks like the other (1, 3 or 4
        entries in the second axis and not in the last, and another number in the third): that is refused.

        Raises:
            InvalidValue: ``x`` is not an array of numbers of one of the three shapes, or its layout is not
                clear; ``unit``, ``offset`` or ``layout`` is not allowed.
            DataError: A row holds NaN or infinity.
        """
        require_positive("unit", unit, most=LARGEST_SINGLE)
        require_finite("offset", offset, most=LARGEST_SINGLE)
        if layout is not None:
            require_choice("layout", layout, LAYOUTS)
        if isinstance(x, Images):
            return x
        if hasattr(x, "indptr"):
            allowed = "an array: sparse rows are for the linear model alone"
            raise InvalidValue(what, f"a sparse matrix of shape {x.shape}", allowed)
        raw = _array(x, what)
        real = raw.dtype.kind in "iuf" and raw.dtype.itemsize <= _WIDEST
        if raw.ndim not in _SHAPES or not real or 0 in raw.shape[1:]:
            got = f"{raw.dtype} of shape {raw.shape}"
            raise InvalidValue(what, got, "real numbers of shape " + " or ".join(_SHAPES.values()))
        if layout is not None and raw.ndim != 4:
            raise InvalidValue(
                "layout", layout, f"none for {raw.ndim} axes: it tells two kinds of four apart"
            )
        if raw.ndim == 4 and (layout or _layout(raw.shape, isinstance(x, Tensor), what)) == LAYOUTS[1]:
            raw = np.moveaxis(raw, 1, 3)
        if raw.dtype.kind == "f":
            for start in range(0, len(raw), _BLOCK):
                bad = ~np.isfinite(raw[start : start + _BLOCK].reshape(-1, raw[0].size)).all(axis=1)
                if bad.any():
                    raise DataError(f"{what}: row {start + int(np.argmax(bad))} holds NaN or infinity")
        return cls(raw, unit, offset)

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input as the network gets it: (channels, height, width) or (d,)."""
        one = self.raw.shape[1:]
        return one if len(one) == 1 else (1, *one) if len(one) == 2 else (one[2], one[0], one[1])

    def batch(self, index: Any, dtype: torch.dtype = torch.float32, device: Any = "cpu") -> Tensor:
        """Return the inputs of ``index``, (m, ...).

        Raises:
            InvalidValue: ``index`` are not ids of rows.
            DataError: A value is no finite number of type ``dtype``.
        """
        rows = row_ids(index, len(self.raw), distinct=False)
        stored = np.ascontiguousarray(self.raw[rows])
        stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)  # torch knows no other order
        chosen = torch.from_numpy(stored).to(device)
        chosen = chosen.reshape(len(chosen), *self.raw.shape[1:]).to(dtype) / self.unit - self.offset
        if not torch.isfinite(chosen).all():
            bad = rows[int((~torch.isfinite(chosen).flatten(1).all(dim=1)).nonzero()[0])]
            raise DataError(f"inputs: row {bad} holds a value that is no finite number in {dtype}")
        return self.arranged(chosen)

    def arranged(self, chosen: Tensor) -> Tensor:
        """Return inputs of the shape in which they are stored as a network takes them, see ``shape``."""
        if self.raw.ndim == 3:
            return chosen[:, None]
        return chosen.permute(0, 3, 1, 2).contiguous() if self.raw.ndim == 4 else chosen

    def digest(self) -> str:
        """SHA-256 of all that a network trained on these inputs could depend on."""
        return sha256_of_array(self.raw, self.unit, self.offset)


def _array(x: Any, what: str) -> NDArray[Any]:
    if np.ma.is_masked(x):
        raise InvalidValue(what, "an array with masked values", "one without: filled(), or rows left out")
    try:
        if not isinstance(x, Tensor):
            return np.asarray(x)
        tensor = x.detach().cpu()  # NumPy has no bfloat16: float32 holds the same numbers
        return np.asarray((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())
    except (TypeError, ValueError, RuntimeError) as error:
        got = f"a {type(x).__name__}" if not isinstance(x, Tensor) else f"a tensor ({x.layout}, {x.dtype})"
        raise InvalidValue(what, got, f"an array of numbers or a dense tensor ({last_line(error)})") from None


def _layout(shape: tuple[int, ...], tensor: bool, what: str) -> str:
    """Return the layout of four axes, or raise ``InvalidValue``; see ``Images.of``."""
    first, last = shape[1] in _CHANNELS, shape[3] in _CHANNELS
    if last and not (first and tensor):
        return LAYOUTS[0]
    if tensor and first and not last:
        return LAYOUTS[1]
    if not tensor and not (first and shape[1] != shape[2]):
        return LAYOUTS[0]
    which = " or ".join(f"layout={name!r}" for name in LAYOUTS)
    allowed = f"{_SHAPES[4]}, or to say which axis is the channels: {which}"
    raise InvalidValue(what, f"{'a tensor' if tensor else 'an array'} of shape {shape}", allowed)


class Inputs(Protocol):
    """Anything that turns row ids into tensors."""

    def batch(self, index: Any, dtype: torch.dtype = ..., device: Any = ...) -> Tensor:
        """Return the inputs of ``index``, (m, ...)."""


@dataclass(frozen=True)
class Examples:
    """Inputs with their targets, given out in batches; may be walked through again and again.

    Attributes:
        x: The inputs.
        y: (rows,) targets, one for each input, as the loss takes them: class numbers from 0 (whole numbers of
            any type are kept as int64) or real numbers; a tensor, or an array that becomes one.
        rows: (m,) ids of the rows to give out, in this order; no mask.
        size: Rows in a batch.
        dtype: Of the inputs.
        device: Where the tensors lie.

    Raises:
        InvalidValue: An attribute is not as above; the message names it.
    """

    x: Inputs
    y: Tensor
    rows: NDArray[np.int64]
    size: int = 512
    dtype: torch.dtype = torch.float32
    device: Any = "cpu"

    def __post_init__(self) -> None:
        if not callable(getattr(self.x, "batch", None)):
            raise InvalidValue("x", f"a {type(self.x).__name__}", "inputs, such as Images.of(array)")
        object.__setattr__(self, "y", _targets(self.y))
        count = len(self.x) if isinstance(self.x, Sized) else len(self.y)
        if len(self.y) != count:
            raise InvalidValue("y", f"{len(self.y)} targets", f"{count}, one for each input")
        object.__setattr__(self, "rows", row_ids(self.rows, count, distinct=False))
        require_count("size", self.size)
        if not isinstance(self.dtype, torch.dtype) or not self.dtype.is_floating_point:
            raise InvalidValue("dtype", self.dtype, "a torch type of real numbers, such as torch.float32")
        try:
            torch.device(self.device)
        except (RuntimeError, TypeError) as error:
            raise InvalidValue("device", self.device, f"a torch device ({last_line(error)})") from None

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(self.rows), self.size):
            yield self.take(self.rows[start : start + self.size])

    def take(self, rows: Any) -> Taken:
        """Return inputs and targets of some rows, whether or not ``self.rows`` has them.

        Raises:
            InvalidValue: ``rows`` are not ids of rows that there are.
        """
        index = row_ids(rows, len(self.y), distinct=False)
        there = torch.from_numpy(index).to(self.y.device, non_blocking=True)
        x = self.x.batch(there if getattr(self.x, "near", False) else index, self.dtype, self.device)
        return Taken(x, self.y[there].to(self.device), index)

    def at(self, there: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of rows whose ids are where they are themselves: nobody looks at them."""
        return self.x.batch(there, self.dtype, self.device), self.y.index_select(0, there)

    def only(self, rows: Any) -> Examples:
        """Return the same examples with other rows to give out."""
        return replace(self, rows=rows)


class Taken(tuple[Tensor, Tensor]):
    """Inputs and targets, a pair, with the ids of the rows that they are, ``rows`` (m,)."""

    rows: NDArray[np.int64]

    def __new__(cls, x: Tensor, y: Tensor, rows: NDArray[np.int64]) -> Taken:
        """Make a pair."""
        made = super().__new__(cls, (x, y))
        made.rows = rows
        return made


def _targets(y: Any) -> Tensor:
    """Return targets as a tensor, whole numbers as int64."""
    try:
        stored = y if isinstance(y, Tensor) else np.asarray(y)
        if isinstance(stored, np.ndarray):  # torch knows no other order of bytes
            stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
        targets = torch.as_tensor(stored).detach()
    except (TypeError, ValueError) as error:
        kind = f"{type(y).__name__} of {getattr(y, 'dtype', 'mixed type')}"
        raise InvalidValue("y", kind, f"numbers, one for each input ({last_line(error)})") from None
    if targets.ndim != 1 or targets.is_complex():
        got = f"{targets.dtype} of shape {tuple(targets.shape)}"
        raise InvalidValue("y", got, "real numbers of shape (rows,), one for each input")
    if targets.is_floating_point():
        if not torch.isfinite(targets).all():
            raise InvalidValue("y", "NaN or infinity", "finite targets")
        return targets
    return targets.to(torch.int64)
