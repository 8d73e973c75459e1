"""Tensors with a JSON header in a safetensors file that is either whole or not there. Nothing is pickled."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from expunge.core.errors import DataError

_HEADER, _DIGEST = "expunge", "sha256"


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and bytes."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        found.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def save_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write a file atomically, under a name of its own until it is whole: two processes may write one path.

    Args:
        path: In a folder that exists.
        tensors: May lie on any device and share memory.
        header: JSON values; NaN and infinity are errors.

    Raises:
        OSError: It cannot be written.
    """
    own = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    metadata = {_HEADER: json.dumps(header, allow_nan=False), _DIGEST: digest(own)}
    content = save(own, metadata=metadata)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors (on the CPU) and header.

    Raises:
        DataError: The file is missing, damaged, or was not written by ``save_tensors``.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            metadata = file.metadata() or {}
        header = json.loads(metadata[_HEADER])
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise DataError(f"{path}: not a file of tensors written by expunge ({error})") from None
    if metadata.get(_DIGEST) != digest(tensors) or not isinstance(header, dict):
        raise DataError(f"{path}: damaged, its tensors are not those that were written")
    return tensors, header
