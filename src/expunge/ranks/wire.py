"""Messages between two processes of torch.distributed: a header of numbers, then arrays as they lie there.

What an array is (its type, shape and order) is in the header, from a list that both sides know: nothing that
comes is ever unpickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TYPES = [np.dtype(name) for name in ("uint8", "float16", "float32", "float64", "int64", "bool")]
_NUMBERS, _ARRAYS, _AXES = 24, 8, 4
_PER_ARRAY = 3 + _AXES
_HEADER = 3 + _NUMBERS + _ARRAYS * _PER_ARRAY
_PIECE = 1 << 24  # bytes that are sent at a time: what is mapped or read-only is copied, so much at once


class Unreadable(Exception):
    """A message is none."""


@dataclass(frozen=True)
class Message:
    """``what`` it is, whole numbers, and arrays."""

    what: int
    numbers: Sequence[int] = ()
    arrays: Sequence[NDArray[Any]] = ()


def send(message: Message, to: int) -> None:
    """Send it to another rank, and return when it is there.

    Raises:
        RuntimeError: The other process is gone.
    """
    header = np.zeros(_HEADER, dtype=np.int64)
    header[:3] = message.what, len(message.numbers), len(message.arrays)
    header[3 : 3 + len(message.numbers)] = message.numbers
    laid_out = [_laid_out(array) for array in message.arrays]
    for k, (array, turned) in enumerate(laid_out):
        at = 3 + _NUMBERS + k * _PER_ARRAY
        said = (_TYPES.index(array.dtype), int(turned), array.ndim, *array.shape)
        header[at : at + len(said)] = said
    _send_bytes(header, to)
    for array, _ in laid_out:
        _send_bytes(array, to)


def receive(source: int) -> Message:
    """Wait for a message of another rank.

    Raises:
        RuntimeError: The other process is gone.
        Unreadable: What came is no message.
    """
    header = np.empty(_HEADER, dtype=np.int64)
    _receive_bytes(header, source)
    what, count, arrays = header[:3].tolist()
    if not (0 <= count <= _NUMBERS and 0 <= arrays <= _ARRAYS):
        raise Unreadable(f"rank {source} has sent {count} numbers and {arrays} arrays")
    found = []
    for k in range(arrays):
        at = 3 + _NUMBERS + k * _PER_ARRAY
        kind, turned, axes, *shape = header[at : at + _PER_ARRAY].tolist()
        if not (0 <= kind < len(_TYPES) and 0 <= axes <= _AXES and all(side >= 0 for side in shape)):
            raise Unreadable(f"rank {source} has sent an array of no known kind")
        array = np.empty(shape[:axes], dtype=_TYPES[kind])
        _receive_bytes(array, source)
        found.append(array.T if turned else array)
    return Message(what, header[3 : 3 + count].tolist(), found)


def text(words: str) -> NDArray[np.uint8]:
    """Words as an array."""
    return np.frombuffer(words.encode(), dtype=np.uint8)


def words(array: NDArray[Any]) -> str:
    """Words of an array."""
    return array.tobytes().decode(errors="replace")


def _laid_out(array: NDArray[Any]) -> tuple[NDArray[Any], bool]:
    """An array in C order, and whether that is its transpose: products may round by how a factor lies."""
    turned = array.flags.f_contiguous and not array.flags.c_contiguous
    return np.ascontiguousarray(array.T if turned else array), turned


def _send_bytes(array: NDArray[Any], to: int) -> None:
    import torch
    import torch.distributed as dist

    flat: NDArray[np.uint8] = array.reshape(-1).view(np.uint8)
    for start in range(0, len(flat), _PIECE):
        piece = flat[start : start + _PIECE]
        dist.send(torch.from_numpy(piece if piece.flags.writeable else piece.copy()), to)


def _receive_bytes(array: NDArray[Any], source: int) -> None:
    import torch
    import torch.distributed as dist

    if not prod(array.shape):
        return
    flat: NDArray[np.uint8] = array.reshape(-1).view(np.uint8)
    for start in range(0, len(flat), _PIECE):
        dist.recv(torch.from_numpy(flat[start : start + _PIECE]), source)
