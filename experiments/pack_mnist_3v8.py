"""Pack the 3s and 8s of MNIST into the file that travels with the package.

``python -m experiments.pack_mnist_3v8 PATH_TO_MNIST_RAW [--out DIR]`` makes ``mnist_3v8.npz`` from the
four original ``.gz`` files: an ordinary compressed ``.npz`` (``numpy.load`` opens it) whose every byte is
fixed, dates included. Deflate streams depend on the zlib in use: the embedded file is zlib's own; zlib-ng
packs the same arrays into other bytes.
"""

from __future__ import annotations

import argparse
import io
import logging
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import UserError
from expunge.core.hashing import sha256_of
from expunge.datasets import mnist_3v8
from expunge.datasets.mnist import read_idx

FILE = "mnist_3v8.npz"
DATA = Path(mnist_3v8.__file__).parent / "data"
log = logging.getLogger(__name__)


def select(raw: Path, split: str) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """Return the images (n, 28, 28) and labels (n,; +1 for a 3, -1 for an 8) of a split, in file order.

    Args:
        raw: The folder of the original files.
        split: As in their names, ``train`` or ``t10k``.

    Raises:
        DataError: A file is missing or damaged.
    """
    x, y = (
        read_idx(raw / f"{split}-{kind}-ubyte.gz", n) for kind, n in (("images-idx3", 3), ("labels-idx1", 1))
    )
    chosen = (y == 3) | (y == 8)
    return x[chosen], np.where(y[chosen] == 3, 1, -1).astype(np.int8)


def digest(array: NDArray[Any]) -> str:
    """SHA-256 of an array's bytes in C order."""
    return sha256_of([np.ascontiguousarray(array).view(np.uint8)])


def pack(raw: Path, out: Path) -> dict[str, str]:
    """Write ``out / FILE`` and return the digest of each array in it.

    Raises:
        DataError: A file is missing or damaged.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for split, name in (("train", "train"), ("t10k", "test")):
        arrays[f"x_{name}"], arrays[f"y_{name}"] = select(raw, split)
    out.mkdir(parents=True, exist_ok=True)
    _write(out / FILE, arrays)
    return {name: digest(array) for name, array in arrays.items()}


def _write(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """``numpy.savez_compressed``, but at zlib's best level and the same on every system."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type, info.create_system = zipfile.ZIP_DEFLATED, 3
            member = io.BytesIO()
            np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)
            archive.writestr(info, member.getvalue(), compresslevel=9)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the packer; returns the exit code."""
    parser = argparse.ArgumentParser(description="Pack the 3s and 8s of MNIST.")
    parser.add_argument("raw", type=Path, help="folder of MNIST's four original .gz files")
    parser.add_argument("--out", type=Path, default=DATA, help="where to write")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        digests = pack(options.raw, options.out)
    except UserError as error:
        parser.error(str(error))
    for name, value in digests.items():
        log.info("%s sha256 %s", name, value)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
