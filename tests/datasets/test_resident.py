"""Inputs kept on a device give the batches that are sent there. The device here is the CPU itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from expunge.core.errors import InvalidValue
from expunge.datasets import resident as module
from expunge.datasets.images import Examples, Images
from expunge.datasets.resident import Resident, resident

CPU = torch.device("cpu")
SHAPES = [(40, 6), (40, 5, 4), (40, 5, 4, 3)]


def images(kind: str, shape: tuple[int, ...]) -> Images:
    raw = (255 * np.random.default_rng(0).random(shape)).astype(kind)
    return Images.of(raw, 255.0, 0.25)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{len(shape)} axes")
@pytest.mark.parametrize("kind", ["u1", "i2", "f2", ">f4", "f8"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_batches_are_the_same(monkeypatch, kind, shape, dtype):
    monkeypatch.setattr(module, "_BLOCK", 1000)
    x = images(kind, shape)
    kept = Resident.of(x, dtype, CPU)
    assert len(kept) == 40
    for index in (np.array([3, 39, 3, 0]), np.arange(0)):
        expected = x.batch(index, dtype)
        torch.testing.assert_close(kept.batch(index, dtype), expected, rtol=0, atol=0)
        assert torch.equal(kept.batch(torch.from_numpy(index), dtype), expected)
        other = torch.float32 if dtype == torch.float64 else torch.float64
        assert torch.equal(kept.batch(index, other), x.batch(index, other))
    with pytest.raises(InvalidValue, match="40"):
        kept.batch([40], dtype)


def test_examples_give_out_the_same():
    x, y = images("u1", (40, 5, 4)), torch.arange(40) % 7
    sent = Examples(x, y, np.arange(39, 3, -1), size=10)
    kept = Examples(Resident.of(x, torch.float32, CPU), y, sent.rows, size=10)
    for ours, theirs in zip(kept, sent, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    at, taken = kept.at(torch.tensor([5, 2])), sent.take([5, 2])
    assert all(torch.equal(a, b) for a, b in zip(at, taken, strict=True))


def test_what_cannot_be_kept_is_not(monkeypatch):
    assert Resident.of(Images.of(np.full((3, 2), 7, dtype="u2")), torch.float32, CPU) is None
    assert Resident.of(Images.of(np.full((3, 2), 1e6)), torch.float16, CPU) is None  # infinite in it
    assert Resident.of(Images.of(np.zeros((0, 2))), torch.float32, CPU) is None
    monkeypatch.setattr(module, "has_room", lambda *_: False)
    assert Resident.of(images("u1", (40, 6)), torch.float32, CPU) is None


def test_on_the_cpu_examples_stay_as_they_are():
    x, y = images("u1", (40, 6)), torch.zeros(40, dtype=torch.int64)
    found = resident(Examples(x, y, np.arange(40), size=3), CPU, 9)
    assert (found.x, found.size, found.device) == (x, 3, CPU)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("passes", [1, 2])
def test_on_a_gpu_they_are_kept_where_it_is_worth_it(passes):
    x, y = images("u1", (40, 6)), torch.zeros(40, dtype=torch.int64)
    found = resident(Examples(x, y, np.arange(20)), torch.device("cuda"), passes)
    assert isinstance(found.x, Resident) == (passes == 2)
