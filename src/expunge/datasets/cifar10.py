"""CIFAR-10: 50,000 training and 10,000 test colour images, downloaded by torchvision on first use."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from expunge.core.checks import require_choice, require_switch
from expunge.core.errors import DataError
from expunge.core.homes import expanded
from expunge.datasets import vision
from expunge.datasets.base import Dataset, require_offset
from expunge.datasets.cifar_pickle import read_batch
from expunge.datasets.corrupting import corrupted

_FOLDER = "cifar-10-batches-py"
_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# MD5 of each file (train_list, test_list and meta of torchvision.datasets.CIFAR10).
_TRAINING = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
}
_TEST = "test_batch"
_FILES = {
    **_TRAINING,
    _TEST: "40351d587109b95175f43aff81a1287e",
    "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
}
log = logging.getLogger(__name__)


def load(
    data_dir: Any,
    offset: float = 0.5,
    classes: Sequence[Any] | None = None,
    check_integrity: bool = True,
    train_rows: int | None = None,
    test_batch: str = _TEST,
    poison: Mapping[str, Any] | None = None,
    mislabel: Mapping[str, Any] | None = None,
) -> Dataset:
    """Return images (32, 32, 3) uint8, labelled 0 (airplane) to 9 (truck), rows in the files' order.

    The files, in ``cifar-10-batches-py/``, are pickles, and their content is not trusted: see
    ``cifar_pickle``. Without ``check_integrity`` the training batches that are there are used, one at least,
    and the test batch; with it all files must be there.

    ``test_batch`` is the file that is tested on. A training batch in its place is held out of the training
    images, and the official test images are left out. ``poison`` and ``mislabel`` are those of ``corrupted``.

    Raises:
        InvalidValue: ``test_batch`` is none of the files.
        DataError: A file is missing, or is no batch.
    """
    offset, check = require_offset(offset), require_switch("check_integrity", check_integrity)
    require_choice("test_batch", test_batch, (_TEST, *_TRAINING))
    root = expanded(data_dir)
    names = _obtain(root, check, test_batch)
    parts = [read_batch(root / _FOLDER / name) for name in names]
    x, y = (np.concatenate(part) for part in zip(*parts, strict=True))
    test = read_batch(root / _FOLDER / test_batch)
    dataset = Dataset("cifar10", x, y, *test, dict(enumerate(_CLASSES)), unit=255.0, offset=offset)
    most = len(_TRAINING.keys() - {test_batch})
    if len(names) < most:
        log.warning("cifar10: %d of %d training batches: %s rows", len(names), most, f"{len(y):,}")
    return corrupted(dataset.only(classes).first(train_rows), poison, mislabel)


def _obtain(root: Path, check: bool, test: str) -> list[str]:
    """See to it that there are files; returns the names of the training batches to read."""
    there = [name for name in _FILES if (root / _FOLDER / name).is_file()]
    wanted = [name for name in _TRAINING if name != test]
    training = [name for name in wanted if name in there]
    if not check and (training or test in there):
        if training and test in there:
            return training
        # A download would write over the files that are there, and they may be all that the user has.
        missing = test if training else wanted[0]
        raise DataError(f"{root / _FOLDER}: only {', '.join(there)}; put {missing} there as well")
    vision.obtain("CIFAR10", root, {f"{_FOLDER}/{name}": md5 for name, md5 in _FILES.items()}, check)
    return wanted
