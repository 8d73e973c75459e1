"""Curvature of a block and its solves against dense float64 oracles."""

import copy
import itertools

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from expunge.core.errors import InvalidValue
from expunge.curvature import (
    Block,
    GaussNewton,
    Hessian,
    KroneckerFactored,
    LowRank,
    SolveError,
    combine,
    conjugate_gradient,
    cross_entropy,
    example_losses,
    mean_gradient,
    norm,
    outer,
    secant,
)
from expunge.curvature.moment import SecondMoment
from expunge.models import Vit
from tests.oracles import curvature as oracle

CLASSES = 3


def softmax_regression():
    return nn.Sequential(nn.Flatten(), nn.Linear(6, CLASSES)), (6,), {"1": [0, 2]}


def mlp():
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, CLASSES))
    return net, (4,), {"4": [1], "0": [3, 0], "2": [4, 2, 2]}


def conv_net():
    """BatchNorm and dropout in evaluation mode, max-pooling, groups, work in place right after a layer."""
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=(1, 2), dilation=(1, 2), bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2, stride=1),
        nn.Conv2d(4, 4, (3, 2), groups=2, padding=(1, 0)),
        nn.LeakyReLU(0.1, inplace=True),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(16, CLASSES),
    )
    net.train()
    net(torch.randn(16, 2, 6, 8))  # running statistics other than 0 and 1
    return net, (2, 6, 8), {"0": [1, 3], "4": [0, 1, 2], "8": [2]}


class Tokens(nn.Module):
    """Attention over tokens: a Linear is applied at every one of them."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(3, 4)
        self.mix = nn.Linear(4, 4)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x):
        x = self.embed(x)
        x = nn.functional.scaled_dot_product_attention(x[:, None], self.mix(x)[:, None], x[:, None])[:, 0]
        return self.head(x.mean(dim=1))


def tokens():
    return Tokens(), (5, 3), {"embed": [0, 3], "mix": [1], "head": [0]}


class AttentionBlock(nn.Module):
    """Torch's own layer of a transformer, whose inner projections nothing calls, and a GroupNorm."""

    def __init__(self):
        super().__init__()
        self.embed, self.norm = nn.Linear(3, 4), nn.GroupNorm(2, 6)
        self.layer = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x):
        return self.head(self.layer(self.norm(self.embed(x))).mean(dim=1))


def attention_block():
    inner = {"layer.norm1": [1, 2], "layer.self_attn.out_proj": [0], "layer.linear1": [2]}
    return AttentionBlock(), (6, 3), {"norm": [0, 4], "layer.self_attn": [0, 3, 6, 9, 11], **inner}


def vit():
    units = {"embedding.patches": [1], "norm": [0, 3], "head": [2]}
    of_block = {"norm1": [0, 2], "attention.qkv": [1, 5, 10], "attention.proj": [3], "norm2": [1], "fc2": [0]}
    network = Vit(patch=2, dim=4, depth=1, heads=2, pool="class").build((1, 4, 4), CLASSES)
    return network, (1, 4, 4), {**units, **{f"blocks.0.{name}": own for name, own in of_block.items()}}


NETS = [softmax_regression, mlp, conv_net, tokens, attention_block, vit]
nets = pytest.mark.parametrize("make", NETS, ids=lambda make: make.__name__)


def problem(make, examples=7, seed=0):
    """A float64 network, its block, and examples both whole and in batches of unequal size."""
    torch.manual_seed(seed)
    net, shape, units = make()
    net = net.double()
    x, y = torch.randn(examples, *shape, dtype=torch.float64), torch.arange(examples) % CLASSES
    return net, units, Block.of(net, units), x, y, [(x[:4], y[:4]), (x[4:6], y[4:6]), (x[6:], y[6:])]


def dense(product, size):
    return torch.stack([product(unit) for unit in torch.eye(size, dtype=torch.float64)], dim=1)


def close(found, expected, rtol=1e-10):
    assert found.dtype == torch.float64
    assert norm([found - expected]) <= rtol * max(norm([expected]), 1e-12)


# --- products


@nets
def test_hessian_equals_the_oracle(make):
    net, units, block, x, y, batches = problem(make)
    expected = oracle.full_hessian(copy.deepcopy(net), cross_entropy, x, y, units)
    close(dense(Hessian(net, cross_entropy, batches, block), block.size), expected)
    close(dense(Hessian(net, cross_entropy, [(x, y)], block), block.size), expected)


