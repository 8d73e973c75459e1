"""All ten digits of MNIST: 60,000 training and 10,000 test images, downloaded by torchvision on first use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.datasets import vision
from expunge.datasets.base import Dataset
from expunge.datasets.checks import require_finite, require_switch
from expunge.datasets.idx import read_images

_RAW = Path("MNIST", "raw")
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
) -> Dataset:
    """Return images (28, 28) uint8, labelled 0 to 9, rows in the files' order.

    The ``.gz`` files are read as they are, so that ``data_dir`` may be read-only and torchvision is imported
    only where it has something to download.

    Args:
        data_dir: The folder that holds, or shall hold, ``MNIST/raw/``.
        offset: Subtracted from pixel / 255.
        classes: Names of the digits to keep (None: all).
        check_integrity: Whether the files' MD5s must be the original ones.
        train_rows: Keep the first so many training rows (None: all).

    Raises:
        DataError: A file is missing and cannot be downloaded, or is damaged.
        InvalidValue: A setting is not allowed.
    """
    offset, check = require_finite("offset", offset), require_switch("check_integrity", check_integrity)
    root = Path(data_dir).expanduser()
    vision.obtain("MNIST", root, _wanted(root), check)
    x_train, y_train = _split(root, "train")
    x_test, y_test = _split(root, "t10k")
    dataset = Dataset(
        "mnist",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        class_names={digit: str(digit) for digit in range(10)},
        unit=255.0,
        offset=offset,
    )
    return dataset.only(classes).first(train_rows)


def _path(root: Path, name: str) -> Path:
    """The unpacked file where torchvision left one (it opens faster), else the original."""
    plain = root / _RAW / name
    return plain if plain.is_file() else plain.with_name(name + ".gz")


def _wanted(root: Path) -> dict[str, str]:
    """The four files under ``root``, each in the form to be read, and their MD5s."""
    paths = {name: _path(root, name) for name in _FILES}
    return {
        path.relative_to(root).as_posix(): _FILES[name][0 if path.suffix == ".gz" else 1]
        for name, path in paths.items()
    }


def _split(root: Path, split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    x, y = read_images(_path(root, f"{split}-images-idx3-ubyte"), _path(root, f"{split}-labels-idx1-ubyte"))
    return x, y.astype(np.int64)
