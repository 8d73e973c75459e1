"""Arrays of numbers in MATLAB files of version 5, of which nothing is trusted.

scipy's compiled reader can crash the process on a damaged file. This one reads what data sets are made of:
full real arrays of numbers, compressed or not, little-endian.

A file is a header of 128 bytes and elements: kind and length (4 bytes each, or 2 bytes each where the data
fit into 4), data, and zeros up to a multiple of 8. An array is an element of four: flags, dimensions, name,
numbers.
"""

from __future__ import annotations

import struct
import zlib
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import DataError
from expunge.core.packed import pieces, require_unpackable
from expunge.core.regular import open_regular, size_of

_HEADER, _VERSION = 128, b"\x00\x01IM"
_INT8, _INT32, _UINT32, _ARRAY, _COMPRESSED = 1, 5, 6, 14, 15
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMBERS = range(6, 16)  # classes of arrays: double to uint64
_COMPLEX = 0x08
_MOST_ELEMENTS, _MOST_DIMENSIONS = 10_000, 32
_LONGEST_HEAD = 4096  # of an array: tags, flags, dimensions and name


class _Damaged(Exception):
    """What is wrong with the bytes."""


class _Element(NamedTuple):
    """Data of ``kind``; ``end`` is where the next element begins in the buffer that it was read from."""

    kind: int
    data: memoryview
    end: int


def read_array(path: Path, name: str, allowed: str) -> NDArray[np.generic]:
    """Return the array called ``name``, in the type it is stored in; the others are passed over.

    The error message calls the arrays of such files ``allowed``.

    Raises:
        DataError: The file cannot be opened, is of another kind or damaged, or has no such array.
    """
    try:
        with open_regular(path) as file:
            content = np.memmap(file, np.uint8, "r", shape=size_of(file)).data
        if bytes(content[_HEADER - 4 : _HEADER]) != _VERSION:
            raise _Damaged("it is no MATLAB file of version 5")
        at = _HEADER
        for _ in range(_MOST_ELEMENTS):
            if at >= len(content):
                break
            element = _element(content, at)
            found = _array(element, name)
            if found is not None:
                return found
            at = element.end
        else:
            raise _Damaged(f"more than {_MOST_ELEMENTS} elements")
    except (_Damaged, OSError, ValueError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read, it may be damaged ({error})") from None
    raise DataError(f"{path}: holds no array {name}, it may be cut short, allowed: {allowed}")


def _element(buffer: memoryview, at: int, whole: bool = True) -> _Element:
    """The element at ``at``; unless ``whole``, its data may go on beyond the buffer."""
    if at + 8 > len(buffer):
        raise _Damaged("it ends within a tag")
    kind, size = struct.unpack_from("<II", buffer, at)
    begin, end = at + 8, at + 8 + size
    if kind >> 16:  # the short form
        kind, size = kind & 0xFFFF, kind >> 16
        begin, end = at + 4, at + 8
        if size > 4:
            raise _Damaged(f"a short element of {size} bytes")
    elif kind != _COMPRESSED:
        end += -size % 8
    if whole and begin + size > len(buffer):
        raise _Damaged("it is cut short")
    return _Element(kind, buffer[begin : begin + size], end)


def _array(element: _Element, name: str) -> NDArray[np.generic] | None:
    """The numbers of an array called ``name``; None for any other element."""
    if element.kind == _COMPRESSED:
        # The head first: what has another name is not unpacked.
        head = memoryview(zlib.decompressobj().decompress(element.data, _LONGEST_HEAD))
        packed = _element(head, 0, whole=False)
        if packed.kind != _ARRAY or _named(packed.data)[0] != name:
            return None
        (size,) = struct.unpack_from("<I", head, 4)
        dims = _named(packed.data)[1]
        if size > _LONGEST_HEAD + 8 * prod(dims):
            raise _Damaged(f"{name} is longer than an array of its shape")
        require_unpackable(len(element.data), size + 8)
        element = _element(_unpacked(element.data, size + 8), 0)
    if element.kind != _ARRAY:
        return None
    found, dims, at = _named(element.data)
    if found != name:
        return None
    numbers = _element(element.data, at)
    if numbers.kind not in _TYPES:
        raise _Damaged(f"{name} holds numbers of an unknown kind, {numbers.kind}")
    dtype = np.dtype(f"<{_TYPES[numbers.kind]}")
    if len(numbers.data) != prod(dims) * dtype.itemsize:
        raise _Damaged(f"{name} is not as long as its shape {dims} says")
    return np.frombuffer(numbers.data, dtype).reshape(dims, order="F")


def _unpacked(packed: memoryview, size: int) -> memoryview:
    """The ``size`` bytes that are packed, a piece at a time: no second copy is held."""
    out, end = np.empty(size, np.uint8).data, 0  # which takes memory as it is filled
    for piece in pieces(packed, size):
        out[end : end + len(piece)] = piece
        end += len(piece)
    return out


def _named(array: memoryview) -> tuple[str, tuple[int, ...], int]:
    """Name and dimensions of an array, and where its numbers begin; the name is empty for other arrays."""
    flags = _element(array, 0)
    dims = _element(array, flags.end)
    name = _element(array, dims.end)
    if (flags.kind, len(flags.data), dims.kind, name.kind) != (_UINT32, 8, _INT32, _INT8):
        raise _Damaged("an array without flags, dimensions or name")
    shape = tuple(np.frombuffer(dims.data, "<i4").tolist())
    if min(shape, default=-1) < 0 or len(shape) > _MOST_DIMENSIONS:
        raise _Damaged(f"an array of shape {shape[: _MOST_DIMENSIONS + 1]}")
    plain = flags.data[0] in _NUMBERS and not flags.data[1] & _COMPLEX
    return (bytes(name.data).decode("latin-1") if plain else ""), shape, name.end
