"""The IDX format of MNIST's four files: a magic number, the dimensions (big-endian), then the bytes."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import DataError

_UNSIGNED_BYTE = 8  # the third byte of the magic number; the fourth is the number of dimensions


def read_idx(path: Path, ndim: int) -> NDArray[np.uint8]:
    """Return the bytes of an IDX file, gzipped where its name ends in ``.gz``, as an array.

    It must have ``ndim`` dimensions: 3 for images, 1 for labels.

    Raises:
        DataError: The file is missing, damaged or another kind of file.
    """
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            content = bytearray(file.read())  # mutable: the array over it is an ordinary writable one
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read, it may be damaged ({error})") from None
    magic = int.from_bytes(content[:4], "big")
    expected = _UNSIGNED_BYTE << 8 | ndim
    if magic != expected or len(content) < 4 + 4 * ndim:
        got = f"not an IDX file of {ndim}-d bytes: magic number {magic}"
        raise DataError(f"{path}: {got}, allowed: {expected}")
    shape = struct.unpack_from(f">{ndim}I", content, 4)
    found, promised = len(content) - 4 - 4 * ndim, math.prod(shape)
    if found != promised:
        raise DataError(f"{path}: damaged: its header promises {promised} bytes, {found} follow")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * ndim).reshape(shape)


def read_images(images: Path, labels: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the images (n, rows, columns) and the labels (n,) of a pair of IDX files.

    Raises:
        DataError: A file cannot be read, or their numbers of entries differ.
    """
    x, y = read_idx(images, 3), read_idx(labels, 1)
    if len(x) != len(y):
        raise DataError(f"{labels}: holds {len(y)} labels, but {images.name} holds {len(x)} images")
    return x, y
