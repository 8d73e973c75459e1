"""Rows of a torch ``Dataset`` or ``DataLoader``, read once and kept in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from expunge.core.errors import DataError, InvalidValue, last_line
from expunge.datasets.images import Images

_AT_ONCE = 256  # rows of a Dataset
_SOURCE = "a DataLoader or Dataset of (x, y)"
_PAIR = "pairs (x, y) of tensors: x (m, ...) real numbers, y (m,) class numbers"


@dataclass(frozen=True)
class AsGiven(Images):
    """Inputs (n, ...) of any number of axes, which reach a network in the order in which they lie."""

    def __post_init__(self) -> None:
        return  # read by this module, which looks at each batch

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return self.raw.shape[1:]

    def arranged(self, chosen: Tensor) -> Tensor:
        """Return inputs as they are."""
        return chosen


@dataclass(frozen=True)
class Read:
    """What a source gave, batch by batch.

    Attributes:
        x: Inputs of each batch, (m, ...), on the CPU.
        y: Their class numbers, (m,) int64.
    """

    x: list[NDArray[Any]]
    y: list[NDArray[np.int64]]

    def __len__(self) -> int:
        return sum(map(len, self.y))


def read(source: Any, name: str) -> Read:
    """Walk once through a source that messages call ``name``: what it draws, as an order, it draws once.

    Args:
        source: A ``Dataset`` of (x, y), or a ``DataLoader`` (any iterable) of batches (x, y): floating-point
            tensors (m, ...), such as (m, channels, height, width), and m class numbers; on any device.
        name: The argument's name.

    Raises:
        InvalidValue: It is nothing of the kind, gives no row, or leaves some out (``drop_last``).
        DataError: A row holds NaN or infinity.
    """
    found = Read([], [])
    for batch in _batches(source, name):
        x, y = _pair(batch, name)
        if found.x and x.shape[1:] != found.x[0].shape[1:]:
            got = f"inputs of shape {tuple(x.shape[1:])} after {found.x[0].shape[1:]}"
            raise InvalidValue(name, got, "inputs of one shape")
        finite = torch.isfinite(x).flatten(1).all(dim=1)
        if not finite.all():
            row = len(found) + int((~finite).nonzero()[0])
            raise DataError(f"{name}: row {row} holds NaN or infinity")
        found.x.append(_array(x))
        found.y.append(_array(y.to(torch.int64)))
    if not len(found):
        raise InvalidValue(name, "no row", f"{_SOURCE}, one row at least")
    return found


def joined(parts: Sequence[Read]) -> tuple[AsGiven, NDArray[np.int64]]:
    """Return the rows of several sources one after the other: inputs (n, ...) and class numbers (n,).

    Raises:
        InvalidValue: Their inputs have different shapes.
    """
    shapes = list(dict.fromkeys(part.x[0].shape[1:] for part in parts))
    if len(shapes) > 1:
        raise InvalidValue("inputs", f"shapes {shapes[0]} and {shapes[1]}", "one shape for all rows")
    x = np.concatenate([batch for part in parts for batch in part.x])
    return AsGiven(x), np.concatenate([batch for part in parts for batch in part.y])


def _batches(source: Any, name: str) -> Iterator[Any]:
    if isinstance(source, Dataset):
        try:
            yield from DataLoader(source, batch_size=_AT_ONCE)
        except TypeError as error:  # what torch cannot put into a batch, an image that is no tensor
            raise InvalidValue(name, type(source).__name__, f"{_SOURCE} ({last_line(error)})") from error
        return
    if isinstance(source, (Tensor, str, bytes, dict)) or not isinstance(source, Iterable):
        raise InvalidValue(name, type(source).__name__, _SOURCE)
    if any(
        getattr(part, "drop_last", False) is True for part in (source, getattr(source, "batch_sampler", 0))
    ):
        raise InvalidValue(name, "drop_last=True", "a DataLoader that gives every row (drop_last=False)")
    yield from source


def _pair(batch: Any, name: str) -> tuple[Tensor, Tensor]:
    """Inputs and targets of a batch, or ``InvalidValue``."""
    if not isinstance(batch, (list, tuple)) or len(batch) != 2:
        count = f" of {len(batch)}" if isinstance(batch, (list, tuple)) else ""
        raise InvalidValue(name, f"a batch that is a {type(batch).__name__}{count}", _PAIR)
    x, y = batch
    if not isinstance(x, Tensor) or not isinstance(y, Tensor):
        raise InvalidValue(name, f"a batch of {type(x).__name__} and {type(y).__name__}", _PAIR)
    whole = not (y.is_floating_point() or y.is_complex() or y.dtype == torch.bool)
    if not (x.is_floating_point() and whole and x.ndim > 1 and y.ndim == 1 and len(x) == len(y)):
        got = f"a batch of {x.dtype} {tuple(x.shape)} and {y.dtype} {tuple(y.shape)}"
        raise InvalidValue(name, got, _PAIR)
    return x, y


def _array(tensor: Tensor) -> NDArray[Any]:
    """The numbers on the CPU, a copy: loaders may use a batch's memory again."""
    there = tensor.detach().to("cpu", copy=True)  # NumPy has no bfloat16: float32 holds the same numbers
    return np.asarray((there.float() if there.dtype == torch.bfloat16 else there).contiguous().numpy())
