"""Losses, gradients and curvature of networks that are sure of their answers: nothing is rounded away."""

from __future__ import annotations

import copy
import warnings
from functools import partial

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from expunge.curvature import Block, GaussNewton, Hessian, cross_entropy, example_losses, mean_gradient
from expunge.curvature.double import Unfolded, in_float64
from expunge.curvature.exact import Exact
from expunge.curvature.losses import is_cross_entropy, log_odds, order_of, precise
from expunge.unlearners.scrub_targets import logistic_losses

EPS = np.finfo(np.float64).eps
single = st.floats(-800, 800, width=32)


def oracle(row):
    """Loss of class 0, its log odds and its gradient, with 380 digits."""
    with mpmath.workdps(380):
        z = [mpmath.mpf(v) for v in row]
        e = [mpmath.exp(v - z[0]) for v in z]
        rest, whole = mpmath.fsum(e[1:]), mpmath.fsum(e)
        return mpmath.log1p(rest), mpmath.log(rest), [-rest / whole, *(v / whole for v in e[1:])]


def near(found, expected, ulps):
    return abs(found - expected) <= ulps * EPS * abs(expected) + mpmath.mpf(2) ** -1000


@given(st.floats(-800, 800, width=32), st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=5))
@settings(max_examples=80, deadline=None)
def test_cross_entropy_is_as_right_as_the_outputs_are(margin, others):
    z = torch.tensor([[np.float32(margin), *others]], dtype=torch.float64, requires_grad=True)
    y = torch.zeros(1, dtype=torch.int64)
    loss, odds, slope = oracle(z[0].tolist())
    found = cross_entropy(z, y)
    of_differences = max(abs(v - z[0, 0].item()) for v in others)  # exp makes their rounding a relative one
    assert near(float(found.detach()), loss, 8 + of_differences)
    assert abs(float(log_odds(z, y).detach()) - odds) <= 8 * EPS * max(1, abs(odds), abs(margin))
    (gradient,) = torch.autograd.grad(found.sum(), z, create_graph=True)
    assert all(near(g, s, 16 + of_differences) for g, s in zip(gradient[0].tolist(), slope, strict=True))
    rows = [torch.autograd.grad(g, z, retain_graph=True)[0] for g in gradient[0]]
    assert torch.isfinite(torch.cat(rows)).all()


@given(st.lists(st.lists(single, min_size=3, max_size=3), min_size=1, max_size=5), st.data())
@settings(max_examples=50, deadline=None)
def test_cross_entropy_is_torchs_own_where_nothing_cancels(rows, data):
    z = torch.tensor(rows, dtype=torch.float64)
    y = torch.tensor([data.draw(st.integers(0, 2)) for _ in rows])
    torch.testing.assert_close(cross_entropy(z, y), nn.functional.cross_entropy(z, y, reduction="none"))
    wide = z.reshape(1, 3, -1)  # (m, K, places) is torch's to compute
    assert cross_entropy(wide, torch.zeros(1, wide.shape[2], dtype=torch.int64)).shape == (1, wide.shape[2])
    assert not cross_entropy(z[:, :1], torch.zeros_like(y)).any()


def test_a_margin_beyond_every_number_still_has_its_place():
    z = torch.zeros(3, 2, dtype=torch.float64)
    z[:, 0] = torch.tensor([900.0, 901.0, 1e6])
    y = torch.zeros(3, dtype=torch.int64)
    assert not cross_entropy(z, y).any()
    assert order_of(cross_entropy, z.float(), y).tolist() == [-900.0, -901.0, -1e6]


def test_losses_of_the_linear_model_do_not_cancel_for_either_sign():
    s = torch.tensor([[-50.0], [50.0]], dtype=torch.float64)
    found = logistic_losses(s, torch.tensor([0, 1]))
    torch.testing.assert_close(found, torch.full((2,), 50.0).double().neg().exp(), rtol=1e-14, atol=0)


