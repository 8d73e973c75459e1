"""Networks with an embedding: faces, identity heads, weights of networks for other people, embeddings."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from expunge.core.errors import DataError, InvalidValue
from expunge.linear.rows import Rows
from expunge.models import Mlp, Softmax, Torchvision, Vgg11, VggFace, identity_head, initialised, load_weights
from expunge.predictors import Embedding
from expunge.predictors.linear import LinearModel
from expunge.predictors.network import NetworkModel
from expunge.training import Learner, Training
from tests import networks

TINY = VggFace(widths=(4, 6), convolutions=1, embedding=5, batch_norm=True, dropout=0.5)
MOBILE = Torchvision("mobilenet_v2", embedding=7)
SHAPE = (1, 16, 16)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def fitted(architecture=TINY, n=24):
    learner = Learner(
        architecture, Training(epochs=1, lr=0.01, batch_size=8), "cpu", progress=False, threads=1
    )
    x, y = networks.pictures(n, 16, 1)
    model = NetworkModel(learner)
    model.fit(x[..., 0] / 255.0, y, seed=0)
    return model, x[..., 0] / 255.0


# -- architectures --------------------------------------------------------------------------------------


def test_vgg_face_reaches_the_published_network():
    """VGG-16 with two layers of 4096: its parameters counted by hand from the published table."""
    published = VggFace((64, 128, 256, 512, 512), (2, 2, 3, 3, 3), (4096, 4096), pool=7, dropout=0.5)
    with torch.device("meta"):
        network = published.build((3, 224, 224), 2622)
    widths = [m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert widths == [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    into = [3, *widths[:-1]]
    convolutions = sum(9 * a * b + b for a, b in zip(into, widths, strict=True))
    linear = [(7 * 7 * 512, 4096), (4096, 4096), (4096, 2622)]
    assert [(m.in_features, m.out_features) for m in network.modules() if isinstance(m, nn.Linear)] == linear
    total = convolutions + sum(a * b + b for a, b in linear)
    assert sum(p.numel() for p in network.parameters()) == total == 145_002_878
    assert network(torch.zeros(1, 3, 224, 224, device="meta")).shape == (1, 2622)


def test_one_number_of_convolutions_is_that_of_every_block():
    assert VggFace(widths=[4, 6], convolutions=2) == VggFace(widths=(4, 6), convolutions=[2, 2])
    assert VggFace(embedding=[64]) == VggFace()


def test_vgg_face_is_drawn_for_relu():
    network = initialised(VggFace(), (1, 64, 64), 40, seed=0)
    first = network.embedding[0]
    assert float(first.weight.detach().std()) == pytest.approx((2 / first.in_features) ** 0.5, rel=0.05)
    assert not first.bias.any()
    assert not network.features[0].bias.any()
    with torch.no_grad():
        outputs = network.eval()(torch.rand(8, 1, 64, 64) - 0.5)
    assert 0.01 < float(outputs.std()) < 10


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"widths": []}, "widths"),
        ({"widths": [8, 0]}, "widths"),
        ({"widths": [8] * 9, "convolutions": 1}, "widths"),
        ({"widths": [8, 8], "convolutions": [1, 1, 1]}, "convolutions"),
        ({"convolutions": 0}, "convolutions"),
        ({"convolutions": "2"}, "convolutions"),
        ({"embedding": None}, "embedding"),
        ({"embedding": [128, -1]}, "embedding"),
        ({"embedding": True}, "embedding"),
        ({"batch_norm": 1}, "batch_norm"),
        ({"pool": 0}, "pool"),
        ({"dropout": 1.0}, "dropout"),
        ({"dropout": "0.5"}, "dropout"),
        ({"weights": 3}, "weights"),
    ],
)
def test_bad_settings_of_vgg_face_are_named(settings, key):
    with pytest.raises(InvalidValue, match=f"^{key}: got "):
        VggFace(**settings)


def test_images_too_small_for_vgg_face_are_refused_with_the_least_size():
    deep = VggFace(widths=(4, 4, 4, 4, 4), convolutions=1)
    with pytest.raises(InvalidValue, match=r"vggface on images of 16 x 40 .* at least 32 x 32 pixels"):
        deep.build((1, 16, 40), 10)
    with pytest.raises(InvalidValue, match="at least 256 x 256 pixels"):
        VggFace(widths=[1] * 8, convolutions=1).build((1, 64, 64), 10)
    assert deep.build((1, 32, 32), 10) is not None


@pytest.mark.parametrize("arch", ["resnet18", "mobilenet_v2", "densenet121"])
def test_an_embedding_layer_comes_before_the_head(arch):
    with torch.device("meta"):
        plain = Torchvision(arch).build((1, 32, 32), 3)
        embedded = Torchvision(arch, embedding=7).build((1, 32, 32), 3)
    name, head = identity_head(plain)
    layers = embedded.get_submodule(name)
    assert [type(layer) for layer in layers] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    assert layers.embedding.in_features == head.in_features
    assert identity_head(embedded) == (f"{name}.head", layers.head)
    assert (layers.head.in_features, layers.head.out_features) == (7, 3)
    rest = {key for key in plain.state_dict() if not key.startswith(f"{name}.")}
    assert {key for key in embedded.state_dict() if not key.startswith(f"{name}.")} == rest


@pytest.mark.parametrize("embedding", [0, 1.5, "128"])
def test_bad_widths_of_the_embedding_are_named(embedding):
    with pytest.raises(InvalidValue, match=r"^embedding: got '?[01]"):
        Torchvision("resnet18", embedding=embedding)


# -- weights --------------------------------------------------------------------------------------------


def backbone(architecture, path, classes=3, change=None):
    """Save the state of a network for other people."""
    state = initialised(architecture, SHAPE, classes, seed=1).state_dict()
    if change:
        change(state)
    (torch.save if path.suffix == ".pth" else save_file)(dict(state), path)
    return state


def without(prefix):
    def drop(state):
        for name in [name for name in state if name.startswith(prefix)]:
            del state[name]

    return drop


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("architecture", [TINY, MOBILE, Mlp((5,))], ids=lambda a: a.name)
@pytest.mark.parametrize("people", [3, 4, None])
def test_the_head_of_other_people_is_drawn_at_random(architecture, people, suffix, tmp_path, caplog):
    file = tmp_path / f"w{suffix}"
    random = initialised(architecture, SHAPE, 3, seed=2).state_dict()
    head = identity_head(architecture.build(SHAPE, 3))[0] + "."
    saved = backbone(architecture, file, people or 3, None if people else without(head))
    caplog.set_level(logging.INFO)
    found = initialised(replace(architecture, weights=str(file)), SHAPE, 3, seed=2).state_dict()
    source = saved if people == 3 else {name: random[name] for name in random if name.startswith(head)}
    assert all(torch.equal(found[name], source[name]) for name in found if name.startswith(head))
    assert all(torch.equal(found[name], saved[name]) for name in found if not name.startswith(head))
    said = f"gives all but {head[:-1]}, which begins with random weights"
    assert (said in caplog.text) == (people != 3)


@pytest.mark.parametrize("arch", ["resnet18", "mobilenet_v2"])
def test_an_embedding_layer_may_be_new_with_the_head(arch, tmp_path):
    """As for weights that torchvision publishes, with 1,000 classes and without BatchNorm's counters."""
    shape = (1, 32, 32)
    state = initialised(Torchvision(arch), shape, 10, seed=1).state_dict()
    kept = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(kept, tmp_path / "w.pth")
    network = initialised(Torchvision(arch, embedding=7, weights=str(tmp_path / "w.pth")), shape, 3, seed=2)
    random = initialised(Torchvision(arch, embedding=7), shape, 3, seed=2)
    group = identity_head(network)[0].rpartition(".")[0]
    assert same(network.get_submodule(group).state_dict(), random.get_submodule(group).state_dict())
    taken = {n: t for n, t in network.state_dict().items() if not n.startswith(f"{group}.")}
    assert all(torch.equal(tensor, state[name]) for name, tensor in taken.items())


