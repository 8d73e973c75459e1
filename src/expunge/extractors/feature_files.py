"""Features in a safetensors file that is either whole or not there, written and read a block at a time.

The format: the header's length (8 bytes, little-endian), a JSON header, the tensors' bytes. Here the header
is a function of what the features are made from, their shapes and the SHA-256 of their bytes: a file is sound
if its own bytes lead to the very header that it has.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from expunge.core.errors import DataError
from expunge.datasets.array_files import open_arrays

Features = NDArray[np.float32]

_LENGTH, _ALIGN = 8, 8
_UNKNOWN = "0" * 64  # stands for the SHA-256 until it is known
_LONGEST_HEADER = 1 << 20
_BLOCK = 1 << 22


@dataclass(frozen=True)
class FeatureFile:
    """A file of the tensors ``train`` (n, d) and ``test`` (m, d), float32.

    Attributes:
        path: Ends in ``.safetensors``.
        ingredients: What the features are made from (JSON values).
        rows: n and m.
    """

    path: Path
    ingredients: Mapping[str, Any]
    rows: tuple[int, int]

    def write(self, blocks: Iterable[Features]) -> None:
        """Write the rows of ``train``, then those of ``test``; two processes may write one path.

        Args:
            blocks: (rows, d) each, of the same d; one is held at a time.

        Raises:
            OSError: It cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f"{self.path.name}.{uuid.uuid4().hex}.part")
        found, dim = hashlib.sha256(), None
        try:
            with open(temporary, "xb") as file:
                for block in blocks:
                    if dim is None:
                        dim = block.shape[1]
                        file.write(self._head(dim, _UNKNOWN))
                    content = np.ascontiguousarray(block, dtype="<f4").data
                    file.write(content)
                    found.update(content)
                file.seek(0)
                file.write(self._head(dim or 0, found.hexdigest()))  # as long as the one it replaces
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def map(self) -> tuple[Features, Features]:
        """Map the tensors of a file that is known to be sound into memory.

        Raises:
            DataError: It is not there.
        """
        arrays = open_arrays(self.path)
        return arrays["train"](), arrays["test"]()

    def require_sound(self, progress: bool = False) -> None:
        """Read the whole file and compare it with what was written.

        Args:
            progress: Show a bar (on a terminal only).

        Raises:
            DataError: It cannot be read, or a byte is not as it was written.
        """
        try:
            with open(self.path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                length = file.read(_LENGTH)
                head = length + file.read(min(int.from_bytes(length, "little"), _LONGEST_HEADER))
                found = hashlib.sha256()
                with _bar(progress, size - len(head)) as bar:
                    while block := file.read(_BLOCK):
                        found.update(block)
                        bar.update(len(block))
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error.strerror or error})") from None
        dim, left = divmod(size - len(head), 4 * max(1, sum(self.rows)))
        if left or head != self._head(dim, found.hexdigest()):
            raise DataError(f"{self.path}: damaged, cut short or not made from the same things")

    def _head(self, dim: int, sha256: str) -> bytes:
        """Length and JSON header, filled up with spaces to a multiple of 8 bytes."""
        ingredients = json.dumps(dict(self.ingredients), sort_keys=True, allow_nan=False)
        header: dict[str, Any] = {"__metadata__": {"expunge": ingredients, "sha256": sha256}}
        end = 0
        for name, rows in zip(("train", "test"), self.rows, strict=True):
            begin, end = end, end + 4 * rows * dim
            header[name] = {"dtype": "F32", "shape": [rows, dim], "data_offsets": [begin, end]}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % _ALIGN)
        return len(text).to_bytes(_LENGTH, "little") + text


def _bar(progress: bool, size: int) -> Any:
    return tqdm(
        total=size,
        disable=None if progress else True,
        desc="checking features",
        unit="B",
        unit_scale=True,
        leave=False,
        dynamic_ncols=True,
    )
