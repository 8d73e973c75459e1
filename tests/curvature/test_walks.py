"""Several columns in one walk give what they give one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from expunge.curvature import Block, KroneckerFactored, cross_entropy, layer_factors, walks


def network() -> nn.Module:
    torch.manual_seed(3)
    layers = (
        *(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 8, 3, groups=2), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(32, 12), nn.ReLU(), nn.Linear(12, 7)),
    )
    return nn.Sequential(*layers).double().eval()


@pytest.mark.parametrize("columns", [None, 4], ids=["all", "drawn"])
@pytest.mark.parametrize("together", [2, 3, 100])
def test_kfac_is_the_same_of_several_columns_in_a_walk(monkeypatch, columns, together):
    module, x, y = network(), torch.randn(20, 3, 8, 8, dtype=torch.float64), torch.arange(20) % 7
    block = Block.of(module, {"0": [0, 3], "4": [1, 2, 6], "7": [0, 5], "9": [1, 2, 4]})
    vector = torch.linspace(-1, 1, block.size, dtype=torch.float64)

    def product() -> torch.Tensor:
        batches, rng = [(x[:13], y[:13]), (x[13:], y[13:])], np.random.default_rng(0)
        return KroneckerFactored(module, cross_entropy, batches, block, columns, rng)(vector)

    alone = product()
    monkeypatch.setattr(walks, "together_on", lambda device, places: together)
    torch.testing.assert_close(product(), alone, rtol=1e-12, atol=1e-14)


class Single(torch.autograd.Function):
    """A step that knows one column only."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, slope):
        return torch.from_numpy(2 * slope.numpy())


def test_a_graph_that_knows_one_column_only_is_walked_for_each(monkeypatch):
    monkeypatch.setattr(walks, "together_on", lambda device, places: 5)
    place = torch.ones(4, 2, requires_grad=True)
    unused = torch.ones(4, 3, requires_grad=True)
    columns = [torch.full((4, 2), float(k)) for k in range(3)]
    found = list(walks.walks_back(Single.apply(place), [place, unused], columns))
    assert [taken for _, taken in found] == [1, 1, 1]
    for k, ((own, other), _) in enumerate(found):
        torch.testing.assert_close(own, torch.full((4, 2), 2.0 * k))
        assert not other.any()


def test_a_place_without_a_path_has_slopes_of_zero(monkeypatch):
    monkeypatch.setattr(walks, "together_on", lambda device, places: 5)
    place, unused = torch.ones(4, 2, requires_grad=True), torch.ones(4, 3, requires_grad=True)
    (((own, other), taken),) = walks.walks_back(3 * place, [place, unused], [torch.ones(4, 2)] * 2)
    assert (taken, own.shape, other.shape) == (2, (8, 2), (8, 3))
    assert own.eq(3).all()
    assert not other.any()


def test_kfac_is_the_same_with_the_matrix_of_a_module_held(monkeypatch):
    module, x, y = network(), torch.randn(20, 3, 8, 8, dtype=torch.float64), torch.arange(20) % 7
    block = Block.of(module, {"0": [0, 3], "4": [1, 2, 6], "7": [0, 5], "9": [1, 2, 4]})
    vector = torch.linspace(-1, 1, block.size, dtype=torch.float64)
    found = []
    for held in (False, True):
        monkeypatch.setattr(layer_factors, "held_whole", lambda device, units, held=held: held)
        for columns in (None, 4):
            found.append(KroneckerFactored(module, cross_entropy, [(x, y)], block, columns)(vector))
    torch.testing.assert_close(found[0], found[2], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(found[1], found[3], rtol=1e-12, atol=1e-14)
