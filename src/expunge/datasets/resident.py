"""Inputs that lie on a GPU as they are stored: batches are cut there, and nothing is sent for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from expunge.core.gpu_memory import has_room
from expunge.core.row_ids import row_ids
from expunge.datasets.images import Examples, Images

_SHARE = 0.5  # of a GPU's free memory: the rest is the network's
_BLOCK = 1 << 26  # bytes sent, and numbers checked, at a time
_KINDS = {
    np.dtype(kind) for kind in ("u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
}  # torch cuts all of them


@dataclass(frozen=True)
class Resident:
    """The same inputs as ``images``, in the same numbers.

    Attributes:
        images: As they were given.
        raw: Theirs, on the device.
        dtype: Of the inputs that are given out; all of them are finite in it.
    """

    images: Images
    raw: Tensor
    dtype: torch.dtype
    near: ClassVar = True

    @classmethod
    def of(cls, images: Images, dtype: torch.dtype, device: torch.device) -> Resident | None:
        """Send images to a device; None where there is no room, or a number is not finite in ``dtype``."""
        raw = images.raw
        kind = raw.dtype.newbyteorder("=")
        if kind not in _KINDS or not len(raw) or not has_room(device, raw.nbytes, _SHARE):
            return None
        there = torch.empty(raw.shape, dtype=torch.from_numpy(np.empty(0, kind)).dtype, device=device)
        finite = torch.ones((), dtype=torch.bool, device=device)
        step = max(1, _BLOCK // max(1, raw[0].size * 8))
        for start in range(0, len(raw), step):
            part = there[start : start + step]
            part.copy_(torch.from_numpy(np.ascontiguousarray(raw[start : start + step], dtype=kind)))
            finite &= torch.isfinite(_scaled(part, images, dtype)).all()
        return cls(images, there, dtype) if bool(finite) else None

    def __len__(self) -> int:
        return len(self.raw)

    def batch(self, index: Any, dtype: torch.dtype = torch.float32, device: Any = "cpu") -> Tensor:
        """Return the inputs of ``index``, (m, ...): ids, or a tensor on the device that is taken as it is."""
        if not isinstance(index, Tensor):
            rows = torch.from_numpy(row_ids(index, len(self), distinct=False))
            index = rows.to(self.raw.device, non_blocking=True)
        if dtype != self.dtype:
            return self.images.batch(index.cpu().numpy(), dtype, device)
        return self.images.arranged(_scaled(self.raw.index_select(0, index), self.images, dtype)).to(device)


def _scaled(raw: Tensor, images: Images, dtype: torch.dtype) -> Tensor:
    return raw.to(dtype) / images.unit - images.offset


def resident(examples: Examples, device: torch.device, passes: int) -> Examples:
    """The same examples with inputs and targets on a GPU, where they fit and so many passes are worth it.

    Anything else is returned as it is, with ``device``: on the CPU, or inputs that are not ``Images``.
    """
    placed = Examples(examples.x, examples.y, examples.rows, examples.size, examples.dtype, device)
    worth = passes * len(examples) >= len(examples.y)
    if device.type != "cuda" or not isinstance(examples.x, Images) or not worth:
        return placed
    inputs = Resident.of(examples.x, examples.dtype, device)
    if inputs is None:
        return placed
    return Examples(inputs, examples.y.to(device), examples.rows, examples.size, examples.dtype, device)
