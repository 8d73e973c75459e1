"""How much of a network the scrub can reach, and what an update has changed: counted, and said."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from torch import nn

from expunge.core.errors import InvalidValue
from expunge.curvature.gradients import cross_entropy
from expunge.scrub import Problem, Scrub
from expunge.scrub.coverage import Coverage
from expunge.scrub.noisy_copies import all_units
from expunge.scrub.selectors import SELECTORS
from tests import networks
from tests.scrub.test_scrub import generator, rng


class Zoo(nn.Module):
    """A bit of everything: what has no units is never updated."""

    def __init__(self):
        super().__init__()
        self.embedding, self.conv = nn.Embedding(8, 6), nn.Conv1d(6, 6, 3, padding=1)
        self.lstm = nn.LSTM(6, 6, batch_first=True)
        self.attention, self.norm = nn.MultiheadAttention(6, 2, batch_first=True), nn.LayerNorm(6)
        self.scale = nn.Parameter(torch.ones(6))
        self.frozen, self.head = nn.Linear(6, 6), nn.Linear(6, 3)
        self.frozen.requires_grad_(False)
        self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(6, 6))

    def forward(self, x):
        z = self.embedding((x.abs() * 3).long().clamp(0, 7))
        z = self.conv(z.mT).mT
        z, _ = self.lstm(z)
        z, _ = self.attention(z, z, z)
        z = self.normed(self.frozen(self.norm(z) * self.scale))
        return self.head(z.mean(dim=1))


REACHED = 21 + 168 + 12  # the head, the attention (queries, keys, values and their way out) and the norm


def zoo():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Zoo().double()


def problem_of(module, x, y, rows=(4,)):
    return Problem.removing(module, cross_entropy, networks.examples(x, y), list(rows), penalty=0.01)


def changed(module, before):
    """Weights and units that differ, counted from the tensors themselves."""
    weights, units = 0, set()
    for name, value in module.state_dict().items():
        differ = value != before[name]
        weights += int(differ.sum())
        part = name.rpartition(".")[0]
        units |= (
            {(part, int(unit)) for unit in torch.nonzero(differ)[:, :1].flatten()} if value.ndim else set()
        )
    return len(units), weights


def test_what_cannot_be_reached_is_counted_by_kind():
    module, coverage = zoo(), Coverage.of(zoo())
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in module.named_children()}
    assert coverage.total == sum(p.numel() for p in module.parameters())
    assert coverage.reached == sizes["head"] + sizes["attention"] + sizes["norm"] == REACHED
    assert coverage.left["LSTM"] == sizes["lstm"]
    assert coverage.left["Conv1d"] == sizes["conv"]
    assert coverage.left["Embedding"] == sizes["embedding"]
    assert coverage.left["frozen"] == sizes["frozen"]
    assert coverage.left["Zoo"] == 6
    assert sum(coverage.left.values()) == coverage.total - coverage.reached
    assert "of LSTM" in str(coverage)
    assert "frozen" in str(coverage)


def test_a_tensor_that_two_modules_share_counts_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.head = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
            self.head.weight = self.embedding.weight

    assert (Coverage.of(Tied()).total, Coverage.of(Tied()).left) == (20, {})  # reached through the Linear


@pytest.mark.parametrize("settings", [{"curvature": "ggn", "l2": 1.0}, {"mode": "ascent"}])
def test_all_counts_what_moves_and_says_what_does_not(settings, caplog):
    x, y = networks.blobs(20, 5)
    module = zoo()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    scrub = Scrub(selector="all", max_rise=None, **settings)
    with caplog.at_level(logging.INFO):
        first = scrub.propose(problem_of(module, x, y), rng(), generator())
        scrub.propose(problem_of(module, x, y, [5]), rng(), generator())
    said = [record for record in caplog.records if record.name == "expunge.scrub.coverage"]
    assert [record.levelname for record in said] == ["WARNING"]  # once for a network
    assert said[0].message.startswith(f"selector all reaches {REACHED} of ")
    first.apply(module)
    units, weights = changed(module, before)
    assert (first.figures["units"], first.figures["weights"]) == (units, weights)
    assert first.figures["weights_reachable"] == first.coverage.share == REACHED / first.coverage.total
    assert not any(name.startswith(("frozen", "normed")) for name in first.block.names)


def test_a_network_that_is_reached_whole_has_nothing_to_say(caplog):
    x, y = networks.blobs(20, 5)
    proposal = Scrub(selector="all").propose(problem_of(networks.softmax(5, 3), x, y), rng(), generator())
    assert proposal.coverage.share == 1
    assert "weights_reachable" not in proposal.figures
    assert not caplog.records


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("selector", SELECTORS)
def test_figures_count_what_an_update_changes(selector, dtype):
    x, y = networks.pictures(20)
    module = networks.small_cnn().to(dtype)
    with torch.no_grad():
        module[0].weight[1], module[0].bias[1] = 0, -1  # a dead unit: nothing of it moves but by the penalty
    module[3].requires_grad_(False)
    every = networks.examples(x, y, dtype=dtype)
    problem = Problem.removing(module, cross_entropy, every, [4], penalty=0.0)
    for settings in ({"mode": "ascent", "lr": 0.1}, {"mode": "ascent", "lr": 1e-7}, {"l2": 0.5}):
        before = {name: value.clone() for name, value in module.state_dict().items()}
        scrub = Scrub(selector=selector, n_perturbations=60, max_rise=None, **settings)
        proposal = scrub.propose(problem, rng(1), generator())
        undo = proposal.apply(module)
        assert (proposal.figures["units"], proposal.figures["weights"]) == changed(module, before)
        assert not {("0", 1), ("3", 0), ("3", 1)} & {u for u in proposal.units if selector == "lfoci"}
        undo()
    assert len(all_units(module)) == 4 + 3


def test_a_network_of_frozen_layers_alone_is_refused():
    x, y = networks.blobs(20, 5)
    module = networks.softmax(5, 3).requires_grad_(False)
    for selector in SELECTORS:
        with pytest.raises(InvalidValue, match=r"^model: got 'Sequential', allowed: .* that are not frozen"):
            Scrub(selector=selector).propose(problem_of(module, x, y), rng(), generator())


def test_ids_of_a_module_are_its_own():
    expected = ["attention", "attention.out_proj", "head", "norm"]
    assert np.array_equal(sorted({name for name, _ in all_units(zoo())}), expected)