def not_finite(state):
    state["features.0.weight"][0, 0, 0, 0] = torch.nan


def partly(state):
    state["head.weight"] = torch.zeros(4, 5)


def deeper(state):
    state["features.99.weight"] = torch.zeros(2)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (not_finite, r"features\.0\.weight holds NaN or infinity"),
        (partly, r"head\.weight has shape \(4, 5\), the network's has \(3, 5\)"),
        (without("head.bias"), r"head\.bias is missing"),
        (without("embedding."), r"embedding\.0\.weight is missing"),
        (deeper, r"features\.99\.weight is not part of the network"),
    ],
)
def test_a_backbone_that_does_not_fit_changes_nothing(change, complaint, tmp_path):
    file = tmp_path / "w.pth"
    backbone(TINY, file, change=change)
    network = TINY.build(SHAPE, 3)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(DataError, match=rf"^weights: .*w\.pth: {complaint}"):
        load_weights(network, file)
    assert same(before, network.state_dict())


@pytest.mark.parametrize(
    ("saved", "architecture"),
    [
        (replace(TINY, widths=(4, 8)), TINY),
        (replace(TINY, embedding=6), TINY),
        (MOBILE, TINY),
        (TINY, MOBILE),
        (replace(MOBILE, embedding=8), MOBILE),
    ],
)
def test_a_backbone_of_another_architecture_is_refused(saved, architecture, tmp_path):
    backbone(saved, tmp_path / "w.safetensors", 4)
    with pytest.raises(DataError, match=r"^weights: .*(is missing|not part of|has shape)"):
        load_weights(architecture.build(SHAPE, 3), tmp_path / "w.safetensors")


