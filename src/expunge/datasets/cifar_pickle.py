"""CIFAR's batches are pickles: read here without letting a file call or import anything.

The one array of a batch is made of what the file asks for (see ``expunge.core.records``), once its bytes have
been found to be what a batch holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import DataError, last_line
from expunge.core.pickles import RecordReader
from expunge.core.records import Record
from expunge.core.regular import open_regular

_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"),  # as numpy 1 and Python 2 wrote it
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),  # bytes, in pickles of protocol 2 written by Python 3
}
_SIDE, _CHANNELS = 32, 3
_PIXELS = _CHANNELS * _SIDE * _SIDE


class _Reader(RecordReader):
    def __init__(self, file: IO[bytes], path: Path) -> None:
        super().__init__(file)
        self._path = path

    def find_class(self, module: str, name: str) -> type[Record]:
        if (module, name) in _NAMES:
            return super().find_class(module, name)
        asked = f"{module}.{name}"[:80]
        raise DataError(f"{self._path}: refused, it asks for {asked!r}, which no file of images needs")


def read_batch(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the images (n, 32, 32, 3) and labels (n,) of a batch of CIFAR-10; see ``read_images``."""
    x, (y,) = read_images(path, "CIFAR-10", {"labels": 10})
    return x, y


def read_images(
    path: Path, kind: str, labels: Mapping[str, int]
) -> tuple[NDArray[np.uint8], list[NDArray[np.int64]]]:
    """Return the images (n, 32, 32, 3) of a batch, in its order, and its lists of labels, (n,) each.

    Args:
        path: A pickled dictionary with ``data``, (n, 3072) uint8 (red, then green, then blue, each row by
            row), and lists of n whole numbers from 0. Other entries are ignored.
        kind: What messages call its data set.
        labels: Names of these lists, and how many classes each has; they are returned in this order.

    Raises:
        DataError: The file cannot be read, asks for anything but a numpy array, or holds something else.
    """
    entries = _entries(path, kind)
    try:
        if not isinstance(entries, dict) or not {"data", *labels} <= entries.keys():
            raise ValueError("no dictionary with data and " + " and ".join(labels))
        x = _pixels(entries["data"])
        found = [_labels(entries[name], classes) for name, classes in labels.items()]
        for y in found:
            if len(x) != len(y):
                raise ValueError(f"{len(x)} images, but {len(y)} labels")
    except ValueError as error:
        most = " and ".join(f"{name} from 0 to {classes - 1}" for name, classes in labels.items())
        raise DataError(
            f"{path}: not a batch of {kind} ({last_line(error)}), "
            f"allowed: data of shape (rows, {_PIXELS}), uint8, and as many {most}"
        ) from None
    images = x.reshape(-1, _CHANNELS, _SIDE, _SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), found


def read_names(path: Path, kind: str, wanted: Mapping[str, int]) -> list[list[str]]:
    """Return lists of names out of a file of names.

    Args:
        path: A pickled dictionary with these lists of text. Other entries are ignored.
        kind: What messages call its data set.
        wanted: Names of the lists, and how many different names each has; they are returned in this order.

    Raises:
        DataError: As of ``read_images``; or a list has other names, or too few or too many.
    """
    entries = _entries(path, kind)
    if isinstance(entries, dict):
        lists = [entries.get(name) for name in wanted]
        if all(_are_names(found, count) for found, count in zip(lists, wanted.values(), strict=True)):
            return [list(map(str, found or ())) for found in lists]
    allowed = " and ".join(f"{count} different {name}" for name, count in wanted.items())
    raise DataError(f"{path}: not the names of {kind}, allowed: {allowed}")


def _are_names(found: Any, count: int) -> bool:
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        return False
    return len(found) == len(set(found)) == count


def _entries(path: Path, kind: str) -> Any:
    """What a pickle holds, without a name of it being called."""
    try:
        with open_regular(path) as file:
            return _Reader(file, path).load()
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # damaged pickles raise all sorts
        raise DataError(f"{path}: not a batch of {kind}, or cut short ({last_line(error)})") from None


def _pixels(array: Any) -> NDArray[np.uint8]:
    """(n, 3072), from the state that numpy gives an array in a pickle."""
    match array:
        case Record(state=(_, shape, Record(arguments=("u1" | "|u1", *_)), by_column, content)):
            pixels = np.frombuffer(_bytes(content), np.uint8)
        case _:
            raise ValueError("data that are no array of uint8")
    rows = len(pixels) // _PIXELS
    if rows == 0 or shape != (rows, _PIXELS) or pixels.size != rows * _PIXELS:
        raise ValueError(f"data of another shape, in {pixels.size} bytes")
    return pixels.reshape(rows, _PIXELS, order="F" if by_column else "C")


def _bytes(content: Any) -> bytes:
    match content:
        case bytes():
            return content
        # Strings of Python 2, and bytes that Python 3 wrote in protocol 2.
        case (str() as text) | Record(arguments=(str() as text, "latin1")):
            return text.encode("latin1")
        case _:
            raise ValueError("data that are no bytes")


def _labels(labels: Any, classes: int) -> NDArray[np.int64]:
    if not isinstance(labels, list):
        raise ValueError("labels that are no list")
    if not all(type(label) is int and 0 <= label < classes for label in labels):
        raise ValueError("a label that is none")
    return np.array(labels, dtype=np.int64)
