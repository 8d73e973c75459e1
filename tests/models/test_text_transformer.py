"""The network for texts: its equations, what padding does, and what it cannot take."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from expunge.core.errors import InvalidValue
from expunge.curvature.watching import known_code
from expunge.models import TextTransformer, initialised
from expunge.scrub.coverage import Coverage
from tests.models.test_models import by_hand

SMALL = TextTransformer(vocabulary=9, width=6, dim=8, depth=2, heads=2)
IDS = torch.tensor([[3.0, 9.0, 3.0, 1.0]], dtype=torch.float64)


def built(architecture=SMALL, length=4):
    network = initialised(architecture, (length,), 3, 0).double().eval()
    for part in network.modules():
        if isinstance(part, nn.LayerNorm):
            nn.init.normal_(part.weight)
            nn.init.normal_(part.bias)
    return network


def test_it_is_its_equations():
    network = built()
    state = network.state_dict()
    words = state["embedding.weight"][[3, 9, 3, 1]] @ state["project.weight"].T + state["project.bias"]
    place, pair = np.arange(4)[:, None], np.arange(4)[None]
    angles = place / 10_000 ** (2 * pair / 8)
    positions = torch.from_numpy(np.stack([np.sin(angles), np.cos(angles)], -1).reshape(4, 8)).float()
    last = by_hand(network, (words + positions)[None], 2).mean(dim=1)
    torch.testing.assert_close(network(IDS), last @ state["head.weight"].T + state["head.bias"])


def test_padding_changes_nothing():
    torch.manual_seed(0)
    short, long = built(length=4), built(length=7)
    long.load_state_dict(short.state_dict())
    padded = torch.cat([IDS, torch.zeros(1, 3, dtype=torch.float64)], dim=1)
    beside = torch.cat([padded, torch.arange(1.0, 8.0, dtype=torch.float64)[None]])
    torch.testing.assert_close(long(beside)[:1], short(IDS), rtol=1e-12, atol=1e-12)


def test_a_scrub_reaches_all_that_is_trained():
    network = built()
    reach = Coverage.of(network)
    assert reach.left == {"frozen": network.embedding.weight.numel()}
    assert known_code(network)
    trained = TextTransformer(**{**vars(SMALL), "trained": True})
    assert Coverage.of(built(trained)).left == {"Embedding": network.embedding.weight.numel()}


def test_what_stands_for_words_is_drawn_from_the_seed_alone():
    one, other = initialised(SMALL, (4,), 3, 5), initialised(SMALL, (4,), 3, 5)
    assert torch.equal(one.embedding.weight, other.embedding.weight)
    assert not one.embedding.weight[0].any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TextTransformer(dim=6), "dim: got 6, allowed: an even multiple of heads, 4"),
        (lambda: TextTransformer(dim=9, heads=3), "dim: got 9, allowed: an even multiple of heads, 3"),
        (lambda: TextTransformer(vocabulary=0), "vocabulary: got 0"),
        (lambda: TextTransformer(trained=1), "trained: got 1"),
        (lambda: TextTransformer(reads="words"), "reads: got 'words', allowed: one of tokens"),
        (lambda: SMALL.build((1, 28, 28), 3), "model: got 'text_transformer on inputs of shape"),
        (lambda: built()(IDS + 1), "model: got 'inputs from 2 to 10', allowed: numbers of words from 0"),
        (lambda: built()(IDS - 2), "model: got 'inputs from -1 to 7'"),
        (lambda: built()(IDS / 2), "model: got 'inputs from 0.5 to 4.5'"),
        (lambda: built()(0 * IDS), "model: got 'a text without words'"),
    ],
)
def test_what_it_cannot_take_is_said(make, message):
    with pytest.raises(InvalidValue) as error:
        make()
    assert message in str(error.value)
    assert "\n" not in str(error.value)
