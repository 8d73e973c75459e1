"""A torch module of one's own is a family of networks; what it cannot take is told in one line."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch
from torch import nn

from expunge.core.errors import InvalidValue
from expunge.core.hashing import sha256_of_settings
from expunge.models import initialised
from expunge.models.module_class import ModuleClass

HERE = f"{__name__}."


class Plain(nn.Module):
    """Fixed inputs and outputs."""

    def __init__(self, hidden=4):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(6, hidden), nn.ReLU(), nn.Linear(hidden, 3))

    def forward(self, x):
        return self.layers(x)


class Told(nn.Module):
    """Inputs and outputs as the data have them."""

    def __init__(self, shape, classes):
        super().__init__()
        self.linear = nn.Linear(shape[0], classes)

    def forward(self, x):
        return self.linear(x)


def test_it_is_built_with_its_settings_and_told_what_it_names():
    assert ModuleClass(f"{HERE}Plain", {"hidden": 7}).build((2, 3), 3).layers[1].out_features == 7
    assert ModuleClass(f"{HERE}Told").build((5,), 2).linear.weight.shape == (2, 5)


def test_the_same_seed_gives_the_same_weights_and_all_it_depends_on_is_json():
    family = ModuleClass(f"{HERE}Told")
    one, two = (initialised(family, (5,), 2, seed=3).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert sha256_of_settings(asdict(family)) != sha256_of_settings(asdict(ModuleClass(f"{HERE}Plain")))


def test_a_setting_it_does_not_know():
    with pytest.raises(InvalidValue, match=r"widht: got 3, allowed: the keys hidden, name, weights"):
        ModuleClass(f"{HERE}Plain", {"widht": 3})


@pytest.mark.parametrize(
    ("shape", "classes", "said"),
    [
        ((7,), 3, r"3 numbers of an input of shape \(7,\) \(mat1 and mat2"),
        ((6,), 2, r"Plain, which makes \(3,\) of them', allowed: a network that makes 2 numbers"),
    ],
)
def test_inputs_and_outputs_that_do_not_fit(shape, classes, said):
    with pytest.raises(InvalidValue, match=said) as caught:
        ModuleClass(f"{HERE}Plain").build(shape, classes)
    assert "\n" not in str(caught.value)
