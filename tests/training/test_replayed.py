"""Training with its inputs on the device, and with steps that are recorded, is the same training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from expunge.curvature.gradients import cross_entropy
from expunge.datasets.images import Examples, Images
from expunge.datasets.resident import Resident
from expunge.training import Training, history, loop, replayed

CPU = torch.device("cpu")


def examples() -> Examples:
    rng = np.random.default_rng(0)
    x = Images.of(rng.integers(0, 256, (150, 6, 6), dtype=np.uint8), 255.0, 0.5)
    return Examples(x, torch.from_numpy(rng.integers(0, 3, 150)), rng.permutation(150)[:130], size=16)


def network(*more: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    first = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten()
    return nn.Sequential(*first, *more, nn.Linear(64, 3))


def kept_on(device: torch.device):
    def keep(given: Examples, where: torch.device, passes: int) -> Examples:
        inputs = Resident.of(given.x, given.dtype, device)
        return Examples(inputs, given.y.to(device), given.rows, given.size, given.dtype, device)

    return keep


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_inputs_on_the_device_change_nothing(monkeypatch, optimizer):
    settings = Training(optimizer, epochs=2, lr=0.01, batch_size=16)
    sent = loop.train(network(), examples(), settings, cross_entropy, 5)
    monkeypatch.setattr(loop, "resident", kept_on(CPU))
    kept = loop.train(network(), examples(), settings, cross_entropy, 5)
    assert kept.losses == sent.losses
    for name, value in sent.module.state_dict().items():
        assert torch.equal(kept.module.state_dict()[name], value), name
    for name, value in sent.history.tensors().items():  # taken over more rows at a time
        torch.testing.assert_close(kept.history.tensors()[name], value, rtol=1e-4, atol=1e-6)


def test_gradients_over_larger_batches_fall_back_where_memory_ends(monkeypatch):
    sizes = []

    def measured(module, losses, batches):
        sizes.append(batches.size)
        if len(sizes) == 1:
            raise torch.cuda.OutOfMemoryError
        return {}

    monkeypatch.setattr(history, "mean_gradient", measured)
    given = kept_on(CPU)(examples(), CPU, 1)
    assert history.moment(network(), cross_entropy, given) == ({}, {})
    assert sizes == [history._TOGETHER // 36, 16]


def test_only_known_code_is_recorded_and_only_on_a_gpu():
    given = examples()
    assert not replayed.recordable(network(), given)
    there = Examples(Resident.of(given.x, given.dtype, CPU), given.y, given.rows, device="cuda")
    assert replayed.recordable(network(), there)
    for part in (nn.Dropout(), nn.RReLU(), OwnLayer()):
        assert not replayed.recordable(network(part), there)
    assert not replayed.recordable(network(), Examples(given.x, given.y, given.rows, device="cuda"))


class OwnLayer(nn.Identity):
    """Code that nobody knows."""


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_recorded_steps_are_the_steps(monkeypatch, optimizer):
    settings = Training(optimizer, epochs=12, lr=0.01, batch_size=16)
    found = []
    for worth in (50, 10**9):
        monkeypatch.setattr(replayed, "_WORTH", worth)
        found.append(loop.train(network(), examples(), settings, cross_entropy, 5, "cuda"))
    recorded, plain = found
    assert recorded.losses == pytest.approx(plain.losses, rel=1e-3)
    for name, value in plain.module.state_dict().items():
        torch.testing.assert_close(recorded.module.state_dict()[name], value, rtol=1e-2, atol=1e-3)
