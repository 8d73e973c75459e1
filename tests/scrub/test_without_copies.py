"""Networks of known code are run in float64 by tensors in place of their own: nothing of them is moved."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.utils import parametrizations, prune

from expunge.curvature import Block, cross_entropy
from expunge.curvature.double import doubles, in_float64
from expunge.curvature.watching import known_code, repeatable
from expunge.datasets.images import Examples, Images
from expunge.models import Mlp, Torchvision
from expunge.scrub import Problem, ScrubError, steps


def problem(module: nn.Module) -> Problem:
    rng = np.random.default_rng(0)
    x = Images.of(rng.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8), 255.0, 0.5)
    every = Examples(x, torch.from_numpy(rng.integers(0, 4, 20)), np.arange(20))
    kept = every.only(np.delete(np.arange(20), [0, 7]))
    return Problem(module, cross_entropy, every.take([0, 7]), kept, 20)


@pytest.mark.parametrize("family", [Torchvision("resnet18"), Torchvision("mobilenet_v2")], ids=str)
def test_the_change_of_the_gradient_is_that_of_a_copy(family):
    module = family.build((3, 32, 32), 4).eval()
    assert known_code(module)
    given = problem(module)
    name = [name for name, part in module.named_modules() if isinstance(part, nn.Linear)][-1]
    block = Block.of(module, {name: [0, 3]})
    before = {name: value.clone() for name, value in module.state_dict().items()}
    ours, theirs = steps._change_without_copies(given, block, 1e-3), steps._sample_change(given, block, 1e-3)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=0)
    x = given.sample[0].double()
    found = functional_call(module, doubles(module), (x,))
    torch.testing.assert_close(found, in_float64(module, x)(x), rtol=1e-12, atol=0)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in module.parameters())


def test_a_gradient_of_zero_is_said():
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4)).eval()
    with torch.no_grad():
        module[1].weight.zero_()
        module[1].bias.copy_(torch.tensor([0.0, 0.0, 0.0, -1e30]))
    with pytest.raises(ScrubError, match="no gradient"):
        steps._change_without_copies(problem(module), Block.of(module, {"1": [3]}), 1e-3)


class Own(nn.Linear):
    """Code that nobody knows."""


def test_what_code_is_known():
    def network(layer: nn.Module) -> nn.Module:
        return nn.Sequential(nn.Flatten(), layer)

    assert known_code(network(nn.Linear(3, 2)))
    assert known_code(Mlp().build((3,), 2))
    assert not known_code(network(Own(3, 2)))
    assert not known_code(network(prune.random_unstructured(nn.Linear(3, 2), "weight", 0.5)))
    assert not known_code(network(parametrizations.weight_norm(nn.Linear(3, 2))))
    holding = network(nn.Linear(3, 2))
    holding.mean = torch.zeros(3)
    assert not known_code(holding)


def test_convolutions_are_free_again_afterwards():
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    with repeatable(torch.device("cpu")):
        assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == before
    with repeatable(torch.device("cuda")):
        assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == (True, False)
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == before
