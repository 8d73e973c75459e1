"""SHA-256 of settings, files, arrays and tensors: one name for what is equal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from expunge.core.plain import as_json
from expunge.core.regular import open_regular

if TYPE_CHECKING:
    from torch import Tensor

_SPARSE = ("data", "indices", "indptr")
_ROWS = 4096  # of an array that are looked at together: it may be mapped, and larger than the memory


def sha256_of_settings(settings: Mapping[str, Any]) -> str:
    """SHA-256 of JSON values in canonical form: no spaces, keys in order."""
    text = as_json(settings, "settings", sort_keys=True, separators=(",", ":"))
    return sha256_of([text.encode()])


def sha256_of(parts: Iterable[Any]) -> str:
    """SHA-256 of bytes, or of arrays that are contiguous in memory, one after the other."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()


def sha256_of_array(array: Any, *about: Any) -> str:
    """SHA-256 of shape, type and entries of an array (n, ...), and of the values ``about`` it.

    The array may be a CSR matrix of scipy.sparse: its parts are hashed as they are stored.
    """
    if hasattr(array, "indptr"):
        kinds = [repr((array.shape, *about)).encode()]
        return sha256_of([*kinds, *(sha256_of_array(getattr(array, part)).encode() for part in _SPARSE)])
    kind = repr((array.shape, array.dtype.str, *about)).encode()
    starts = range(0, len(array), _ROWS)
    return sha256_of(chain([kind], (np.ascontiguousarray(array[at : at + _ROWS]) for at in starts)))


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes.

    Raises:
        OSError: It cannot be read.
    """
    with open_regular(path) as file:
        return sha256_of(iter(lambda: file.read(1 << 20), b""))


def sha256_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and bytes of torch tensors."""
    import torch

    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        found.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
