"""The 3s and 8s of MNIST, embedded in the package: the published experiment's data, without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import DataError, last_line
from expunge.core.hashing import sha256_of
from expunge.datasets.base import Dataset, require_offset
from expunge.datasets.corrupting import corrupted

# SHA-256 of each array's bytes, as in data/LICENSE-MNIST.md.
_DIGESTS = {
    "x_train": "d9c0f8ebcece7bef4d33b4a893a7fabcdb29c2f5a799b6ef1cc44fed962a5a8d",
    "y_train": "dbf0dd56e9c962198b1457bb39878799210bc701c06e4006d90e19011334b5f6",
    "x_test": "3b634602e6ce8ccbd39e3539c85ec3623d47f9e82799ad21449cfa7864476ce8",
    "y_test": "6f759648b2826a32efe03b544a330da8373cb622f0741c2be478a8fdaad603cc",
}


def load(
    data_dir: Any = None,
    offset: float = 0.5,
    classes: Sequence[Any] | None = None,
    train_rows: int | None = None,
    poison: Mapping[str, Any] | None = None,
    mislabel: Mapping[str, Any] | None = None,
) -> Dataset:
    """Return 11,982 training and 1,984 test images (28, 28) uint8, label +1 for a 3 and -1 for an 8.

    They are in the package: ``data_dir`` is not used. ``classes`` are both class names, or None.
    ``poison`` and ``mislabel`` are those of ``corrupted``.

    Raises:
        DataError: The installed file is missing or damaged.
        InvalidValue: A setting is not allowed.
    """
    offset = require_offset(offset)
    x, y, x_test, y_test = _unpack(resources.files("expunge.datasets") / "data" / "mnist_3v8.npz")
    y, y_test = y.astype(np.int64), y_test.astype(np.int64)
    dataset = Dataset("mnist_3v8", x, y, x_test, y_test, {1: "3", -1: "8"}, 255.0, offset)
    return corrupted(dataset.only(classes).first(train_rows), poison, mislabel)


def _unpack(packed: Any) -> list[NDArray[Any]]:
    """Read the archive and verify every array; whatever is wrong with it, the cure is the same."""
    try:
        with packed.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = [archive[name] for name in _DIGESTS]
    except Exception as error:  # damaged bytes make zipfile, zlib and numpy's header parser raise all sorts
        raise DataError(f"{packed}: cannot be read, reinstall expunge ({last_line(error)})") from None
    for (name, digest), array in zip(_DIGESTS.items(), arrays, strict=True):
        if sha256_of([array]) != digest:
            raise DataError(f"{packed}: {name} is not what was packed, reinstall expunge")
    return arrays
