"""Inputs of a network: stored arrays that become tensors a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expunge.core.errors import DataError, InvalidValue
from expunge.core.hashing import sha256_of

_LAYOUTS = {2: "(rows, features)", 3: "(rows, height, width)", 4: "(rows, height, width, channels)"}
_BLOCK = 4096


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

    @classmethod
    def of(cls, x: Any, unit: float = 1.0, offset: float = 0.0, what: str = "inputs") -> Images:
        """Return an array, a tensor or images, which stay as they are, as inputs that messages call ``what``.

        Raises:
            InvalidValue: ``x`` is not an array of numbers of one of the three layouts.
            DataError: A row holds NaN or infinity.
        """
        if isinstance(x, Images):
            return x
        raw = x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)
        real = np.issubdtype(raw.dtype, np.integer) or np.issubdtype(raw.dtype, np.floating)
        if raw.ndim not in _LAYOUTS or not real or 0 in raw.shape[1:]:
            got = f"{raw.dtype} of shape {raw.shape}"
            raise InvalidValue(what, got, "real numbers of shape " + " or ".join(_LAYOUTS.values()))
        if np.issubdtype(raw.dtype, np.floating):
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
        """Return the inputs of ``index``, (m, ...)."""
        stored = np.ascontiguousarray(self.raw[index])
        stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)  # torch knows no other order
        chosen = torch.from_numpy(stored).to(device)
        chosen = chosen.reshape(len(chosen), *self.raw.shape[1:]).to(dtype) / self.unit - self.offset
        if self.raw.ndim == 3:
            return chosen[:, None]
        return chosen.permute(0, 3, 1, 2).contiguous() if self.raw.ndim == 4 else chosen

    def digest(self) -> str:
        """SHA-256 of all that a network trained on these inputs could depend on."""
        kind = repr((self.raw.shape, self.raw.dtype.str, self.unit, self.offset)).encode()
        starts = range(0, len(self.raw), _BLOCK)
        blocks = (np.ascontiguousarray(self.raw[start : start + _BLOCK]) for start in starts)
        return sha256_of(chain([kind], blocks))


class Inputs(Protocol):
    """Anything that turns row ids into tensors."""

    def batch(self, index: Any, dtype: torch.dtype = ..., device: Any = ...) -> Tensor:
        """Return the inputs of ``index``, (m, ...)."""


@dataclass(frozen=True)
class Examples:
    """Inputs with their targets, given out in batches; may be walked through again and again.

    Attributes:
        x: The inputs.
        y: (rows,) int64 targets, as the loss takes them (class numbers from 0).
        rows: (m,) ids of the rows to give out, in this order.
        size: Rows in a batch.
        dtype: Of the inputs.
        device: Where the tensors lie.
    """

    x: Inputs
    y: Tensor
    rows: NDArray[np.int64]
    size: int = 512
    dtype: torch.dtype = torch.float32
    device: Any = "cpu"

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(self.rows), self.size):
            yield self.take(self.rows[start : start + self.size])

    def take(self, rows: Any) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of some rows, whether or not ``self.rows`` has them."""
        index = np.asarray(rows, dtype=np.int64)
        return self.x.batch(index, self.dtype, self.device), self.y[torch.from_numpy(index)].to(self.device)

    def only(self, rows: Any) -> Examples:
        """Return the same examples with other rows to give out."""
        return replace(self, rows=np.asarray(rows, dtype=np.int64))
