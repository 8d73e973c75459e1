"""SHA-256 of settings, arrays and tensors: one name for what is equal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from expunge.core.plain import as_json

if TYPE_CHECKING:
    from torch import Tensor


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


def sha256_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and bytes of torch tensors."""
    import torch

    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        found.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
