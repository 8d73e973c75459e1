"""What the models are trained on: digits, and made-up rows of any number in a memory-mapped file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from expunge.datasets import mnist
from expunge.linear.rows import Array, Rows

DIM = 384
_BLOCK = 1 << 16  # rows made at a time
_MIDDLE = 127.5
_SPREAD = 40.0  # of the first feature, in steps of a byte
_DECAY = 0.35  # feature j has (1 + j)^-0.35 of it
_DOUBT = 0.3  # of the teacher's scores' deviation is noise on the labels
_TEST_ROWS = 20_000


@dataclass(frozen=True)
class Task:
    """Rows of norm 1 with labels of two classes, and (m, d) others to tell accuracy by."""

    name: str
    rows: Rows
    y: NDArray[np.int64]
    x_test: Array
    y_test: NDArray[np.int64]

    def first(self, n: int) -> Task:
        """The task with its first ``n`` rows alone."""
        rows = Rows(self.rows.raw[:n], self.rows.scale[:n], self.rows.offset)
        return Task(self.name, rows, self.y[:n], self.x_test, self.y_test)


def digits(data_dir: str, dim: int | None = None, seed: int = 0) -> Task:
    """MNIST, even digits or odd, shuffled; its pixels, or ``dim`` random projections of them, in float32."""
    data = mnist.load(data_dir)
    train, test = (
        x.reshape(len(x), -1) if dim is None else x.reshape(len(x), -1).astype(np.float32)
        for x in (data.x_train, data.x_test)
    )
    if dim is not None:
        turned = np.random.default_rng(seed).standard_normal((train.shape[1], dim), dtype=np.float32)
        train, test = train @ turned, test @ turned
    order = np.random.default_rng(seed).permutation(len(train))
    name = "MNIST, even or odd" + (f", {dim} random projections" if dim else "")
    own = Rows.normalised(np.ascontiguousarray(train[order]))
    return Task(name, own, data.y_train[order] % 2, Rows.normalised(test).dense(), data.y_test % 2)


def synthetic(n: int, folder: Path, dim: int = DIM, seed: int = 0) -> Task:
    """``n`` rows of bytes in a file in ``folder``, made block by block, and read where they lie.

    Features are evenly spread, of falling size; labels are those of a linear teacher, who is in doubt near 0.
    """
    path = folder / f"rows_{n}.bin"
    table = np.memmap(path, np.uint8, "w+", shape=(n, dim))
    y = np.empty(n, dtype=np.int64)
    for start, raw, labels in _blocks(n, dim, seed):
        table[start : start + len(raw)], y[start : start + len(raw)] = raw, labels
    table.flush()
    rows = Rows.normalised(np.memmap(path, np.uint8, "r", shape=(n, dim)), _MIDDLE)
    (_, raw, y_test), *_ = _blocks(_TEST_ROWS, dim, seed, part=1)
    return Task("synthetic", rows, y, Rows.normalised(raw, _MIDDLE).dense(), y_test)


def _blocks(
    n: int, dim: int, seed: int, part: int = 0
) -> Iterator[tuple[int, NDArray[np.uint8], NDArray[np.int64]]]:
    sizes = (_SPREAD * (1.0 + np.arange(dim)) ** -_DECAY).astype(np.float32)
    teacher = np.random.default_rng(seed).standard_normal(dim, dtype=np.float32)
    rng = np.random.Generator(np.random.SFC64([seed, part]))
    doubt = np.float32(_DOUBT * np.linalg.norm(sizes * teacher))
    for start in range(0, n, _BLOCK):
        even = rng.integers(256, size=(min(_BLOCK, n - start), dim), dtype=np.uint8)  # a deviation of 74
        own = (even - np.float32(_MIDDLE)) * (sizes / np.float32(74))
        scores = own @ teacher + doubt * rng.standard_normal(len(own), dtype=np.float32)
        own += np.float32(_MIDDLE)
        yield start, own.astype(np.uint8), (scores > 0).astype(np.int64)
