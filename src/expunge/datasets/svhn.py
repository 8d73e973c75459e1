"""SVHN: colour images of house numbers' digits, downloaded by torchvision on first use.

The files are MATLAB's (version 5): arrays of numbers alone are read, nothing in them is run or unpickled.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import require_switch
from expunge.core.errors import DataError
from expunge.core.homes import expanded
from expunge.datasets import vision
from expunge.datasets.base import Dataset, require_offset
from expunge.datasets.corrupting import corrupted
from expunge.datasets.mat5 import read_array

_FOLDER = "svhn"
_SIZE = (32, 32, 3)
_ALLOWED = "images X and labels y"
_ZERO = 10  # the files' label of the digit 0
# MD5 of each split's file (torchvision.datasets.SVHN.split_list).
_MD5 = {
    "train": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "extra": "a93ce644f1a588dc4d68dda5feec44a7",
    "test": "eb5a983be6a315427106f1b164d9cef3",
}
log = logging.getLogger(__name__)


def load(
    data_dir: Any,
    offset: float = 0.5,
    classes: Sequence[Any] | None = None,
    check_integrity: bool = True,
    extra: bool = False,
    train_rows: int | None = None,
    poison: Mapping[str, Any] | None = None,
    mislabel: Mapping[str, Any] | None = None,
) -> Dataset:
    """Return images (32, 32, 3) uint8, labelled 0 to 9, rows in the files' order.

    The originals hold 73,257 training, 531,131 extra and 26,032 test images. The files are read as they are,
    so that ``data_dir`` may be read-only and torchvision is imported only to download. While a file is read
    its images are in memory twice: 3.6 GB at most with the extra ones, of which 1.9 GB stay.

    Its files are in ``svhn/``. With ``extra``, the extra images follow the training images, as training rows.
    ``poison`` and ``mislabel`` are those of ``corrupted``.
    """
    offset, check = require_offset(offset), require_switch("check_integrity", check_integrity)
    training = ["train", "extra"] if require_switch("extra", extra) else ["train"]
    root = expanded(data_dir) / _FOLDER
    _obtain(root, [*training, "test"], check)
    train, test = _read([root / _file(split) for split in training]), _read([root / _file("test")])
    names = {digit: str(digit) for digit in range(10)}
    dataset = Dataset("svhn", *train, *test, names, unit=255.0, offset=offset)
    return corrupted(dataset.only(classes).first(train_rows), poison, mislabel)


def _file(split: str) -> str:
    return f"{split}_32x32.mat"


def _obtain(root: Path, splits: Sequence[str], check: bool) -> None:
    """See to it that the files are there; torchvision downloads one a call, and checks what it downloads."""
    files = {_file(split): _MD5[split] for split in splits}
    missing = [split for split in splits if not (root / _file(split)).is_file()]
    vision.obtain("SVHN", root, files, check, split=(missing or splits)[0])
    for split in missing[1:]:
        vision.obtain("SVHN", root, files, False, split=split)


def _read(paths: Sequence[Path]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images (n, 32, 32, 3) and labels (n,) of some files, one after the other.

    Labels come first: they tell how many images there will be, and each file's go straight to their place.
    """
    labels = [_labels(path) for path in paths]
    y = np.concatenate(labels)
    x = np.empty((len(y), *_SIZE), np.uint8)
    start = 0
    for path, own in zip(paths, labels, strict=True):
        log.info("reading %s images from %s", f"{len(own):,}", path)
        _fill(path, x[start : start + len(own)])  # which leaves nothing of the file behind
        start += len(own)
    return x, y


def _fill(path: Path, images: NDArray[np.uint8]) -> None:
    """Copy the file's images, which are stored as (32, 32, 3, n), to ``images``, (n, 32, 32, 3)."""
    x, expected = read_array(path, "X", _ALLOWED), (*_SIZE, len(images))
    if x.dtype != np.uint8 or x.shape != expected:
        raise DataError(
            f"{path}: X is {x.dtype} of shape {x.shape}, allowed: uint8 of shape {expected}, an image a label"
        )
    images[...] = x.transpose(3, 0, 1, 2)


def _labels(path: Path) -> NDArray[np.int64]:
    y = read_array(path, "y", _ALLOWED)
    if y.dtype.kind not in "iuf" or y.size != max(y.shape, default=0):
        raise DataError(f"{path}: y is {y.dtype} of shape {y.shape}, allowed: a whole number for each image")
    y = y.reshape(-1)
    strange = y[~np.isin(y, np.arange(_ZERO + 1))]
    if strange.size:
        raise DataError(f"{path}: holds the label {strange[0]}, allowed: 1 to 10 (10 for the digit 0)")
    return np.asarray(y, np.int64) % _ZERO
