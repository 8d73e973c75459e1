"""What the data sets that torchvision downloads and reads have in common."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from expunge.core.errors import DataError, last_line
from expunge.core.regular import open_regular
from expunge.core.torchvision_import import import_torchvision


def obtain(
    name: str, root: Path, files: Mapping[str, str], check_integrity: bool = True, **options: Any
) -> None:
    """See to it that the files of a data set lie under ``root``, through torchvision where they do not.

    ``name`` is the class in ``torchvision.datasets``, which gets ``root`` and ``options``; ``files`` are the
    paths under ``root`` -> MD5, as torchvision has them.

    Raises:
        DataError: A file is neither there nor to be had, or is not the original one.
    """
    missing = [file for file in files if not (root / file).is_file()]
    for file, md5 in files.items() if check_integrity else ():
        if file not in missing:
            require_md5(root / file, md5)
    if not missing:
        return
    wanted = f"put {', '.join(missing)} into {root}"
    existing = next(folder for folder in (root, *root.absolute().parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        why = f"{existing} cannot be written to"
        raise DataError(f"{why}: {name} is not there and cannot be downloaded; {wanted}")
    try:
        getattr(import_torchvision().datasets, name)(root, download=True, **options)
    except Exception as error:  # torchvision lets through what sockets, archives and file systems raise
        raise DataError(f"{name} cannot be downloaded ({last_line(error)}); {wanted}") from error


def require_md5(path: Path, expected: str) -> None:
    """Raise ``DataError`` unless the file's MD5 is the expected one."""
    found = hashlib.md5(usedforsecurity=False)
    try:
        with open_regular(path) as file:
            while block := file.read(1 << 20):
                found.update(block)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    if found.hexdigest() != expected:
        raise DataError(
            f"{path}: its MD5 is {found.hexdigest()}, the original's is {expected}; remove it to download it "
            "again, or set dataset.check_integrity=false"
        )


def resources(name: str) -> dict[str, str]:
    """Return the MD5 of each file that torchvision downloads for a data set stored like MNIST."""
    return dict(getattr(import_torchvision().datasets, name).resources)
