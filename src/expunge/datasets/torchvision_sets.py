"""Data sets of torchvision by name, from files that are there: those that it reads without pickles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import require_choice, require_switch
from expunge.core.errors import DataError, InvalidValue, last_line
from expunge.core.homes import expanded
from expunge.core.torchvision_import import import_torchvision
from expunge.datasets import cifar10, mnist
from expunge.datasets.base import Dataset, require_offset
from expunge.datasets.image_files import Decoding
from expunge.datasets.splits import checked_split, split

_SPLITS: dict[str, tuple[dict[str, Any], ...]] = {
    **dict.fromkeys(("QMNIST", "USPS"), ({"train": True}, {"train": False})),
    **dict.fromkeys(
        ("DTD", "FER2013", "Flowers102", "Food101", "GTSRB", "RenderedSST2", "STL10", "StanfordCars", "SVHN"),
        ({"split": "train"}, {"split": "test"}),
    ),
    "Country211": ({"split": "train"}, {"split": "valid"}),
    "Imagenette": ({"split": "train"}, {"split": "val"}),
    **dict.fromkeys(("FGVCAircraft", "OxfordIIITPet"), ({"split": "trainval"}, {"split": "test"})),
    **dict.fromkeys(("Caltech101", "Caltech256", "EuroSAT", "SUN397"), ({},)),
}
"""What torchvision's class takes for training and test rows; of one with rows of one kind, nothing."""
_LIKE_MNIST = ("FashionMNIST", "KMNIST", "MNIST")
_OURS = (*_LIKE_MNIST, "CIFAR10")
NAMES = tuple(sorted((*_OURS, *_SPLITS)))


def load(
    data_dir: Any,
    name: Any,
    image_size: Any = None,
    test_share: float = 0.2,
    test_seed: int | None = 0,
    offset: float = 0.5,
    classes: Sequence[Any] | None = None,
    check_integrity: bool = True,
    train_rows: int | None = None,
) -> Dataset:
    """Return images, uint8 with values of 0 to 255, rows in torchvision's order, labels as it numbers them.

    Args:
        data_dir: The folder that torchvision's class is given as ``root``; nothing is downloaded, but of
            MNIST and its likes and of CIFAR-10, whose readers are our own.
        name: One of ``NAMES``. Others are stored as pickles (CIFAR-100), of other things than one class for
            an image, or behind a registration.
        image_size: Height and width in pixels that images are resized to, one number or two; None: they
            have one size.
        test_share: Share of the rows that are test rows, of data sets without a split of their own.
        test_seed: Of their drawing; None: the last rows.
        offset: Subtracted from pixel / 255.
        classes: Names of the classes to keep; None: all.
        check_integrity: Of MNIST and its likes and of CIFAR-10: whether MD5s must be the original ones.
        train_rows: Keep the first this many training rows; None: all.

    Raises:
        DataError: The files are not there or damaged, or images are of several sizes.
        InvalidValue: A setting is not allowed.
    """
    require_switch("check_integrity", check_integrity)
    offset = require_offset(offset)
    share, seed = checked_split(test_share, test_seed)
    name = require_choice("name", name, NAMES)
    size = Decoding(image_size).size
    if name in _OURS:
        if size is not None:
            raise InvalidValue("image_size", image_size, f"null for {name}, whose images are of one size")
        common = (offset, classes, check_integrity, train_rows)
        if name == "CIFAR10":
            return cifar10.load(data_dir, *common)
        labels = getattr(import_torchvision().datasets, name).classes
        return mnist.load_variant(data_dir, name, name, labels, *common)
    root = expanded(data_dir)
    parts = [_read(root, name, how, size) for how in _SPLITS[name]]
    names = parts[0][2]
    if len(parts) == 1:
        x, y, _ = parts[0]
        first, second = split(f"dataset {name}", len(x), share, seed)
        parts = [(x[rows], y[rows], names) for rows in (first, second)]
    (x_train, y_train, _), (x_test, y_test, _) = parts
    if x_train.shape[1:] != x_test.shape[1:]:
        raise DataError(f"dataset {name}: images differ in size, allowed: dataset.image_size=64 or another")
    known = {label: names.get(label, str(label)) for label in np.unique(y_train).tolist()}
    there = np.isin(y_test, y_train)
    found = Dataset(
        *(name, x_train, y_train, x_test[there], y_test[there], known),
        unit=255.0,
        offset=offset,
    )
    return found.only(classes).first(train_rows)


def _read(
    root: Path, name: str, how: dict[str, Any], size: tuple[int, int] | None
) -> tuple[NDArray[np.uint8], NDArray[np.int64], dict[int, str]]:
    """Images (n, height, width) or (n, height, width, 3), labels (n,), and what each label is called."""
    maker = getattr(import_torchvision().datasets, name)
    try:
        found = maker(str(root), **how)
        pairs = [(_pixels(image, size), int(label)) for image, label in (found[k] for k in range(len(found)))]
    except Exception as error:  # torchvision and PIL let through what files and archives raise
        fetch = f"torchvision.datasets.{name}({str(root)!r}, download=True{_as_code(how)})"
        said = f"dataset {name} cannot be read from {root} ({last_line(error)})"
        raise DataError(f"{said}; in Python, {fetch} fetches it") from None
    if len({image.shape for image, _ in pairs}) > 1:
        modes = "colours" if size is not None else "size"
        raise DataError(
            f"dataset {name}: images differ in {modes}, allowed: dataset.image_size=64 or another"
        )
    if not pairs:
        raise DataError(f"dataset {name}: no images under {root}")
    classes = getattr(found, "classes", None) or getattr(found, "categories", None) or []
    names = dict(enumerate(map(str, classes)))
    if len(set(names.values())) < len(names):
        names = {}
    labels = np.array([label for _, label in pairs], dtype=np.int64)
    return np.stack([image for image, _ in pairs]), labels, names


def _as_code(how: dict[str, Any]) -> str:
    return "".join(f", {key}={value!r}" for key, value in how.items())


def _pixels(image: Any, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    image = image if image.mode == "L" else image.convert("RGB")
    if size is not None and image.size != size[::-1]:
        image = image.resize(size[::-1])
    return np.asarray(image, dtype=np.uint8)
