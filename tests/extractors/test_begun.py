"""An extraction that is killed goes on behind its last whole batch, and comes to the same bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from expunge.datasets.images import Images
from expunge.extractors.feature_files import Begun
from expunge.extractors.features import extracted

SIZES = (3, 3, 2, 3, 1)  # five training rows of batches of three would end so, too


def made(dim: int = 4) -> list[np.ndarray]:
    numbers = np.random.default_rng(0)
    return [numbers.standard_normal((size, dim)).astype(np.float32) for size in SIZES]


class Killed(BaseException):
    """Ends a process between two batches."""


def cut(blocks: list[np.ndarray], path, after: int) -> list[int]:
    """Begin, and end after so many blocks of our own; returns the numbers of those that were made."""
    numbers: list[int] = []

    def make(first: int):
        for number, block in enumerate(blocks[first:], start=first):
            if len(numbers) == after:
                raise Killed
            numbers.append(number)
            yield block

    with pytest.raises(Killed):
        list(Begun(path, SIZES).blocks(make))
    return numbers


def whole(blocks: list[np.ndarray], path) -> tuple[list[np.ndarray], int]:
    """Go on to the end; returns all blocks and the number of the first that was made now."""
    firsts: list[int] = []

    def make(first: int):
        firsts.append(first)
        yield from blocks[first:]

    return list(Begun(path, SIZES).blocks(make)), firsts[0]


@pytest.mark.parametrize("after", range(5))
def test_what_was_begun_goes_on_behind_the_last_whole_batch(tmp_path, after):
    blocks, path = made(), tmp_path / "x.begun"
    assert cut(blocks, path, after) == list(range(after))
    found, first = whole(blocks, path)
    assert first == after
    assert all(np.array_equal(one, other) for one, other in zip(found, blocks, strict=True))
    found, first = whole(blocks, path)
    assert first == len(SIZES)
    assert all(np.array_equal(one, other) for one, other in zip(found, blocks, strict=True))


@pytest.mark.parametrize("size", range(0, 359, 7))
def test_a_batch_that_was_cut_or_damaged_is_made_again(tmp_path, size):
    blocks, path = made(), tmp_path / "x.begun"
    list(Begun(path, SIZES).blocks(lambda first: iter(blocks[first:])))
    content = path.read_bytes()
    for changed in (content[:size], content[:size] + bytes([content[size] ^ 1]) + content[size + 1 :]):
        path.write_bytes(changed)
        found, first = whole(blocks, path)
        assert first < len(SIZES)
        assert all(np.array_equal(one, other) for one, other in zip(found, blocks, strict=True))
        assert path.read_bytes() == content


def test_only_its_owner_reads_it(tmp_path):
    list(Begun(tmp_path / "x.begun", SIZES).blocks(lambda first: iter(made()[first:])))
    assert (tmp_path / "x.begun").stat().st_mode & 0o077 == 0


class Counting(nn.Module):
    """Pixels as features; ends the process before batch ``fatal``."""

    def __init__(self, fatal: int | None = None) -> None:
        super().__init__()
        self.fatal, self.batches = fatal, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.batches == self.fatal:
            raise Killed
        self.batches += 1
        return x.flatten(1) + 1


def rows(module: nn.Module, cache) -> list[np.ndarray]:
    x = np.random.default_rng(1).integers(0, 256, (13, 4, 4, 3), dtype=np.uint8)
    train, test = (Images.of(part, 255.0, 0.0, "images") for part in (x[:8], x[8:]))
    found = extracted(
        *(module, train, test), identity={}, cache=cache, device=torch.device("cpu"), batch_size=3
    )
    return [part.dense() for part in found]


@pytest.mark.parametrize("fatal", [0, 2, 4])
def test_the_features_of_a_killed_extraction_are_those_of_another(tmp_path, fatal):
    expected = rows(Counting(), None)
    with pytest.raises(Killed):
        rows(Counting(fatal), tmp_path)
    assert (tmp_path.glob("*.begun") and len(list(tmp_path.glob("*.safetensors")))) == 0
    module = Counting()
    found = rows(module, tmp_path)
    assert module.batches == 5 - fatal
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]
