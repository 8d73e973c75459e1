"""Attention and normalisation as layers with units: what they answer, what moves, how much is reached."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from expunge.core.errors import InvalidValue
from expunge.core.torchvision_import import import_torchvision
from expunge.curvature import Block, KroneckerFactored, cross_entropy, mean_gradient
from expunge.curvature.attention import attend
from expunge.curvature.double import in_float64
from expunge.curvature.fisher import mean_squared_gradient
from expunge.curvature.units import answering, own_parameters
from expunge.models import Vit
from expunge.scrub import Problem, Scrub
from expunge.scrub.coverage import Coverage
from expunge.scrub.noisy_copies import observe, perturbed, require_watched
from expunge.scrub.steps import CURVATURES
from expunge.training import History
from tests.networks import examples, pictures

TOKENS, SIZE, HEADS = 5, 8, 2
LATER = torch.ones(TOKENS, TOKENS).triu(1).bool()
PADDING = torch.tensor([[False] * 4 + [True]] * 3)
ADDED = torch.linspace(-1, 1, 3 * HEADS * TOKENS**2).reshape(3 * HEADS, TOKENS, TOKENS).double()


def attention(**settings):
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(SIZE, HEADS, **settings).double().eval()
    for bias in (layer.in_proj_bias, layer.out_proj.bias):
        if bias is not None:
            nn.init.normal_(bias)  # torch begins with 0, which hides mistakes
    return layer


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"need_weights": False},
        {"average_attn_weights": False},
        {"attn_mask": LATER, "is_causal": True, "need_weights": False},
        {"attn_mask": ADDED},
        {"key_padding_mask": PADDING, "attn_mask": LATER},
        {"key_padding_mask": torch.where(PADDING, -1.5, 0.0).double()},
    ],
    ids=lambda given: " ".join(given) or "plain",
)
def test_attention_written_out_is_torchs(batch_first, given):
    layer = attention(batch_first=batch_first)
    query, key, value = torch.randn(3, 3, TOKENS, SIZE, dtype=torch.float64)
    if not batch_first:
        query, key, value = (x.transpose(0, 1) for x in (query, key, value))
    for inputs in ((query, key, value), (query, query, query)):
        seen = []
        expected = layer(*inputs, **given)
        found = attend(
            layer, lambda x, answers, seen=seen: seen.append((x, answers)) or answers, *inputs, **given
        )
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
        ((own, answers),) = seen
        assert [x.shape for x in own] == [(3, TOKENS, SIZE)] * 3
        for x, part, w, b in zip(
            own, answers.chunk(3, -1), layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3), strict=True
        ):
            torch.testing.assert_close(part, x @ w.T + b)


def test_attention_without_biases_is_torchs():
    layer, x = attention(batch_first=True, bias=False), torch.randn(3, TOKENS, SIZE, dtype=torch.float64)
    torch.testing.assert_close(attend(layer, None, x, x, x), layer(x, x, x))


def test_what_is_not_written_out_is_left_to_torch_and_has_no_units():
    for settings in ({"add_bias_kv": True}, {"add_zero_attn": True}, {"kdim": 3, "vdim": 3}):
        layer = attention(**settings)
        assert own_parameters(layer) == {}
        inner = sum(p.numel() for p in layer.parameters(recurse=False))
        assert Coverage.of(layer).left == {"MultiheadAttention": inner}
    layer = attention(batch_first=True)
    x, longer = torch.randn(3, TOKENS, SIZE).double(), torch.randn(3, TOKENS + 2, SIZE).double()
    assert attend(layer, None, x, longer, longer) is None
    expected, seen = layer(x, longer, longer), []
    with answering(layer, {"": (layer, lambda *call: seen.append(call))}):
        torch.testing.assert_close(layer(x, longer, longer), expected)
    assert not seen


class Across(nn.Module):
    """Attention from fewer tokens to more."""

    def __init__(self):
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x):
        x = x.permute(0, 2, 3, 1).flatten(2)[..., :8]
        return self.head(self.attention(x[:, :2], x, x)[0].mean(dim=1))


X, Y = pictures(12)
BATCHES = examples(X, Y, dtype=torch.float64)


def test_attention_across_lengths_is_said_to_be_out_of_sight(caplog):
    network = Across().double().eval()
    require_watched(network, BATCHES.take([0])[0])
    assert (
        "attention (used without being called), attention.out_proj (used without being called)" in caplog.text
    )
    with pytest.raises(InvalidValue, match="called through its own forward"):
        KroneckerFactored(network, cross_entropy, BATCHES, Block.of(network, {"attention": [0]}))


def count(part):
    return sum(p.numel() for p in part.parameters())


def test_all_but_positions_and_class_token_of_our_vit_is_reached():
    network = Vit(patch=4, dim=8, depth=2, heads=2, mlp=2, pool="class").build((3, 8, 8), 3)
    of_block = 8 * (3 * 8) + 3 * 8 + 8 * 8 + 8 + 2 * (8 * 16) + 16 + 8 + 2 * (8 + 8)
    reached = 3 * 16 * 8 + 8 + 2 * of_block + (8 + 8) + (8 * 3 + 3)
    coverage = Coverage.of(network)
    assert (coverage.reached, coverage.left) == (reached, {"Positions": 5 * 8 + 8})
    assert coverage.total == count(network) == reached + 48
    mean = Coverage.of(Vit(patch=4, dim=8, heads=2).build((3, 8, 8), 3))
    assert mean.left == {"Positions": 4 * 8}


def test_all_but_positions_and_class_token_of_torchvisions_vit_is_reached(caplog):
    size = {
        "image_size": 32,
        "patch_size": 16,
        "num_layers": 2,
        "num_heads": 2,
        "hidden_dim": 8,
        "mlp_dim": 16,
    }
    network = import_torchvision().models.VisionTransformer(**size, num_classes=3)
    of_block = 3 * 8 * 8 + 3 * 8 + 8 * 8 + 8 + 2 * (8 * 16) + 16 + 8 + 2 * (8 + 8)
    reached = 3 * 16**2 * 8 + 8 + 2 * of_block + (8 + 8) + (8 * 3 + 3)
    left = {"Encoder": 5 * 8, "VisionTransformer": 8}  # positions of 4 patches and the class token
    coverage = Coverage.of(network)
    assert (coverage.reached, coverage.left, coverage.total) == (reached, left, count(network))
    require_watched(network.double(), torch.zeros(2, 3, 32, 32).double())
    assert not caplog.records  # every layer answers


def test_batch_norm_is_left_out_and_group_norm_is_not():
    norms = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.LayerNorm(5))
    assert Coverage.of(norms).left == {"BatchNorm2d": 8}
    assert Coverage.of(nn.LayerNorm((2, 5))).left == {"LayerNorm": 20}  # whose channel is no axis


class Small(nn.Module):
    """Torch's own attention on 4 patches, with a GroupNorm before and a LayerNorm behind."""

    def __init__(self):
        super().__init__()
        self.patches, self.group = nn.Conv2d(3, 8, 4, stride=4), nn.GroupNorm(2, 8)
        self.attention, self.norm = nn.MultiheadAttention(8, 2, batch_first=True), nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.group(self.patches(x)).flatten(2).mT
        return self.head(self.norm(x + self.attention(x, x, x, need_weights=False)[0]).mean(dim=1))


