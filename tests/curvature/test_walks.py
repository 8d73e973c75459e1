"""Several columns in one walk give what they give one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from expunge.curvature import Block, KroneckerFactored, cross_entropy, kfac, layer_factors, walks


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
    monkeypatch.setattr(kfac, "together_on", lambda device, held: together)
    torch.testing.assert_close(product(), alone, rtol=1e-12, atol=1e-14)


class Normed(nn.Module):
    """Tokens, attention, two kinds of norm, a layer that is called twice and one that changes no output."""

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(6, 2, batch_first=True)
        self.norm, self.twice, self.unused = nn.LayerNorm(6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.maps, self.groups, self.out = nn.Conv1d(6, 4, 1), nn.GroupNorm(2, 4), nn.Linear(4, 5)

    def forward(self, x):
        x = x + self.attend(x, x, x, need_weights=False)[0]
        x = self.twice(torch.tanh(self.twice(self.norm(x))))
        self.unused(x)
        return self.out(self.groups(self.maps(x.mT)).mean(dim=2))


@pytest.mark.parametrize("together", [2, 5])
def test_kfac_of_norms_and_attention_is_the_same(monkeypatch, together):
    torch.manual_seed(1)
    module = Normed().double().eval()
    x, y = torch.randn(9, 4, 6, dtype=torch.float64), torch.arange(9) % 5
    units = {
        "attend": [0, 7, 13],
        "norm": [1, 4],
        "twice": [0, 2],
        "unused": [1],
        "groups": [0, 3],
        "out": [2],
    }
    block = Block.of(module, units)
    vector = torch.linspace(-1, 1, block.size, dtype=torch.float64)
    batches = [(x[:5], y[:5]), (x[5:], y[5:])]
    alone = KroneckerFactored(module, cross_entropy, batches, block)(vector)
    monkeypatch.setattr(kfac, "together_on", lambda device, held: together)
    found = KroneckerFactored(module, cross_entropy, batches, block)(vector)
    torch.testing.assert_close(found, alone, rtol=1e-12, atol=1e-14)


@given(count=st.integers(1, 9), together=st.integers(1, 10), rows=st.integers(1, 4))
def test_slopes_are_those_of_each_column(count, together, rows):
    """By hand: outputs a x, so that the slopes of column c in x are a c; a place without a path has zeros."""
    x, unused = torch.arange(1.0, rows + 1)[:, None], torch.ones(rows, 3)
    runs = []

    def run(times: int) -> walks.Graph:
        runs.append(times)
        place, other = (torch.cat([one] * times).requires_grad_() for one in (x, unused))
        return walks.Graph(torch.cat([x] * times) * place, [place, other])

    columns = [torch.full((rows, 1), float(k)) for k in range(count)]
    found = list(walks.walks_back(run(1), iter(columns), together, run))
    assert sum(taken for _, taken in found) == count
    assert all(taken <= together for _, taken in found)
    assert len(runs) <= 3  # alone, several, and what is left of them
    own = torch.cat([slopes[0] for slopes, _ in found])
    torch.testing.assert_close(own, torch.cat([x * column for column in columns]))
    assert all(slopes[1].shape == (taken * rows, 3) and not slopes[1].any() for slopes, taken in found)


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