@nets
def test_hessian_equals_differences_of_the_gradient(make):
    net, _, block, _, _, batches = problem(make)
    v = torch.randn(block.size, dtype=torch.float64)
    found, gradients, h = Hessian(net, cross_entropy, batches, block)(v), [], 1e-5
    for sign in (1, -1):
        moved = copy.deepcopy(net)
        block.add(moved, sign * h * v)
        gradients.append(block.gather(mean_gradient(moved, cross_entropy, batches)))
    close((gradients[0] - gradients[1]) / (2 * h), found, rtol=1e-6)


@nets
def test_gauss_newton_equals_the_oracle_and_is_semidefinite(make):
    net, units, block, x, y, batches = problem(make)
    expected = oracle.gauss_newton(copy.deepcopy(net), cross_entropy, x, y, units)
    found = dense(GaussNewton(net, cross_entropy, batches, block), block.size)
    close(found, expected)
    close(dense(GaussNewton(net, cross_entropy, [(x, y)], block), block.size), expected)
    close(found, found.T)
    assert torch.linalg.eigvalsh(found)[0] >= -1e-14 * torch.linalg.eigvalsh(found)[-1]


def test_gauss_newton_is_the_hessian_where_outputs_are_linear_in_the_weights():
    net, _, block, _, _, batches = problem(softmax_regression)
    v = torch.randn(block.size, dtype=torch.float64)
    close(GaussNewton(net, cross_entropy, batches, block)(v), Hessian(net, cross_entropy, batches, block)(v))


@pytest.mark.parametrize("curvature", [Hessian, GaussNewton, KroneckerFactored])
def test_curvature_leaves_the_network_as_it_is(curvature):
    net, _, block, _, _, batches = problem(conv_net)
    net.train()
    net[4].eval()
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    before, modes = copy.deepcopy(net.state_dict()), [part.training for part in net.modules()]
    curvature(net, cross_entropy, batches, block)(torch.ones(block.size, dtype=torch.float64))
    assert [part.training for part in net.modules()] == modes
    assert all(torch.equal(before[name], now) for name, now in net.state_dict().items())
    assert all(p.requires_grad and bool((p.grad == 7).all()) for p in net.parameters())
    assert not any(part._forward_hooks for part in net.modules())


@pytest.mark.parametrize("curvature", [Hessian, GaussNewton, KroneckerFactored])
def test_curvature_stays_that_of_the_weights_it_was_made_with(curvature):
    net, _, block, x, y, batches = problem(mlp)
    v = torch.randn(block.size, dtype=torch.float64)
    for given_batches in (batches, [(x, y)]):
        product = curvature(net, cross_entropy, given_batches, block)
        before = product(v)
        saved = block.save(net)
        block.add(net, torch.ones(block.size, dtype=torch.float64))
        assert torch.equal(product(v), before)
        block.restore(net, saved)


@pytest.mark.parametrize("curvature", [Hessian, GaussNewton, KroneckerFactored])
def test_no_examples_have_no_curvature(curvature):
    net, _, block, _, _, _ = problem(mlp)
    with pytest.raises(ValueError, match="no examples"):
        curvature(net, cross_entropy, [], block)


@pytest.mark.parametrize("curvature", [Hessian, GaussNewton, KroneckerFactored])
def test_a_loss_linear_in_the_outputs_has_no_curvature_of_its_own(curvature):
    net, _, block, _, _, batches = problem(softmax_regression)
    product = curvature(net, lambda outputs, y: outputs[:, 0], batches, block)
    assert not product(torch.ones(block.size, dtype=torch.float64)).any()


