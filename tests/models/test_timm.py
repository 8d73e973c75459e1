"""Networks of timm: built for the images there are, refused in one line, never downloaded."""

from __future__ import annotations

import builtins
import socket

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from expunge.core.errors import InvalidValue, UserError
from expunge.core.torchvision_import import import_torchvision
from expunge.curvature.gradients import cross_entropy
from expunge.models import Timm, initialised
from expunge.scrub import Problem, Scrub
from expunge.scrub.coverage import Coverage
from tests.networks import examples, pictures

TINY = "test_vit"  # as timm's own tests use


@pytest.fixture
def timm(monkeypatch):
    import_torchvision()
    package = pytest.importorskip("timm", reason="timm is not installed: pip install 'expunge[timm]'")

    def refuse(*_):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return package


@pytest.mark.parametrize("architecture", ["test_resnet", TINY, "test_convnext"])
@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 48, 32)])
def test_networks_fit_the_images(timm, architecture, shape):
    network = initialised(Timm(architecture), shape, 5, seed=0).eval()
    with torch.no_grad():
        assert network(torch.rand(2, *shape)).shape == (2, 5)
    assert Timm(architecture).name == architecture


def test_a_head_of_other_classes_is_left_out_of_a_file(timm, tmp_path):
    save_file(Timm("test_resnet").build((3, 32, 32), 7).state_dict(), str(tmp_path / "w.safetensors"))
    given = Timm("test_resnet", weights=str(tmp_path / "w.safetensors"))
    network = initialised(given, (3, 32, 32), 5, seed=0)
    kept = load_file(str(tmp_path / "w.safetensors"))
    assert torch.equal(network.state_dict()["conv1.0.weight"], kept["conv1.0.weight"])
    assert network.state_dict()["fc.weight"].shape == (5, kept["fc.weight"].shape[1])


def test_attention_and_layer_norm_of_timm_are_reached(timm):
    torch.manual_seed(0)
    network = Timm(TINY).build((3, 32, 32), 3).double().eval()
    coverage = Coverage.of(network)
    assert coverage.left == {"VisionTransformer": network.pos_embed.numel() + network.cls_token.numel()}
    x, y = pictures(12, size=32)
    problem = Problem.removing(network, cross_entropy, examples(x, y), [4], penalty=0.01)
    proposal = Scrub(n_perturbations=60).propose(
        problem, np.random.default_rng(0), torch.Generator().manual_seed(0)
    )
    assert proposal.figures["weights_reachable"] == coverage.share
    assert proposal.figures["weights"] > 0


@pytest.mark.parametrize("name", ["resnet1", "hf-hub:timm/resnet18", "resnet18.a1_in1k"])
def test_other_names_are_refused(timm, name):
    with pytest.raises(
        InvalidValue, match=r"^architecture: got .*timm.list_models\(\), such as .*from a file$"
    ):
        Timm(name)


def test_images_that_do_not_fit_are_refused(timm):
    got = r"^model: got 'test_vit on inputs of shape \(1, 24, 32\)', "
    with pytest.raises(InvalidValue, match=f"{got}allowed: images whose sides are multiples of 16"):
        Timm(TINY).build((1, 24, 32), 3)
    with pytest.raises(
        InvalidValue, match=r"^model: got 'test_vit on inputs of shape \(1, 8, 8\)', allowed: images"
    ):
        Timm(TINY).build((1, 8, 8), 3)


def test_without_the_package_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def absent(name, *rest, **others):
        if name == "timm":
            raise ModuleNotFoundError("No module named 'timm'", name="timm")
        return real(name, *rest, **others)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UserError, match=r"^model: needs the package timm, .*pip install 'expunge\[timm\]'$"):
        Timm("resnet18")
