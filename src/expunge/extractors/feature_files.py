"""Features in a file of tensors, written and read a block at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import DataError
from expunge.core.files import read_header, write_blocks
from expunge.core.plain import plain
from expunge.datasets.array_files import open_arrays

Features = NDArray[np.float32]


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

        The blocks are (rows, d) each, of the same d; one is held at a time.

        Raises:
            OSError: It cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        coming = iter(blocks)
        first = next(coming, np.empty((0, 0), dtype=np.float32))
        content = (np.ascontiguousarray(block, dtype="<f4").data for block in chain([first], coming))
        # Secret, for what they are made from may hold the seed of an extractor's noise.
        write_blocks(self.path, self._entries(first.shape[1]), self.ingredients, content, secret=True)

    def map(self) -> tuple[Features, Features]:
        """Map the tensors of a file that is known to be sound into memory.

        Raises:
            DataError: It is not there.
        """
        arrays = open_arrays(self.path)
        return arrays["train"](), arrays["test"]()

    def require_sound(self, progress: bool = False) -> None:
        """Read the whole file, with a bar or without, and compare it with what was written.

        Raises:
            DataError: It cannot be read, or a byte is not as it was written.
        """
        entries, ingredients = read_header(self.path, progress)
        shape = entries.get("train", {}).get("shape", ())
        dim = shape[1] if len(shape) == 2 else 0
        if (entries, ingredients) != (self._entries(dim), plain(self.ingredients, "ingredients")):
            raise DataError(f"{self.path}: not made from the same things")

    def _entries(self, dim: int) -> dict[str, Any]:
        """The tensors as a file's header has them."""
        end = 4 * self.rows[0] * dim
        ends = (0, end), (end, end + 4 * self.rows[1] * dim)
        parts = zip(self.rows, ends, strict=True)
        tensors = ({"dtype": "F32", "shape": [n, dim], "data_offsets": list(where)} for n, where in parts)
        return dict(zip(("train", "test"), tensors, strict=True))
