"""Networks: what is built, from which weights, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file
from torch import nn

from expunge.core.errors import DataError, InvalidValue
from expunge.models import Cnn, Mlp, Softmax, Torchvision, Vgg11, VggFace, Vit, initialised, load_weights
from expunge.run.targets import build

CONF = Path(__file__).resolve().parents[2] / "conf" / "model"
NETWORKS = (
    *("softmax", "mlp", "cnn", "vgg11", "vggface", "resnet18", "resnet50", "mobilenet_v2", "densenet121"),
    "vit",
)
SMALL = (
    Softmax(),
    Mlp(),
    Cnn(width=8),
    Vit(dim=8, depth=1, heads=2),
    Vgg11(),
    VggFace(widths=(4, 6), convolutions=1),
    Torchvision("resnet18"),
    Torchvision("mobilenet_v2"),
)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("shape", "classes"), [((1, 32, 32), 3), ((3, 32, 32), 10)])
def test_every_choice_of_the_configuration_builds_and_runs(name, shape, classes):
    config = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    architecture = build("model", config["model"])
    assert architecture.name == name
    network = initialised(architecture, shape, classes, seed=0).eval()
    with torch.no_grad():
        outputs = network(torch.rand(2, *shape))
    assert outputs.shape == (2, classes)
    assert bool(outputs.isfinite().all())
    assert not torch.equal(outputs[0], outputs[1])


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (784,)])
def test_mlp_has_the_published_layers(shape):
    layers = [layer for layer in Mlp().build(shape, 10) if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in layers] == [(np.prod(shape), 100), (100, 10)]


def test_softmax_is_linear():
    network, x = Softmax().build((1, 2, 2), 3).double(), torch.rand(5, 1, 2, 2, dtype=torch.float64)
    weight, bias = network[1].weight, network[1].bias
    torch.testing.assert_close(network(x), x.reshape(5, 4) @ weight.T + bias)


def test_vgg11_is_configuration_a():
    convolutions = [m for m in Vgg11().build((3, 32, 32), 10).modules() if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [64, 128, 256, 256, 512, 512, 512, 512]
    assert any(isinstance(m, nn.BatchNorm2d) for m in Vgg11(batch_norm=True).build((3, 32, 32), 10).modules())


def test_vgg11_for_large_images_has_the_classifier_of_torchvision():
    network = Vgg11(small_images=False).build((1, 32, 32), 7)
    assert [m.out_features for m in network.classifier if isinstance(m, nn.Linear)] == [4096, 4096, 7]


@pytest.mark.parametrize(
    ("arch", "stem", "cells"),
    [("resnet18", "conv1", 4), ("densenet121", "features.conv0", 4), ("mobilenet_v2", "features.0.0", 2)],
)
def test_small_images_keep_more_positions(arch, stem, cells):
    """The last maps of 32 x 32 images are ``cells`` times as wide with the stem for small images."""
    last = {"resnet18": "layer4", "densenet121": "features", "mobilenet_v2": "features"}[arch]
    widths = {}
    for small in (False, True):
        network = Torchvision(arch, small_images=small).build((1, 32, 32), 4).eval()
        first = network.get_submodule(stem)
        assert first.in_channels == 1
        assert first.kernel_size == ((3, 3) if small or arch == "mobilenet_v2" else (7, 7))
        assert first.stride == ((1, 1) if small else (2, 2))
        network.get_submodule(last).register_forward_hook(
            lambda module, inputs, output, small=small: widths.update({small: output.shape[-1]})
        )
        with torch.no_grad():
            network(torch.zeros(1, 1, 32, 32))
    assert widths[True] == cells * widths[False]


def test_colour_images_get_the_stem_of_torchvision_itself():
    first = Torchvision("resnet18").build((3, 32, 32), 4).conv1
    assert (first.in_channels, first.kernel_size, first.stride, first.padding) == (3, (7, 7), (2, 2), (3, 3))


@pytest.mark.parametrize("architecture", SMALL, ids=lambda a: a.name)
def test_the_seed_alone_decides_on_the_weights(architecture):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = initialised(architecture, (1, 32, 32), 3, seed=5).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert same(first, initialised(architecture, (1, 32, 32), 3, seed=5).state_dict())
    assert not same(first, initialised(architecture, (1, 32, 32), 3, seed=6).state_dict())


@pytest.mark.parametrize(
    ("architecture", "least"),
    [(Vgg11(), 32), (Torchvision("densenet121"), 29), (Torchvision("densenet121", small_images=True), 8)],
    ids=["vgg11", "densenet121", "densenet121 small"],
)
def test_images_too_small_are_refused_with_the_least_size(architecture, least):
    with pytest.raises(InvalidValue, match=f"4 x 6 pixels.*at least {least} x {least} pixels"):
        architecture.build((1, 4, 6), 10)
    with pytest.raises(InvalidValue, match=f"at least {least} x {least}"):
        architecture.build((1, least - 1, least - 1), 10)
    assert architecture.build((1, least, least), 10) is not None


@pytest.mark.parametrize(
    ("architecture", "shape"), [(Torchvision("resnet18"), (784,)), (Vgg11(), (32, 32)), (Mlp(), (2, 2))]
)
def test_inputs_of_the_wrong_kind_are_refused(architecture, shape):
    with pytest.raises(InvalidValue, match=r"^model: .*channels, height, width"):
        architecture.build(shape, 10)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: Mlp(hidden=[]), "hidden"),
        (lambda: Mlp(hidden=[100, 0]), "hidden"),
        (lambda: Mlp(hidden=100), "hidden"),
        (lambda: Mlp(hidden="100"), "hidden"),
        (lambda: Torchvision("resnet9000"), "arch"),
        (lambda: Torchvision("resnet18", small_images="yes"), "small_images"),
        (lambda: Vgg11(batch_norm=1), "batch_norm"),
        (lambda: Vgg11(small_images=None), "small_images"),
        (lambda: Softmax(weights=""), "weights"),
        (lambda: Softmax(weights=3), "weights"),
        (lambda: Softmax().build((4,), 1), "classes"),
    ],
)
def test_bad_settings_are_named(make, key):
    with pytest.raises(InvalidValue, match=f"^{key}: "):
        make()


@pytest.mark.parametrize("architecture", SMALL, ids=lambda a: a.name)
def test_weights_of_a_file_take_the_place_of_random_ones(architecture, tmp_path):
    file = tmp_path / "model.safetensors"
    state = initialised(architecture, (1, 32, 32), 3, seed=1).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, file)
    begun = type(architecture)(**{**vars(architecture), "weights": str(file)})
    assert same(state, initialised(begun, (1, 32, 32), 3, seed=2).state_dict())


def test_weights_of_a_run_are_taken(tmp_path):
    """NumPy makes BatchNorm's counter an array of length 1; it is the same number."""
    from expunge.core.files import State, save_state

    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    network[1].num_batches_tracked += 7
    arrays = {name: np.atleast_1d(tensor.numpy()) for name, tensor in network.state_dict().items()}
    save_state(tmp_path / "model.safetensors", State(arrays))
    other = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    load_weights(other, tmp_path / "model.safetensors")
    assert same(network.state_dict(), other.state_dict())


