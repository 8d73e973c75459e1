"""Multiply-adds of a request and of training by hand on small networks, and what is said of many."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from expunge.record.requests import Request
from expunge.run.costly import told
from expunge.scrub import Scrub, work
from expunge.scrub.work import Layer
from tests import networks

FORWARD = (
    108 * 64 + 144 * 64 + 48
)  # two convolutions of 8 x 8 places, 3 to 4 and 4 to 4 channels, and 16 to 3


def test_a_pass_is_what_its_loops_come_to():
    module = networks.small_cnn()
    found = work.layers_of(module, torch.zeros(1, 3, 8, 8, dtype=torch.float64))
    assert found == [Layer(27, 4, 64), Layer(36, 4, 64), Layer(16, 3, 1)]
    assert work.of_forward(found) == FORWARD
    assert work.of_training(found, 50) == 4 * 50 * FORWARD
    assert not any(part._forward_hooks for part in module.modules())


def test_groups_tokens_and_repeated_calls_are_counted():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.grouped, self.token, self.idle = nn.Conv1d(1, 1, 1), nn.Linear(5, 7), nn.Linear(2, 2)
            self.wide = nn.Conv2d(4, 6, 3, groups=2)

        def forward(self, x):
            self.wide(torch.zeros(len(x), 4, 5, 5))
            return self.token(self.token(x)[..., :5])

    assert work.layers_of(Net(), torch.zeros(1, 3, 5)) == [Layer(18, 6, 9), Layer(5, 7, 6)]


def test_attention_and_norms_are_counted():
    """Of each token: queries, keys and values of 4 features, what puts them out, scale and shift."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.attention = nn.LayerNorm(4), nn.MultiheadAttention(4, 2, batch_first=True)
            self.end = nn.Linear(4, 3)

        def forward(self, x):
            x = self.norm(x)
            return self.end(self.attention(x, x, x)[0].mean(dim=1))

    found = work.layers_of(Net(), torch.zeros(1, 5, 4))
    assert found == [Layer(1, 4, 5), Layer(4, 12, 5), Layer(4, 4, 5), Layer(4, 3, 1)]


LAYERS = [Layer(10, 20, 1), Layer(20, 4, 1)]
ONCE = 280


def test_copies_and_selection_are_those_of_each_class():
    targets = torch.tensor([0] * 5 + [1] * 5)
    count = work.of_scrub(Scrub(n_perturbations=400), LAYERS, targets, 4, stay=90)
    assert count["copies"] == ONCE * 400
    assert count["selection"] == round(500 * 24 * 2 * 200**1.5)
    assert count["step"] == 3 * ONCE * 10 + 2 * ONCE * 90  # 256 rows are asked for, and 90 stay
    assert count["refit"] == 0
    many = work.of_scrub(
        Scrub(n_perturbations=400, selection="together"), LAYERS, torch.zeros(900).long(), 4, 90
    )
    assert many["copies"] == ONCE * 900
    none = work.of_scrub(Scrub(selector="all"), LAYERS, targets, 4, stay=90)
    assert none["copies"] == none["selection"] == 0


def test_curvature_is_that_of_its_kind():
    def curvature(**settings):
        return work.of_scrub(Scrub(**settings), LAYERS, torch.zeros(1).long(), 4, stay=1000)["curvature"]

    walks = 128 * (ONCE + 4 * 80)  # not back through the first layer
    factors = 128 * (10**2 + 20**2)
    product = 10**2 * 20 + 10 * 20**2 + 20**2 * 4 + 20 * 4**2
    assert curvature(selector="all", curvature_tol=1e-4) == walks + 2 * (factors + 50 * product)
    assert curvature(curvature="ggn", curvature_tol=1e-2) == 25 * 128 * 3 * ONCE
    assert curvature(curvature="fd") == curvature(mode="ascent") == 0
    few, all_of_them = curvature(curvature_columns=2), curvature()
    assert all_of_them - few == 128 * 2 * 80


def test_a_label_that_loses_its_last_row_has_its_output_fitted_again():
    targets = torch.tensor([2, 2])
    count = work.of_scrub(Scrub(), LAYERS, targets, 4, stay=98, emptied=1)
    assert count["refit"] == 98 * (ONCE + 100 * 20)
    assert work.of_scrub(Scrub(refit_outputs=False), LAYERS, targets, 4, 98, 1)["refit"] == 0


# -- what is said of it -------------------------------------------------------------------------------------

REQUEST = Request(3, tuple(range(200)))


def method(share=None, role="heuristic", ways="fewer"):
    return SimpleNamespace(role=role, share_of_retraining=lambda rows: share, cheaper=lambda rows: ways)


def test_both_times_and_the_way_out_are_said_before_a_costly_request():
    line = told(method(share=1.5), REQUEST, fit=22.0, last=None)
    assert line == (
        "request 3 (200 rows) may take 33 s (by its multiply-adds), "
        "training again 22 s (as the fit); cheaper: fewer"
    )
    assert "34 s (as long as the one before)" in told(method(), REQUEST, fit=22.0, last=34.0)
    assert "cheaper" not in told(SimpleNamespace(), REQUEST, fit=22.0, last=34.0)  # a plug-in


@pytest.mark.parametrize(
    ("which", "fit", "last"),
    [
        ({"share": 0.9}, 22.0, None),
        ({"share": 1.5}, 22.0, 20.0),  # what was measured counts
        ({"share": None}, 22.0, None),  # nobody has counted
        ({"share": 9.0}, 1.0, None),  # less than ten seconds
        ({"share": 9.0}, None, None),
        ({"share": 9.0, "role": "reference"}, 22.0, 30.0),
    ],
)
def test_nothing_is_said_of_others(which, fit, last):
    assert told(method(**which), REQUEST, fit, last) is None