@pytest.mark.parametrize("curvature", [Hessian, GaussNewton, KroneckerFactored])
def test_single_precision_networks_are_taken(curvature):
    net, _, block, _, _, batches = problem(conv_net)
    v = torch.randn(block.size, dtype=torch.float64)
    expected = curvature(net, cross_entropy, batches, block)(v)
    single = [(x.float(), y) for x, y in batches]
    close(curvature(net.float(), cross_entropy, single, block)(v), expected, rtol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("curvature", [Hessian, GaussNewton, KroneckerFactored])
def test_the_device_finds_the_same(curvature):
    net, _, block, _, _, batches = problem(conv_net)
    expected = dense(curvature(net, cross_entropy, batches, block), block.size)
    there = [(x.cuda(), y.cuda()) for x, y in batches]
    close(dense(curvature(net.cuda(), cross_entropy, there, block), block.size), expected, rtol=1e-9)


# --- kfac


def binary(outputs, y):
    return nn.functional.softplus(outputs.flatten()) - y * outputs.flatten()


@nets
def test_kfac_equals_the_oracle_module_by_module(make):
    net, units, block, x, y, batches = problem(make)
    found = dense(KroneckerFactored(net, cross_entropy, batches, block), block.size)
    expected, at = torch.zeros_like(found), oracle.positions(net, units)
    for name, chosen in units.items():
        own = torch.isin(at, oracle.positions(net, {name: chosen}))
        matrix = oracle.kfac(copy.deepcopy(net), cross_entropy, x, y, name, set(chosen))
        expected[own.nonzero(), own.nonzero().T] = matrix
    close(found, expected)
    assert torch.linalg.eigvalsh(found)[0] >= -1e-14 * torch.linalg.eigvalsh(found)[-1]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize(
    ("options", "by_hand"),
    [
        ({"padding": "same"}, nn.ZeroPad2d((2, 2, 0, 1))),
        ({"padding": "valid"}, nn.Identity()),
        ({"padding": (1, 2), "padding_mode": "circular"}, nn.CircularPad2d((2, 2, 1, 1))),
    ],
)
def test_kfac_pads_as_the_convolution_does(options, by_hand):
    torch.manual_seed(0)
    conv = nn.Conv2d(2, 3, (2, 5), **options).double()
    bare = nn.Conv2d(2, 3, (2, 5)).double()
    bare.load_state_dict(conv.state_dict())
    x, y = torch.randn(4, 2, 6, 7, dtype=torch.float64), torch.arange(4) % CLASSES
    assert torch.allclose(conv(x), bare(by_hand(x)))
    found = []
    for first in (nn.Sequential(nn.Identity(), conv), nn.Sequential(by_hand, bare)):
        net = nn.Sequential(*first, nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        block = Block.of(net, {"1": [0, 2]})
        found.append(dense(KroneckerFactored(net, cross_entropy, [(x, y)], block), block.size))
    close(found[0], found[1])


@given(st.integers(1, 3), st.integers(0, 5), st.lists(st.integers(0, 4), max_size=5), st.integers(0, 99))
def test_second_moments_are_sums_of_outer_products(groups, width, pieces, seed):
    torch.manual_seed(seed)
    rows = [torch.randn(groups, count, width, dtype=torch.float64) for count in pieces]
    matrix, moment = torch.randn(2, width, dtype=torch.float64), SecondMoment(groups, width)
    for piece in rows:
        moment.add(piece)
    moment.finish(torch.device("cpu"))
    for group in range(groups):
        together = torch.cat([torch.zeros(0, width, dtype=torch.float64), *(r[group] for r in rows)])
        expected = sum((torch.outer(r, r) for r in together), torch.zeros(width, width, dtype=torch.float64))
        close(moment.times(matrix, group), matrix @ expected)


def test_kfac_of_a_very_wide_module_and_few_examples_fits():
    """A as a matrix would take 80 GB."""
    net = nn.Linear(100_000, CLASSES)
    block = Block.of(net, {"": [1]})
    x, y = torch.randn(2, 100_000), torch.tensor([0, 1])
    found = KroneckerFactored(net, cross_entropy, [(x, y)], block)
    v = torch.randn(block.size, dtype=torch.float64)
    inputs = torch.cat([x.double(), torch.ones(2, 1, dtype=torch.float64)], dim=1)
    p = net(x).double().softmax(dim=1)[:, 1].detach()
    expected = (p * (1 - p)).mean() * (inputs.T @ (inputs @ v)) / 2
    close(found(v), expected, rtol=1e-5)


@pytest.mark.parametrize(("losses", "outputs"), [(cross_entropy, CLASSES), (binary, 1)])
def test_kfac_of_one_linear_and_one_example_is_gauss_newton(losses, outputs):
    torch.manual_seed(1)
    net = nn.Linear(4, outputs).double()
    block = Block.of(net, {"": range(outputs)})
    batches = [(torch.randn(1, 4, dtype=torch.float64), torch.tensor([0]))]
    expected = dense(GaussNewton(net, losses, batches, block), block.size)
    close(dense(KroneckerFactored(net, losses, batches, block), block.size), expected)


def test_identical_modules_have_statistics_of_their_own():
    torch.manual_seed(2)
    net = nn.Sequential(
        nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, CLASSES)
    ).double()
    batches = [(torch.randn(5, 4, dtype=torch.float64), torch.arange(5) % CLASSES)]
    assert str(net[0]) == str(net[2])
    both = Block.of(net, {"0": [1], "2": [1]})
    found = dense(KroneckerFactored(net, cross_entropy, batches, both), both.size)
    first, second = both.rows["0.weight"], both.rows["2.weight"]
    assert torch.equal(first, second)
    for name, own in (("0", [0, 1, 2, 3, 4]), ("2", [5, 6, 7, 8, 9])):
        alone = Block.of(net, {name: [1]})
        expected = dense(KroneckerFactored(net, cross_entropy, batches, alone), alone.size)
        close(found[own][:, own], expected)
    assert norm([found[:5, :5] - found[5:, 5:]]) > 0.1 * norm([found])
    assert not found[:5, 5:].any()


def test_a_module_called_twice_has_the_calls_as_positions():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.head = nn.Linear(3, 3), nn.Linear(3, CLASSES)

        def forward(self, x):
            return self.head(self.inner(x[:, 0]) + self.inner(x[:, 1]))

    class Once(Twice):
        def forward(self, x):
            return self.head(self.inner(x).sum(dim=1))

    torch.manual_seed(3)
    twice = Twice().double()
    once = Once().double()
    once.load_state_dict(twice.state_dict())
    batches = [(torch.randn(4, 2, 3, dtype=torch.float64), torch.arange(4) % CLASSES)]
    block = Block.of(twice, {"inner": [0, 2]})
    expected = dense(KroneckerFactored(once, cross_entropy, batches, block), block.size)
    close(dense(KroneckerFactored(twice, cross_entropy, batches, block), block.size), expected)


def test_kfac_refuses_what_it_has_no_factors_for():
    _, _, _, _, _, batches = problem(mlp)
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)).double()
    tied[1].weight = tied[0].weight
    with pytest.raises(InvalidValue, match="shares no weights"):
        KroneckerFactored(tied, cross_entropy, batches, Block.of(tied, {"1": [0]}))

    class Aside(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.aside = nn.Linear(4, CLASSES), nn.Linear(4, 4)

        def forward(self, x):
            return self.used(nn.functional.linear(x, self.aside.weight))

    aside = Aside().double()
    with pytest.raises(InvalidValue, match=r"aside.*called through its own forward"):
        KroneckerFactored(aside, cross_entropy, batches, Block.of(aside, {"aside": [0]}))
    block = Block.of(tied[:1], {"0": [0]})
    with pytest.raises(ValueError, match="convex"):
        KroneckerFactored(tied[:1], lambda outputs, y: -outputs.square().sum(dim=1), batches, block)


def test_kfac_of_a_network_that_is_sure_of_its_answers():
    """In float32 the Hessian of a saturated softmax is little but rounding: neither negative nor refused."""
    module = nn.Linear(4, CLASSES)
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    block = Block.of(module, {"": range(CLASSES)})
    with torch.no_grad():
        module.weight.mul_(200)
    batches = [(x, torch.arange(50) % CLASSES)]
    found = KroneckerFactored(module, cross_entropy, batches, block)
    v = torch.randn(block.size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert float(v @ found(v)) >= 0
    assert torch.isfinite(found(v)).all()


# --- low rank

signs = st.sampled_from([1.0, 1.0, -1.0, 0.0])


@given(
    st.lists(st.tuples(signs, st.floats(-2, 2)), min_size=1, max_size=15),
    st.integers(1, 12),
    st.floats(-2, 2),
    st.floats(-100, 100),
    st.floats(-20, 20),
    st.integers(0, 2**16),
)
@settings(max_examples=150, deadline=None)
def test_woodbury_equals_the_dense_solve(terms, size, shift, scale, length, seed):
    """Ranks below and above the size; weights of both signs; everything scaled by any power of ten."""
    torch.manual_seed(seed)
    weights = torch.tensor([sign * 10**power for sign, power in terms], dtype=torch.float64)
    vectors, rhs = torch.randn(len(terms), size, dtype=torch.float64), torch.randn(size, dtype=torch.float64)
    matrix = vectors.T @ torch.diag(weights) @ vectors
    found = LowRank(vectors * 10**length, weights * 10 ** (scale - 2 * length))
    product = found(rhs) / 10**scale
    assert norm([product - matrix @ rhs]) <= 1e-10 * norm([rhs]) * float(
        weights.abs() @ vectors.square().sum(1)
    )
    assume(torch.linalg.cond(matrix + 10**shift * torch.eye(size, dtype=torch.float64)) < 1e4)
    x = found.solve(rhs, 10 ** (shift + scale))
    close(x * 10**scale, oracle.solve(matrix, rhs, 10**shift))


@given(st.floats(-150, 150), st.floats(-150, 150), st.floats(-150, 150), st.floats(-150, 150))
@settings(max_examples=100, deadline=None)
def test_weights_of_any_magnitude_beside_each_other(length, first, second, shift):
    """(c uu^T + d pp^T + s I)^-1 (u + p + q) = u / (c + s) + p / (d + s) + q / s for orthonormal u, p, q."""
    u, p, q = torch.tensor([[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1]], dtype=torch.float64)
    weights = torch.tensor([10 ** (first - length), 10 ** (second - length)], dtype=torch.float64)
    curvature = LowRank(10**length * torch.stack([u, p]), weights)
    c, d, s = 10 ** (first + length), 10 ** (second + length), 10**shift
    found = curvature.solve(u + p + q, s)
    close(found * s, u / (c / s + 1) + p / (d / s + 1) + q, rtol=1e-12)


def test_dependent_and_zero_vectors_solve():
    torch.manual_seed(5)
    v, rhs = torch.randn(6, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    for factors, weight in itertools.product(([1, 1], [1, 1, 0, -2]), (1e-9, 1.0, 1e9, 1e18, 1e40)):
        scales = torch.tensor(factors, dtype=torch.float64)
        many = LowRank(scales[:, None] * v, torch.full_like(scales, weight))
        one = LowRank(v[None], weight * scales.square().sum()[None])
        close(many.solve(rhs, 0.1), one.solve(rhs, 0.1))


def test_singular_systems_are_refused():
    v = torch.tensor([3.0, 4.0], dtype=torch.float64)
    singular = LowRank(v[None], torch.tensor([-0.04], dtype=torch.float64))
    with pytest.raises(SolveError, match="singular"):
        singular.solve(v, 1.0)
    close(singular.solve(v, 2.0), v)
    with pytest.raises(SolveError, match="shift 0"):
        outer(v).solve(v, 0.0)
    for bad in (float("nan"), float("inf")):
        with pytest.raises(SolveError, match="not finite"):
            outer(v * bad).solve(v, 1.0)
        with pytest.raises(SolveError, match="not finite"):
            outer(v).solve(v * bad, 1.0)


def test_fisher_secant_and_their_combination():
    torch.manual_seed(6)
    g, dg, dw = torch.randn(3, 4, dtype=torch.float64)
    close(dense(outer(g), 4), torch.outer(g, g))
    close(dense(secant(dg, dw), 4), torch.outer(dg, dg) / dw.abs().sum())
    for change in (dg, 0 * dg):
        with pytest.raises(SolveError, match="did not"):
            secant(change, 0 * dw)
    both = combine(10, outer(g), 3, secant(dg, dw))
    expected = (10 * torch.outer(g, g) - 3 * torch.outer(dg, dg) / dw.abs().sum()) / 7
    close(dense(both, 4), expected)
    close(both.solve(dw, 5.0), oracle.solve(expected, dw, 5.0))
    with pytest.raises(ValueError, match="m < n"):
        combine(3, outer(g), 3, outer(g))
    with pytest.raises(ValueError, match="vectors and weights"):
        LowRank(g, g)


# --- conjugate gradients


@given(st.integers(1, 12), st.floats(1e-3, 10), st.integers(0, 2**16))
@settings(max_examples=60, deadline=None)
def test_conjugate_gradient_equals_the_dense_solve(size, shift, seed):
    torch.manual_seed(seed)
    root, rhs = torch.randn(size, size, dtype=torch.float64), torch.randn(size, dtype=torch.float64)
    matrix = root @ root.T
    solution = conjugate_gradient(lambda v: matrix @ v, rhs, shift, tol=1e-12)
    left = norm([rhs - matrix @ solution.x - shift * solution.x])
    assert left == pytest.approx(solution.residual_norm, abs=1e-14 * norm([rhs]))
    assert left <= 1e-12 * norm([rhs])
    close(solution.x, oracle.solve(matrix, rhs, shift), rtol=1e-11 * float(torch.linalg.cond(matrix)) + 1e-10)


@pytest.mark.parametrize("curvature", [GaussNewton, KroneckerFactored])
def test_conjugate_gradient_solves_a_curvature(curvature):
    net, _, block, _, _, batches = problem(conv_net)
    product = curvature(net, cross_entropy, batches, block)
    rhs = block.gather(mean_gradient(net, cross_entropy, batches))
    found = conjugate_gradient(product, rhs, 0.01, tol=1e-12)
    close(found.x, oracle.solve(dense(product, block.size), rhs, 0.01))
    assert found.iterations <= 2 * block.size


def test_conjugate_gradient_of_nothing_is_nothing():
    found = conjugate_gradient(lambda v: v, torch.zeros(3, dtype=torch.float64), 1.0)
    assert (found.residual_norm, found.iterations) == (0, 0)
    assert not found.x.any()


def test_conjugate_gradient_says_why_it_gives_up():
    rhs = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    scale = torch.tensor([1.0, -2.0, 1e6], dtype=torch.float64)
    with pytest.raises(SolveError, match=r"plus 0\.5 is not positive definite"):
        conjugate_gradient(lambda v: scale * v, rhs, 0.5)
    with pytest.raises(SolveError, match="not converge in 2 steps"):
        conjugate_gradient(lambda v: scale.abs() * v, rhs, 0.5, max_iter=2)
    for bad in (float("nan"), float("inf")):
        with pytest.raises(SolveError, match="not finite"):
            conjugate_gradient(lambda v, bad=bad: bad * v, rhs, 0.5)
        with pytest.raises(SolveError, match="not finite"):
            conjugate_gradient(lambda v: v, rhs * bad, 0.5)
    coarse = conjugate_gradient(lambda v: (scale.abs() * v).float().double(), rhs, 0.5, tol=1e-4)
    assert coarse.residual_norm <= 1e-4 * norm([rhs])
    with pytest.raises(SolveError, match="rounded too coarsely"):
        conjugate_gradient(lambda v: (scale.abs() * v).float().double(), rhs, 0.5, tol=1e-14)
    for wrong in ({"tol": 0.0}, {"max_iter": 0}):
        with pytest.raises(InvalidValue):
            conjugate_gradient(lambda v: v, rhs, 0.5, **wrong)


# --- blocks


@nets
def test_a_block_reads_its_weights_in_their_order(make):
    net, units, block, _, _, _ = problem(make)
    at = oracle.positions(net, units)
    assert block.size == len(at)
    assert torch.equal(block.read(net), oracle.flat_weights(net)[at])
    numbers = torch.arange(block.size, dtype=torch.float64)
    whole = block.spread(numbers, dict(net.named_parameters()))
    assert torch.equal(block.gather(whole), numbers)
    zeros = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
    flat = torch.cat([tensor.reshape(-1) for tensor in (zeros | whole).values()])
    assert torch.equal(flat[at], numbers)
    assert float(flat.abs().sum()) == float(numbers.sum())
    assert torch.equal(block.join(block.split(numbers)), numbers)
    with pytest.raises(ValueError, match="weights"):
        block.split(numbers[1:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adding_touches_no_byte_outside_the_block(dtype):
    net, units, block, _, _, _ = problem(conv_net)
    net = net.to(dtype).to(memory_format=torch.channels_last)
    before, saved = copy.deepcopy(net.state_dict()), block.save(net)
    step = torch.randn(block.size, dtype=torch.float64)
    read = block.read(net)
    block.add(net, step)
    close(block.read(net) - read, step, rtol=1e-6 if dtype == torch.float32 else 1e-14)
    touched = 0
    for name, now in net.state_dict().items():
        same = torch.ones(now.shape, dtype=torch.bool)
        if name in block.rows:
            same[block.rows[name]] = False
            assert bool((now != before[name])[block.rows[name]].all())
        touched += int((~same).sum())
        assert now[same].numpy().tobytes() == before[name][same].numpy().tobytes()
    assert touched == block.size == len(oracle.positions(net, units))
    block.restore(net, saved)
    for name, now in net.state_dict().items():
        assert now.numpy().tobytes() == before[name].numpy().tobytes()
    assert all(p.requires_grad and p.grad is None for p in net.parameters())


def test_tied_weights_are_one():
    torch.manual_seed(7)
    net = nn.Sequential(
        nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4, bias=False), nn.Linear(4, CLASSES)
    ).double()
    net[2].weight = net[0].weight
    units = {"2": [3, 0], "0": [3, 1]}
    block = Block.of(net, units)
    assert block.names == ("0.weight", "0.bias")
    assert block.rows["0.weight"].tolist() == [0, 1, 3]
    assert block.rows["0.bias"].tolist() == [1, 3]
    x, y = torch.randn(5, 4, dtype=torch.float64), torch.arange(5) % CLASSES
    expected = oracle.full_hessian(net, cross_entropy, x, y, units)
    close(dense(Hessian(net, cross_entropy, [(x, y)], block), block.size), expected)
    expected = oracle.gauss_newton(net, cross_entropy, x, y, units)
    close(dense(GaussNewton(net, cross_entropy, [(x, y)], block), block.size), expected)


def test_one_module_under_two_names_is_one():
    net = nn.Sequential(nn.Linear(2, 2))
    net.add_module("again", net[0])
    assert Block.of(net, {"again": [1]}).names == ("0.weight", "0.bias")
    assert Block.of(net, {"again": [1], "0": [1]}).size == 3


def test_frozen_parameters_are_left_out():
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    net[0].weight.requires_grad_(False)
    assert Block.of(net, {"0": [1], "1": [0]}).names == ("0.bias", "1.weight", "1.bias")
    net[0].bias.requires_grad_(False)
    with pytest.raises(InvalidValue, match="frozen"):
        Block.of(net, {"0": [1]})


def test_kfac_without_the_weight_keeps_the_bias():
    torch.manual_seed(8)
    net = nn.Linear(3, CLASSES).double()
    whole = Block.of(net, {"": [0, 1]})
    batches = [(torch.randn(1, 3, dtype=torch.float64), torch.tensor([1]))]
    expected = dense(KroneckerFactored(net, cross_entropy, batches, whole), whole.size)[-2:, -2:]
    net.weight.requires_grad_(False)
    block = Block.of(net, {"": [0, 1]})
    close(dense(KroneckerFactored(net, cross_entropy, batches, block), block.size), expected)


@pytest.mark.parametrize(
    ("units", "line"),
    [
        ({}, "no unit"),
        ({"0": []}, "no unit"),
        ({"9": [0]}, "'9', allowed: the name of a module"),
        ({"1": [0]}, r"1 \(BatchNorm2d\)"),
        ({"0": [0, 4]}, "unit 4 of 0', allowed: 0 to 3"),
        ({"0": [-1]}, "unit -1 of 0"),
    ],
)
def test_units_that_cannot_be_are_refused(units, line):
    net, _, _, _, _, _ = problem(conv_net)
    with pytest.raises(InvalidValue, match=line) as raised:
        Block.of(net, units)
    assert raised.value.name == "units"
    assert "\n" not in str(raised.value)


def test_computed_weights_are_refused():
    net = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)), nn.Linear(2, 2))
    with pytest.raises(InvalidValue, match="parametrised"):
        Block.of(net, {"0": [0]})
    assert Block.of(net, {"1": [0]}).size == 3


# --- losses and gradients


def test_losses_and_mean_gradient_equal_the_oracle():
    net, _, _, x, y, batches = problem(conv_net)
    found = mean_gradient(net, cross_entropy, batches)
    losses = example_losses(net, cross_entropy, batches)
    net.eval()
    expected = torch.func.grad(lambda w: cross_entropy(oracle.outputs_at(net, w, x), y).mean())
    close(torch.cat([g.reshape(-1) for g in found.values()]), expected(oracle.flat_weights(net)))
    close(losses, -torch.log_softmax(net(x).detach(), 1)[torch.arange(len(y)), y])
    assert norm(found.values()) == pytest.approx(norm([expected(oracle.flat_weights(net))]))
    with pytest.raises(ValueError, match="no examples"):
        mean_gradient(net, cross_entropy, [])
