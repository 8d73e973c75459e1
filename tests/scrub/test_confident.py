"""Selections and attacks on networks that are sure of their answers are those of float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from expunge.codec import foci
from expunge.curvature import cross_entropy
from expunge.curvature.losses import log_odds
from expunge.metrics.forgetting import _hardness
from expunge.metrics.membership import threshold_attack
from expunge.models import Mlp
from expunge.predictors import Graded
from expunge.predictors.network import NetworkModel
from expunge.scrub import Problem, Scrub
from expunge.scrub.noisy_copies import perturbed
from expunge.training import Learner, Training
from tests import networks

COPIES, SAMPLES = 200, 12


def confident(scale):
    """A trained classifier in float32, its last layer scaled, and its data."""
    x, y = networks.blobs(n=90, d=12, classes=4, spread=0.4)
    data = networks.examples(x, y, dtype=torch.float32)
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 10), nn.ReLU(), nn.Linear(10, 4)
    )
    optimizer, (inputs, targets) = torch.optim.Adam(net.parameters(), 0.02), data.take(np.arange(90))
    for _ in range(40):
        optimizer.zero_grad()
        cross_entropy(net(inputs), targets).mean().backward()
        optimizer.step()
    with torch.no_grad():
        net[5].weight.mul_(scale)
        net[5].bias.mul_(scale)
    return net.eval(), data


def by_hand(net, x, y, seed):
    """Units that FOCI chooses from the copies, layer by layer in float64, and the distinct losses."""
    copies = torch.cat([c for c, _ in perturbed(x, COPIES, 0.1, torch.Generator().manual_seed(seed))])
    value, columns, units = copies.double(), [], []
    with torch.no_grad():
        for place in (1, 3, 5):
            layer = net[place]
            value = nn.functional.linear(
                value.relu() if place > 1 else value, *(p.double() for p in (layer.weight, layer.bias))
            )
            columns.append(value)
            units += [(str(place), unit) for unit in range(value.shape[1])]
    order = log_odds(value, y.expand(COPIES)).numpy()
    found = foci(torch.cat(columns, dim=1).numpy(), order, ties="noise", rng=np.random.default_rng(seed))
    return [units[column] for column in found.columns], len(np.unique(order))


@pytest.mark.parametrize("scale", [10.0, 300.0])
def test_selections_of_a_confident_network_are_those_of_float64(scale):
    """In float32 the losses have a few values, or one: L-FOCI ranked rounding, or nothing was selected."""
    net, data = confident(scale)
    scrub = Scrub(n_perturbations=COPIES)
    for row in range(SAMPLES):
        sample = data.take([row])
        problem = Problem(net, cross_entropy, sample, data.only(np.delete(data.rows, row)), 90, None)
        found = scrub.select(problem, np.random.default_rng(row), torch.Generator().manual_seed(row))
        expected, distinct = by_hand(net, *sample, row)
        assert distinct == COPIES
        assert found == expected


def test_losses_of_the_copies_are_kept_as_losses():
    net, data = confident(1.0)
    problem = Problem(net, cross_entropy, data.take([3]), data.only(np.delete(data.rows, 3)), 90, None)
    seen = Scrub(n_perturbations=50).observe(problem, torch.Generator().manual_seed(0))
    copies = torch.cat(
        [c for c, _ in perturbed(problem.sample[0], 50, 0.1, torch.Generator().manual_seed(0))]
    )
    odds = log_odds(net.double()(copies.double()), data.y[[3] * 50])
    expected = -nn.functional.logsigmoid(-odds)  # about 1e-9, of which logsumexp leaves 7 digits
    np.testing.assert_allclose(seen.losses, expected.detach().numpy(), rtol=1e-12)
    assert seen.order is None
    assert seen.ranked is seen.losses


def test_membership_of_a_confident_network_is_told_by_its_margins():
    """Losses that are 0 to the last bit, or as large as a number can be, are ties that hide members."""
    x, y = networks.blobs(n=40, d=4, classes=3, spread=0.3)
    model = NetworkModel(Learner(Mlp((5,)), Training(epochs=3, lr=0.1, batch_size=8), device="cpu"))
    model.fit(x.astype(np.float32), y + 5, seed=0)
    with torch.no_grad():
        for p in list(model.module.parameters())[-2:]:
            p.mul_(1e5)
    assert isinstance(model, Graded)
    rows = np.arange(40)
    found = _hardness(model, x.astype(np.float32), y + 5, rows, np.zeros((40, 1)))
    assert len(np.unique(found)) == 40
    assert np.abs(found).max() > 1e3
    easy = found < np.median(found)
    assert threshold_attack(found[easy], found[~easy]).auc == 1.0
    assert model.log_odds(x, y + 5, rows[:0]).shape == (0,)