def test_a_network_that_is_all_head_takes_no_other_head(tmp_path):
    backbone(Softmax(), tmp_path / "w.safetensors", 4)
    with pytest.raises(DataError, match=r"1\.(weight|bias) has shape \(4,.*the network's has \(3,"):
        load_weights(Softmax().build(SHAPE, 3), tmp_path / "w.safetensors")


def test_a_whole_network_is_not_read(tmp_path):
    torch.save(TINY.build(SHAPE, 3), tmp_path / "network.pth")
    with pytest.raises(DataError, match=r"^weights: .*network\.pth: it holds a whole network .*state_dict"):
        load_weights(TINY.build(SHAPE, 3), tmp_path / "network.pth")


# -- embeddings -----------------------------------------------------------------------------------------


def of_faces(network, x):
    return network.embedding(network.avgpool(network.features(x)).flatten(1))


@pytest.mark.parametrize(
    ("architecture", "width", "by_hand"),
    [
        (TINY, 5, of_faces),
        (replace(TINY, embedding=(9, 5)), 5, of_faces),
        (MOBILE, 7, lambda net, x: net.classifier[1][:3](net.features(x).mean((2, 3)))),
        (Torchvision("mobilenet_v2"), 1280, lambda net, x: net.features(x).mean((2, 3))),
        (Mlp((6,)), 6, lambda net, x: net[:3](x)),
    ],
    ids=["vggface", "two layers", "mobilenet_v2 embedding", "mobilenet_v2", "mlp"],
)
def test_embeddings_are_what_the_head_is_given(architecture, width, by_hand):
    model, x = fitted(architecture)
    found = model.embeddings(x)
    with torch.no_grad():
        expected = by_hand(model.module, torch.from_numpy(x).float()[:, None]).double().numpy()
    assert found.shape == (len(x), width)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    head = identity_head(model.module)[1]
    logits = found @ head.weight.detach().double().numpy().T + head.bias.detach().double().numpy()
    np.testing.assert_allclose(
        np.exp(logits) / np.exp(logits).sum(1, keepdims=True), model.probabilities(x), rtol=1e-4, atol=1e-6
    )


def test_embeddings_of_some_rows():
    model, x = fitted()
    rows = np.array([5, 2, 11])
    np.testing.assert_allclose(model.embeddings(x, rows), model.embeddings(x)[rows], rtol=1e-5, atol=1e-7)
    assert model.embeddings(x, np.zeros(0, dtype=np.int64)).shape == (0, 5)


def test_embeddings_leave_the_network_as_it_is():
    model, x = fitted()
    model.module.train()
    model.module.features.eval()
    modes = [part.training for part in model.module.modules()]
    before = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
    first = model.embeddings(x)
    assert np.array_equal(first, model.embeddings(x))  # dropout and BatchNorm of training would show
    assert [part.training for part in model.module.modules()] == modes
    assert same(before, model.module.state_dict())
    with pytest.raises(RuntimeError):
        model.embeddings(np.zeros((2, 1, 1)))  # too small for the pools
    assert not any(part._forward_pre_hooks for part in model.module.modules())
    assert all(p.grad is None for p in model.module.parameters())


def test_a_network_without_a_linear_layer_has_no_embedding():
    model, x = fitted()
    model.module = nn.Sequential(nn.Conv2d(1, 3, 16), nn.Flatten())
    with pytest.raises(InvalidValue, match=r"^model: got 'Sequential', .* with a linear layer"):
        model.embeddings(x)


def test_the_embeddings_of_a_linear_model_are_the_rows_that_its_only_layer_is_given():
    assert isinstance(NetworkModel(Learner(Vgg11(), Training(), "cpu")), Embedding)
    assert issubclass(LinearModel, Embedding)
    rows, model = Rows.normalised(np.random.default_rng(0).normal(size=(9, 4))), LinearModel(1e-2, 0.0)
    model.fit(rows, np.arange(9) % 3, seed=0)
    model.leave(np.array([2, 5, 8]))  # a class goes with them
    np.testing.assert_array_equal(model.embeddings(rows), rows.dense())
    np.testing.assert_array_equal(model.embeddings(rows, np.array([5, 1])), rows.dense()[[5, 1]])