def _without_bias(state):
    del state["1.bias"]


def _with_another(state):
    state["2.weight"] = torch.zeros(3)


def _transposed(state):
    state["1.weight"] = state["1.weight"].T.contiguous()


def _of_length_one(state):
    state["1.bias"] = torch.zeros(1)


def _not_finite(state):
    state["1.bias"][0] = torch.nan


def _too_large(state):
    state["1.bias"] = torch.full((2,), 1e300, dtype=torch.float64)


def _whole_numbers(state):
    state["1.bias"] = torch.zeros(2, dtype=torch.int64)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (_without_bias, r"1\.bias is missing"),
        (_with_another, r"2\.weight is not part of the network"),
        (_transposed, r"1\.weight has shape \(3, 2\), the network's has \(2, 3\)"),
        (_of_length_one, r"1\.bias has shape \(1,\)"),
        (_not_finite, r"1\.bias holds NaN or infinity"),
        (_too_large, r"1\.bias holds NaN or infinity"),
        (_whole_numbers, r"1\.bias is of type torch.int64"),
    ],
)
def test_another_networks_weights_change_nothing(spoil, complaint, tmp_path):
    state = {name: tensor.clone() for name, tensor in Softmax().build((3,), 2).state_dict().items()}
    spoil(state)
    save_file(state, tmp_path / "w.safetensors")
    network = Softmax().build((3,), 2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(DataError, match=rf"^weights: .*w\.safetensors: {complaint}"):
        load_weights(network, tmp_path / "w.safetensors")
    assert same(before, network.state_dict())


def test_files_that_hold_no_weights_are_refused(tmp_path):
    network = Softmax().build((3,), 2)
    with pytest.raises(DataError, match=r"^weights: .*no such file"):
        load_weights(network, tmp_path / "none.safetensors")
    (tmp_path / "text").write_text("weights")
    with pytest.raises(DataError, match=r"^weights: .*not a safetensors file"):
        load_weights(network, tmp_path / "text")
    with pytest.raises(DataError, match=r"^weights: "):
        load_weights(network, tmp_path)


def by_hand(network, x, heads):
    """The blocks of a ViT one step after the other, from the names of its weights."""
    state = network.state_dict()

    def linear(name, x):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(name, x):
        apart = x - x.mean(dim=-1, keepdim=True)
        scaled = apart / (apart.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()
        return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]

    for block in ("blocks.0", "blocks.1"):
        q, k, v = linear(f"{block}.attention.qkv", norm(f"{block}.norm1", x)).chunk(3, dim=-1)
        width = x.shape[-1] // heads
        mixed = []
        for own in (slice(h * width, (h + 1) * width) for h in range(heads)):
            shares = torch.softmax(q[..., own] @ k[..., own].mT / width**0.5, dim=-1)
            mixed.append(shares @ v[..., own])
        x = x + linear(f"{block}.attention.proj", torch.cat(mixed, dim=-1))
        inner = linear(f"{block}.fc1", norm(f"{block}.norm2", x))
        x = x + linear(f"{block}.fc2", inner * 0.5 * (1 + torch.erf(inner / 2**0.5)))
    return norm("norm", x)


@pytest.mark.parametrize("pool", ["mean", "class"])
def test_vit_is_its_equations(pool):
    torch.manual_seed(0)
    network = Vit(patch=4, dim=8, heads=2, pool=pool).build((2, 8, 12), 3).double().eval()
    for part in network.modules():
        if isinstance(part, nn.LayerNorm):
            nn.init.normal_(part.weight)
            nn.init.normal_(part.bias)
    x, state = torch.rand(2, 2, 8, 12, dtype=torch.float64), network.state_dict()
    patches = x.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).reshape(2, 6, -1)
    tokens = patches @ state["embedding.patches.weight"].flatten(1).T + state["embedding.patches.bias"]
    if pool == "class":
        tokens = torch.cat([state["embedding.class_token"].expand(2, 1, 8), tokens], dim=1)
    last = by_hand(network, tokens + state["embedding.positions"], 2)
    pooled = last[:, 0] if pool == "class" else last.mean(dim=1)
    torch.testing.assert_close(network(x), pooled @ state["head.weight"].T + state["head.bias"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Vit(patch=5).build((1, 8, 8), 3),
            "patch: got 5, allowed: a side that divides 8 and 8: 2, 4, 8",
        ),
        (lambda: Vit(patch=8).build((1, 4, 6), 3), "patch: got 8, allowed: a side that divides 4 and 6: 2"),
        (lambda: Vit(dim=6), "dim: got 6, allowed: a multiple of heads, 4"),
        (lambda: Vit(pool="max"), "pool: got 'max', allowed: one of mean, class"),
        (lambda: Vit().build((64,), 3), "model: got 'vit on inputs of shape"),
        (lambda: Cnn(width=12), "width: got 12, allowed: a multiple of 8 with norm=group"),
        (lambda: Cnn(norm="layer"), "norm: got 'layer', allowed: one of group, batch, none"),
        (
            lambda: Cnn().build((1, 6, 8), 3),
            "model: got 'cnn on images of 6 x 8 pixels', allowed: images of at",
        ),
    ],
)
def test_what_vit_and_cnn_cannot_take_is_said(make, message):
    with pytest.raises(InvalidValue) as caught:
        make()
    assert str(caught.value).startswith(message)


def test_cnn_keeps_channels_last_in_memory_and_says_the_same():
    network, x = Cnn(width=8).build((3, 8, 8), 4), torch.randn(5, 3, 8, 8)
    inner = network.conv1(network.layout(x))
    assert inner.is_contiguous(memory_format=torch.channels_last)
    assert not inner.is_contiguous()
    torch.testing.assert_close(network(x), network[1:](x))
    torch.testing.assert_close(torch.func.vmap(network)(x[:, None])[:, 0], network(x))


@pytest.mark.parametrize(
    ("norm", "kind"), [("group", nn.GroupNorm), ("batch", nn.BatchNorm2d), ("none", None)]
)
def test_cnn_has_three_convolutions_and_its_norm(norm, kind):
    network = Cnn(width=8, norm=norm).build((3, 8, 8), 4)
    assert [m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d)] == [8, 16, 32]
    norms = [m for m in network.modules() if isinstance(m, (nn.GroupNorm, nn.BatchNorm2d))]
    assert [type(m) for m in norms] == ([kind] * 3 if kind else [])
