"""CIFAR-100: 50,000 training and 10,000 test colour images of 100 classes in 20 superclasses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import require_choice, require_switch
from expunge.core.errors import DataError
from expunge.core.homes import expanded
from expunge.datasets import vision
from expunge.datasets.base import Dataset, require_offset
from expunge.datasets.cifar_pickle import read_images, read_names
from expunge.datasets.coarse import with_coarse
from expunge.datasets.corrupting import corrupted

_FOLDER = "cifar-100-python"
# MD5 of each file (train_list, test_list and meta of torchvision.datasets.CIFAR100).
_FILES = {
    "train": "16019d7e3df5f24257cddd939b257f8d",
    "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    "meta": "7973b15100ade9c7d40fb424638fde48",
}
_FINE, _COARSE = 100, 20
_LABELS = {"fine_labels": _FINE, "coarse_labels": _COARSE}
_NAMES = {"fine_label_names": _FINE, "coarse_label_names": _COARSE}


def load(
    data_dir: Any,
    offset: float = 0.5,
    classes: Sequence[Any] | None = None,
    check_integrity: bool = True,
    train_rows: int | None = None,
    labels: str = "fine",
    poison: Mapping[str, Any] | None = None,
    mislabel: Mapping[str, Any] | None = None,
) -> Dataset:
    """Return images (32, 32, 3) uint8 with fine or coarse labels, rows in the files' order.

    The files ``train``, ``test`` and ``meta`` (the names of the classes), in ``cifar-100-python/``, are
    pickles, and their content is not trusted: see ``cifar_pickle``.

    With ``labels=coarse`` the 20 superclasses are the classes, and each row's fine class is its group:
    ``removal.group=rocket`` forgets one of the five that a superclass is made of. ``poison`` and ``mislabel``
    are those of ``corrupted``.

    Raises:
        InvalidValue: A setting is not allowed.
        DataError: A file is missing, or holds something else.
    """
    offset, check = require_offset(offset), require_switch("check_integrity", check_integrity)
    coarse = require_choice("labels", labels, ("fine", "coarse")) == "coarse"
    root = expanded(data_dir)
    vision.obtain("CIFAR100", root, {f"{_FOLDER}/{name}": md5 for name, md5 in _FILES.items()}, check)
    parts = [read_images(root / _FOLDER / name, "CIFAR-100", _LABELS) for name in ("train", "test")]
    (x, (y, above)), (x_test, (y_test, above_test)) = parts
    fine_names, coarse_names = read_names(root / _FOLDER / "meta", "CIFAR-100", _NAMES)
    named = dict(enumerate(fine_names))
    dataset = Dataset("cifar100", x, y, x_test, y_test, named, unit=255.0, offset=offset)
    if coarse:
        both = np.concatenate([y, y_test]), np.concatenate([above, above_test])
        dataset = with_coarse(dataset, _superclasses(root / _FOLDER, *both), dict(enumerate(coarse_names)))
    return corrupted(dataset.only(classes).first(train_rows), poison, mislabel)


def _superclasses(folder: Path, fine: NDArray[np.int64], coarse: NDArray[np.int64]) -> dict[int, int]:
    """Fine label -> its superclass, by the rows' own labels, of all fine labels that a row has.

    Raises:
        DataError: Rows of one class are of several superclasses.
    """
    pairs = np.unique(np.stack([fine, coarse]), axis=1)
    if len(np.unique(pairs[0])) < pairs.shape[1]:
        raise DataError(f"{folder}: rows with one of the fine_labels have several coarse_labels")
    return dict(zip(*pairs.tolist(), strict=True))
