"""Roots of the Hessian of a loss in many outputs: exact, sampled, and what does not fit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from expunge.core.errors import InvalidValue
from expunge.core.memory import available_memory
from expunge.curvature import Block, KroneckerFactored, SolveError, cross_entropy
from expunge.curvature.kfac import require_memory
from expunge.curvature.roots import root_columns
from expunge.scrub.outputs import _others

REPOSITORY = Path(__file__).parents[2]


def own(outputs, targets):
    """The cross-entropy as a loss that the product does not know."""
    return cross_entropy(outputs, targets)


def products(losses, z, columns=None, seed=0):
    """S S^T of each example, (m, K, K)."""
    y, rng = torch.zeros(len(z), dtype=torch.int64), np.random.default_rng(seed)
    return sum(torch.einsum("mi,mj->mij", c, c) for c in root_columns(losses, z, y, columns, rng))


@given(st.integers(2, 7), st.floats(0.1, 60), st.integers(0, 2**16))
@settings(max_examples=60, deadline=None)
def test_the_closed_form_is_the_hessian(classes, scale, seed):
    z = scale * torch.randn(3, classes, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    p = z.softmax(dim=1)
    expected = torch.diag_embed(p) - torch.einsum("mi,mj->mij", p, p)
    torch.testing.assert_close(products(cross_entropy, z), expected, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(products(own, z), expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 15.0])
def test_sampled_columns_have_the_hessian_as_their_mean(scale):
    z = scale * torch.randn(1, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    many = z.expand(20_000, -1).contiguous()
    (expected,) = products(cross_entropy, z)
    found = products(cross_entropy, many, columns=5)
    error = torch.linalg.matrix_norm(found.mean(dim=0) - expected) / torch.linalg.matrix_norm(expected)
    assert float(error) < 0.02
    again = [products(cross_entropy, many[:9], columns=5, seed=seed) for seed in (3, 3, 4)]
    assert torch.equal(again[0], again[1])
    assert not torch.equal(again[0], again[2])


def test_outputs_that_are_not_finite_are_refused():
    with pytest.raises(SolveError, match="not finite"):
        products(cross_entropy, torch.full((1, 3), torch.nan))


def test_the_layer_of_the_outputs_is_exact_and_the_others_are_near():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 60)).double()
    x = torch.randn(200, 6, dtype=torch.float64)
    batches = [(x[:150], torch.zeros(150, dtype=torch.int64)), (x[150:], torch.zeros(50, dtype=torch.int64))]
    v = torch.Generator().manual_seed(1)
    for units, most in (({"2": range(0, 60, 7)}, 1e-12), ({"0": range(8)}, 0.1)):
        block = Block.of(net, units)
        along = torch.randn(block.size, dtype=torch.float64, generator=v)
        exact, sampled = (
            KroneckerFactored(net, cross_entropy, batches, block, columns=c)(along) for c in (None, 20)
        )
        error = float(torch.linalg.vector_norm(sampled - exact) / torch.linalg.vector_norm(exact))
        assert error < most
        assert error > 0 or most < 0.1


CODE = """
import resource, sys, torch
from torch import nn
from expunge.core.errors import InvalidValue
from expunge.core.memory import available_memory
from expunge.curvature import Block, KroneckerFactored, cross_entropy
limit = int(3.5e9)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
assert available_memory() < limit
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 5749))
batches = [(torch.randn(64, 10), torch.arange(64))]
block = Block.of(net, {"0": range(16), "2": [0, 9, 5748]})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
v = torch.ones(block.size, dtype=torch.float64)
assert torch.isfinite(KroneckerFactored(net, cross_entropy, batches, block)(v)).all()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3)
try:
    KroneckerFactored(net, lambda z, y: cross_entropy(z, y), batches, block)
except InvalidValue as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on address space")
def test_kfac_of_5749_people_fits_and_what_does_not_is_one_line():
    """A Hessian of (64, 5749, 5749) would take 17 GB."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    megabytes, line = done.stdout.strip().split("\n")
    assert float(megabytes) < 300
    said = (
        'curvature: got "kfac, which needs 17 GiB for a loss of one\'s own and 64 x 5,749 outputs", allowed'
    )
    assert line.startswith(said)
    assert "ggn (takes any number of outputs)" in line


def test_factors_that_do_not_fit_are_named_with_a_way_out():
    net = nn.Sequential(nn.Linear(400_000, 2), nn.Linear(2, 2))
    block = Block.of(net, {"0": [0, 1], "1": [0]})
    require_memory(net, block, rows=128)
    assert 0 < available_memory() < 1e12
    with pytest.raises(
        InvalidValue, match=r"needs 1.16 TiB, 1.16 TiB of them for 0', allowed: ggn"
    ) as raised:
        require_memory(net, block, rows=10**6)
    assert raised.value.name == "curvature"


def test_outputs_of_many_labels_are_summed_a_few_rows_at_a_time():
    torch.manual_seed(0)
    head, inputs = nn.Linear(3, 3000), torch.randn(1600, 3, dtype=torch.float64)
    gone = [5, 2999]
    whole = nn.functional.linear(inputs, head.weight.double(), head.bias.double()).detach().numpy()
    expected = np.log(np.exp(np.delete(whole, gone, axis=1)).sum(axis=1))
    np.testing.assert_allclose(_others(head, inputs, gone), expected, rtol=1e-12)


class Scaled(nn.Module):
    """Outputs that are scaled after the head, as those of cosine similarities are."""

    def __init__(self, in_place):
        super().__init__()
        torch.manual_seed(0)
        self.head, self.in_place = nn.Linear(6, 30), in_place

    def forward(self, x):
        z = self.head(x)
        return z.mul_(4.0) if self.in_place else z * 4.0


@pytest.mark.parametrize("in_place", [False, True])
def test_outputs_that_are_changed_after_the_head_are_not_taken_for_its_own(in_place):
    net = Scaled(in_place).double().eval()
    batches = [(torch.randn(9, 6, dtype=torch.float64), torch.arange(9))]
    block = Block.of(net, {"head": range(30)})
    along = torch.randn(block.size, dtype=torch.float64)
    exact, sampled = (
        KroneckerFactored(net, cross_entropy, batches, block, columns=c)(along) for c in (None, 25)
    )
    assert float(torch.linalg.vector_norm(sampled - exact) / torch.linalg.vector_norm(exact)) < 0.5