def sure(scale):
    """A classifier in float32 whose margins are large, its copy in float64 and rows that it gets right."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    with torch.no_grad():
        net[2].weight.mul_(scale)
    x = torch.randn(60, 4)
    with torch.no_grad():
        top = net(x).topk(2, dim=1)
    x, y = x[top.values[:, 0] - top.values[:, 1] > 20], top.indices[top.values.diff(dim=1)[:, 0] < -20, 0]
    return net, copy.deepcopy(net).double(), x, y


def test_gradients_and_curvature_in_float32_are_those_of_float64():
    """In float32 throughout, the gradient in the target's output is 0, and the curvature rounding."""
    net, double, x, y = sure(60.0)
    assert len(x) > 5
    batch, wide = [(x, y)], [(x.double(), y)]
    torch.testing.assert_close(
        example_losses(net, cross_entropy, batch),
        example_losses(double, cross_entropy, wide),
        rtol=1e-3,
        atol=0,
    )
    found = mean_gradient(net, cross_entropy, batch)
    for name, expected in mean_gradient(double, cross_entropy, wide).items():
        gap = (found[name] - expected).abs().max() / expected.abs().max()
        assert float(gap) < 1e-3, name
    block = Block.of(net, {"2": [0, 1, 2]})
    v = torch.randn(block.size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for curvature in (Hessian, GaussNewton):
        ours, theirs = (
            curvature(net, cross_entropy, batch, block),
            curvature(double, cross_entropy, wide, block),
        )
        gap = torch.linalg.vector_norm(ours(v) - theirs(v)) / torch.linalg.vector_norm(theirs(v))
        assert float(gap) < 1e-3


def test_a_loss_that_float64_fails_is_computed_in_float32_and_it_is_said():
    def weighted(outputs, targets):
        return cross_entropy(outputs, targets) * (outputs @ torch.ones(2))

    z, y = torch.randn(3, 2), torch.tensor([0, 1, 1])
    with pytest.warns(UserWarning, match="loss is computed in float32"):
        found = precise(weighted, z, y)
    assert torch.equal(found, weighted(z, y))
    with pytest.raises(RuntimeError):
        precise(lambda outputs, targets: outputs @ torch.ones(7), z, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert precise(cross_entropy, z, y).dtype == torch.float64
        assert (
            precise(lambda outputs, targets: outputs[0], (z[:, 0], z), y).dtype == torch.float32
        )  # another kind


WEIGHTS = torch.tensor([1.0, 2.0, 0.5])
TORCHS = {
    "module": (nn.CrossEntropyLoss(reduction="none"), False),
    "function": (partial(functional.cross_entropy, reduction="none"), False),
    "weights": (nn.CrossEntropyLoss(weight=WEIGHTS, reduction="none"), True),
    "closure": (lambda z, y: functional.cross_entropy(z, y, WEIGHTS, reduction="none"), True),
    "nll": (lambda z, y: functional.nll_loss(z.log_softmax(1), y, WEIGHTS, reduction="none"), True),
    "log_softmax": (lambda z, y: -torch.log_softmax(z, dim=-1).gather(1, y[:, None])[:, 0], False),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", TORCHS)
@pytest.mark.parametrize("margin", [0.0, 5.0, 60.0, 500.0])
def test_losses_of_torch_do_not_cancel(name, margin):
    """Against 50 digits, however torch's loss is written; the gradient, too, and torch's own elsewhere."""
    losses, weighted = TORCHS[name]
    z, y = torch.tensor([[margin, 0.25, -1.0], [0.5, 0.0, margin]]), torch.tensor([0, 1])
    wide = z.double().requires_grad_()
    found = precise(losses, wide, y)
    (slope,) = torch.autograd.grad(found.sum(), wide)
    with mpmath.workdps(250):
        for row in range(2):
            e = [mpmath.exp(mpmath.mpf(v)) for v in z[row].tolist()]
            rest = sum(v for k, v in enumerate(e) if k != int(y[row]))
            weight = WEIGHTS[y[row]].item() if weighted else 1.0
            loss = weight * mpmath.log1p(rest / e[int(y[row])])
            assert found[row].item() == pytest.approx(float(loss), rel=1e-13)
            assert -slope[row, y[row]].item() == pytest.approx(float(weight * rest / sum(e)), rel=1e-12)
    assert precise(losses, z, y).tolist() == found.tolist()
    assert is_cross_entropy(losses) == (name in ("module", "function"))
    if margin < 10:
        torch.testing.assert_close(losses(z, y).double(), found.detach(), rtol=1e-5, atol=1e-6)


def test_other_forms_of_torchs_losses_are_as_they_were():
    z, y = torch.randn(4, 3, dtype=torch.float64), torch.tensor([0, 1, 2, -100])
    forms = ({}, {"label_smoothing": 0.1}, {"reduction": "sum", "weight": WEIGHTS.double()})
    plain = [functional.cross_entropy(z, y, **form) for form in forms]
    shares = torch.rand(4, 3)
    with Exact():
        for form, expected in zip(forms, plain, strict=True):
            torch.testing.assert_close(functional.cross_entropy(z, y, **form), expected)
        assert functional.log_softmax(z, 1, dtype=torch.float32).dtype == torch.float32
        assert torch.equal(functional.log_softmax(z.float(), 0), z.float().log_softmax(0))
        mixed = functional.cross_entropy(z, shares, reduction="none")
    torch.testing.assert_close(mixed, functional.cross_entropy(z, shares.double(), reduction="none"))


@pytest.mark.parametrize("loss", [nn.HuberLoss, nn.SmoothL1Loss, nn.MSELoss, nn.BCEWithLogitsLoss])
def test_real_targets_in_float32_have_a_gradient(loss):
    net, y = nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)), torch.rand(5)
    gradient = mean_gradient(net, loss(reduction="none"), [(torch.ones(5, 4), y)])
    loss()(net(torch.ones(5, 4)), y).backward()
    torch.testing.assert_close(gradient["0.weight"], net[0].weight.grad)


def test_a_network_that_puts_out_float32_in_float64_says_so():
    class Rounded(nn.Linear):
        def forward(self, x):
            return super().forward(x).float()

    with pytest.warns(UserWarning, match="still puts out torch.float32"):
        in_float64(Rounded(2, 2), torch.ones(1, 2))


class Stubborn(nn.Module):
    """A network whose forward makes a tensor of float32."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        return self.layer(x) @ torch.eye(2)


class Strict(Stubborn):
    def forward(self, x):
        assert x.dtype == torch.float32, "float32 alone"
        return self.layer(x)


class Single(Stubborn):
    def __deepcopy__(self, memo):
        raise ValueError("there is one of me")


@pytest.mark.parametrize("kind", [Stubborn, Strict, Single])
def test_a_network_that_float64_fails_is_run_as_it_is_and_it_is_said(kind):
    net = kind()
    with pytest.warns(UserWarning, match="run in its own type, for in float64 it fails"):
        assert in_float64(net, torch.ones(1, 2)) is net
    whole = nn.BatchNorm1d(2).double()
    assert in_float64(whole, torch.ones(1, 2)) is whole
    part = nn.Linear(2, 2)
    found = in_float64(part, torch.ones(1, 2))
    assert found.weight.dtype == torch.float64
    assert part.weight.dtype == torch.float32


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3)),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 4), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(0, 2), st.integers(0, 3)),
    st.tuples(st.integers(1, 2), st.integers(1, 3)),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_unfolded_convolutions_are_torchs(sizes, map_size, kernel, stride, padding, dilation, bias):
    """On small maps much of a filter sees padding alone."""
    batch, channels, out = sizes
    room = [n + 2 * p - d * (k - 1) for n, p, d, k in zip(map_size, padding, dilation, kernel, strict=True)]
    assume(min(room) > 0)
    torch.manual_seed(0)
    net = nn.Conv2d(channels, out, kernel, stride, padding, dilation, bias=bias).double()
    x = torch.randn(batch, channels, *map_size, dtype=torch.float64)
    with torch.no_grad():
        expected = net(x)
        with Unfolded():
            found = net(x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(4, 2, 3, padding="same"),
        nn.Conv2d(4, 2, 3, padding=1, padding_mode="circular"),
        nn.Conv2d(4, 2, (1, 1)),
    ],
)
def test_what_is_not_unfolded_is_left_to_torch(layer):
    x = torch.randn(2, 4, 6, 6, dtype=torch.float64)
    layer = layer.double()
    with torch.no_grad(), Unfolded():
        found = layer(x)
    torch.testing.assert_close(found, layer(x))
    with Unfolded():
        assert layer(x).requires_grad
        assert layer.float()(x.float()).dtype == torch.float32


def test_a_convolution_called_by_names_is_taken_too():
    x, weight = torch.randn(2, 3, 5, 5).double(), torch.randn(4, 3, 3, 3).double()
    expected = nn.functional.conv2d(x, weight, padding=1)
    with torch.no_grad(), Unfolded():
        found = nn.functional.conv2d(input=x, weight=weight, padding=1)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