def small():
    torch.manual_seed(0)
    return Small().double().eval()


def test_units_answer_by_their_mean_over_tokens():
    network, sample = small(), BATCHES.take([0])
    found = observe(network, cross_entropy, sample, 20, 0.1, torch.Generator().manual_seed(0))
    copies = torch.cat([c for c, _ in perturbed(sample[0], 20, 0.1, torch.Generator().manual_seed(0))])
    with torch.no_grad():
        maps = network.group(network.patches(copies))
        x = maps.flatten(2).mT
        inner = x @ network.attention.in_proj_weight.T + network.attention.in_proj_bias
        last = network.norm(x + network.attention(x, x, x)[0])
        expected = {
            "group": maps.flatten(2).mean(dim=2),
            "attention": inner.mean(dim=1),
            "norm": last.mean(dim=1),
            "head": network.head(last.mean(dim=1)),
        }
    for name, answers in expected.items():
        columns = [k for k, (own, _) in enumerate(found.units) if own == name]
        assert [found.units[k][1] for k in columns] == list(range(answers.shape[1]))
        np.testing.assert_allclose(found.activations[:, columns], answers, rtol=1e-10, atol=1e-12)
    assert {name for name, _ in found.units} == {*expected, "patches", "attention.out_proj"}


@pytest.mark.parametrize("make", [small, lambda: Vit(dim=8, heads=2).build((3, 8, 8), 3).double().eval()])
@pytest.mark.parametrize("curvature", CURVATURES)
def test_a_scrub_moves_attention_and_norms(make, curvature):
    network = make()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    gradient = mean_gradient(network, cross_entropy, BATCHES)
    step = {name: -0.1 * slope for name, slope in gradient.items()}
    history = History(gradient, {name: 0.5 * change for name, change in step.items()}, step)
    problem = Problem.removing(network, cross_entropy, BATCHES, [4], history, penalty=0.01)
    l2 = 1e4 if curvature == "exact" else 1.0  # at random weights it is not positive definite
    scrub = Scrub(selector="all", curvature=curvature, l2=l2, max_rise=None)
    proposal = scrub.propose(problem, np.random.default_rng(0), torch.Generator().manual_seed(0))
    undo = proposal.apply(network)
    moved = {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}
    still = before.keys() - moved
    assert still <= {"embedding.positions"}
    assert proposal.figures["weights"] <= Coverage.of(network).reached
    undo()
    assert all(torch.equal(p, before[name]) for name, p in network.named_parameters())


def test_one_example_at_a_time_and_float64_know_attention():
    network = small()
    found = mean_squared_gradient(network, cross_entropy, BATCHES)
    for name, parameter in network.named_parameters():
        total = torch.zeros_like(parameter)
        for x, y in zip(*BATCHES.take(range(12)), strict=True):
            loss = cross_entropy(network(x[None]), y[None]).sum()
            total += torch.autograd.grad(loss, parameter)[0] ** 2 / 12
        torch.testing.assert_close(found[name], total)
    assert in_float64(network.float(), BATCHES.take([0])[0].float()) is not network
