"""Features in a file of tensors, written and read a block at a time, and the beginning of one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import DataError
from expunge.core.files import read_header, write_blocks
from expunge.core.plain import plain
from expunge.datasets.array_files import open_arrays

Features = NDArray[np.float32]
_SHA256, _WIDTH = 32, 8  # bytes


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


@dataclass(frozen=True)
class Begun:
    """Blocks of features as they are made, so that what is killed goes on behind the last whole one.

    A block is its bytes (rows x d float32, little-endian) behind their SHA-256. The file's name is to say
    what the features are made from; nobody else may be writing it.

    Attributes:
        path: The file; see ``gone_at_the_end``.
        sizes: Rows of each block.
    """

    path: Path
    sizes: Sequence[int]

    def blocks(self, make: Callable[[int], Iterator[Features]]) -> Iterator[Features]:
        """Yield the blocks that are there, then those of ``make(number of the first that is not)``.

        Raises:
            OSError: The file cannot be read or written.
        """
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        with open(os.open(self.path, flags, 0o600), "r+b") as file:
            there, dim = 0, 0
            while there < len(self.sizes) and (block := self._next(file, self.sizes[there], dim)) is not None:
                there, dim = there + 1, block.shape[1]
                yield block
            file.truncate(end := self._end(there, dim))
            file.seek(end)
            for block in make(there):
                content = np.ascontiguousarray(block, dtype="<f4").tobytes()
                if not dim:
                    dim = block.shape[1]
                    file.write(dim.to_bytes(_WIDTH, "little"))
                file.write(hashlib.sha256(content).digest() + content)
                file.flush()
                yield block

    @contextmanager
    def gone_at_the_end(self) -> Iterator[None]:
        """Delete the file when the block has ended, also by an error; what breaks it off leaves it."""
        try:
            yield
        except Exception:
            self.path.unlink(missing_ok=True)
            raise
        self.path.unlink(missing_ok=True)

    def _end(self, there: int, dim: int) -> int:
        """Bytes of the first ``there`` blocks with what stands before them."""
        return _WIDTH + sum(_SHA256 + 4 * size * dim for size in self.sizes[:there]) if there else 0

    def _next(self, file: BinaryIO, size: int, dim: int) -> Features | None:
        """The block that begins here, where it is whole; ``dim`` is 0 before the first."""
        dim = dim or int.from_bytes(file.read(_WIDTH), "little")
        digest = file.read(_SHA256)
        left = os.fstat(file.fileno()).st_size - file.tell()
        if not 0 < 4 * size * dim <= left:
            return None
        content = file.read(4 * size * dim)
        if hashlib.sha256(content).digest() != digest:
            return None
        return np.frombuffer(content, dtype="<f4").reshape(size, dim).astype(np.float32)
