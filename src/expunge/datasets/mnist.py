"""MNIST and its likes: 60,000 training and 10,000 test images, downloaded by torchvision on first use.

A data set of the same four files (Fashion-MNIST, Kuzushiji-MNIST) needs no code: a YAML that names it.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import require_choice, require_name, require_switch
from expunge.core.errors import DataError
from expunge.core.homes import expanded
from expunge.core.packed import require_unpackable
from expunge.core.regular import open_regular, size_of
from expunge.datasets import vision
from expunge.datasets.base import Dataset, require_offset
from expunge.datasets.coarse import of_digits
from expunge.datasets.corrupting import corrupted
from expunge.datasets.names import require_several

_VARIANTS = ("MNIST", "FashionMNIST", "KMNIST")
_UNSIGNED_BYTE = 8  # the third byte of IDX's magic number; the fourth is the number of dimensions
# MD5 of each file as downloaded (torchvision.datasets.MNIST.resources) and as torchvision unpacks it.
_FILES = {
    "train-images-idx3-ubyte": ("f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
    "train-labels-idx1-ubyte": ("d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"),
    "t10k-images-idx3-ubyte": ("9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"),
    "t10k-labels-idx1-ubyte": ("ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"),
}


def load(
    data_dir: Any,
    offset: float = 0.5,
    classes: Sequence[Any] | None = None,
    check_integrity: bool = True,
    train_rows: int | None = None,
    labels: str | None = None,
    poison: Mapping[str, Any] | None = None,
    mislabel: Mapping[str, Any] | None = None,
) -> Dataset:
    """Return MNIST: images (28, 28) uint8, labelled 0 to 9, as ``load_variant`` does, in ``MNIST/raw/``.

    ``labels=parity`` makes ``even`` and ``odd`` the classes (see ``of_digits``).
    """
    digits = list(map(str, range(10)))
    whole = load_variant(data_dir, "MNIST", "mnist", digits, offset, check_integrity=check_integrity)
    return corrupted(of_digits(whole, labels).only(classes).first(train_rows), poison, mislabel)


def load_variant(
    data_dir: Any,
    variant: str,
    name: str,
    class_names: Sequence[str],
    offset: float = 0.5,
    classes: Sequence[Any] | None = None,
    check_integrity: bool = True,
    train_rows: int | None = None,
    poison: Mapping[str, Any] | None = None,
    mislabel: Mapping[str, Any] | None = None,
) -> Dataset:
    """Return a data set stored like MNIST: images (28, 28) uint8, rows in the files' order.

    The ``.gz`` files are read as they are, so that ``data_dir`` may be read-only and torchvision is imported
    only where it has something to download.

    Of other variants than MNIST, the MD5s are torchvision's, and it has those of the ``.gz`` files alone:
    unpacked ones are read only without ``check_integrity``.

    Its files are in ``<variant>/raw/``, where ``variant`` is the class in ``torchvision.datasets``: MNIST,
    FashionMNIST or KMNIST. ``name`` is the data set's, ``class_names`` are what labels 0, 1, ... are called.
    ``poison`` and ``mislabel`` are those of ``corrupted``.
    """
    offset, check = require_offset(offset), require_switch("check_integrity", check_integrity)
    name = require_name("name", name)
    raw = Path(require_choice("variant", variant, _VARIANTS), "raw")
    several = require_several("class_names", class_names, "a list of two or more different names")
    names = list(map(str, several))
    root = expanded(data_dir)
    md5s = _md5s(variant) if check else None
    wanted = [_path(root / raw, file, md5s) for file in _FILES]
    files = {path.relative_to(root).as_posix(): (md5s or {}).get(path.name, "") for path in wanted}
    vision.obtain(variant, root, files, check)
    train, test = (_split(root / raw, split, md5s, len(names)) for split in ("train", "t10k"))
    dataset = Dataset(name, *train, *test, dict(enumerate(names)), unit=255.0, offset=offset)
    return corrupted(dataset.only(classes).first(train_rows), poison, mislabel)


def _md5s(variant: str) -> dict[str, str]:
    """File name -> MD5, as far as the originals' are known."""
    if variant != "MNIST":
        return vision.resources(variant)
    packed = {f"{file}.gz": md5 for file, (md5, _) in _FILES.items()}
    return packed | {file: md5 for file, (_, md5) in _FILES.items()}


def _path(raw: Path, file: str, md5s: Mapping[str, str] | None) -> Path:
    """The unpacked ``file`` where torchvision left one in ``raw`` (it opens faster), else the original.

    Raises:
        DataError: There is but an unpacked file, and no telling whether it is the original.
    """
    plain, packed = raw / file, raw / f"{file}.gz"
    if not plain.is_file():
        return packed
    if md5s is None or file in md5s:
        return plain
    if not packed.is_file():
        raise DataError(
            f"{plain}: only the MD5 of the original {packed.name} is known; put {packed.name} into {raw}, or "
            "set dataset.check_integrity=false"
        )
    return packed


def _split(
    raw: Path, split: str, md5s: Mapping[str, str] | None, classes: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    images, labels = (_path(raw, f"{split}-{kind}-ubyte", md5s) for kind in ("images-idx3", "labels-idx1"))
    x, y = read_idx(images, 3), read_idx(labels, 1)
    if len(x) != len(y):
        raise DataError(f"{labels}: holds {len(y)} labels, but {images.name} holds {len(x)} images")
    if y.max(initial=0) >= classes:
        raise DataError(f"{labels}: holds the label {y.max()}, allowed: 0 to {classes - 1}")
    return x, y.astype(np.int64)


def read_idx(path: Path, ndim: int) -> NDArray[np.uint8]:
    """Return the bytes of an IDX file, gzipped where its name ends in ``.gz``, as an array.

    The format is a magic number, the dimensions (big-endian), then the bytes. There must be ``ndim``
    dimensions: 3 for images, 1 for labels.

    Raises:
        DataError: The file is missing, damaged or another kind of file.
    """
    try:
        with open_regular(path) as file:
            packed = path.suffix == ".gz"
            opened: Any = gzip.GzipFile(fileobj=file) if packed else file
            return _idx(path, opened, size_of(file), packed, ndim)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read, it may be damaged ({reason})") from None


def _idx(path: Path, file: Any, size: int, packed: bool, ndim: int) -> NDArray[np.uint8]:
    """The array in an open file of ``size`` bytes, unless there is no room for what its header promises."""
    head = file.read(4 + 4 * ndim)
    magic = int.from_bytes(head[:4], "big")
    expected = _UNSIGNED_BYTE << 8 | ndim
    if magic != expected or len(head) < 4 + 4 * ndim:
        got = f"not an IDX file of {ndim}-d bytes: magic number {magic}"
        raise DataError(f"{path}: {got}, allowed: {expected}")
    shape = struct.unpack_from(f">{ndim}I", head, 4)
    promised = math.prod(shape)
    said = f"{path}: damaged: its header promises {promised} bytes"
    if not packed and size - len(head) != promised:
        raise DataError(f"{said}, {size - len(head)} follow")
    try:
        require_unpackable(size, promised)
    except ValueError as error:
        raise DataError(f"{said}, {error}") from None
    found, end = np.empty(promised, np.uint8), 0
    while count := file.readinto(found[end:].data):
        end += count
    if end < promised or file.read(1):
        raise DataError(f"{said}, {end if end < promised else 'more'} follow")
    return found.reshape(shape)
