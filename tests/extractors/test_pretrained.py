"""Frozen classifiers of torchvision: their features, where their weights come from, and what is refused."""

from __future__ import annotations

import json
import pickle
import socket
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file

from expunge.certificate.composition import Upstream
from expunge.core.errors import DataError, InvalidValue, UserError
from expunge.core.torchvision_import import import_torchvision
from expunge.datasets import Dataset
from expunge.extractors import classifiers
from expunge.extractors.pretrained import Pretrained
from expunge.run.targets import build
from tests import cli
from tests.networks import pictures

CONF = Path(__file__).resolve().parents[2] / "conf" / "extractor" / "pretrained.yaml"
SMALL = "mobilenet_v3_small"
PUBLISHED = "resnet18-f37072fd.pth"


def dataset(channels=3, size=32, n=6, m=3):
    x, y = pictures(n + m, size, channels)
    x = x[..., 0] if channels == 1 else x
    return Dataset("toy", x[:n], y[:n], x[n:], y[n:], {0: "a", 1: "b", 2: "c"}, 255.0, 0.5)


def extractor(architecture=SMALL, weights=None, **how):
    return Pretrained(architecture, weights, **{"device": "cpu", "threads": 1, "progress": False} | how)


def random_network(name=SMALL, classes=1000, seed=3):
    """A network of torchvision; its BatchNorm statistics are not the default."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = import_torchvision().models.get_model(name, weights=None, num_classes=classes)
        network(torch.rand(4, 3, 64, 64))
    return network.eval()


def before_the_last_layer(network, layer, images):
    """What reaches ``layer``, with the images normalised as the published weights want it."""
    seen = []
    layer.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        network(((images - mean) / std).permute(0, 3, 1, 2))
    found = seen[0].double()
    return (found / found.norm(dim=1, keepdim=True)).numpy()


class Evil:
    """Makes a file where it is unpickled without restriction."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """torch's folder of downloads is an empty one, and every download is refused at once."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(urllib.request, "_opener", None)  # it keeps the proxies of its first use
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "torch" / "hub" / "checkpoints"


# Features


@pytest.mark.parametrize("channels", [1, 3])
def test_features_are_what_reaches_the_last_layer(channels, tmp_path):
    network, data = random_network(), dataset(channels)
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    ours = extractor(weights=str(tmp_path / "w.safetensors"), image_size=32)
    for rows, x in zip(ours.extract(data), (data.x_train, data.x_test), strict=True):
        images = torch.from_numpy(x) / 255
        images = images[..., None].expand(-1, -1, -1, 3) if channels == 1 else images
        expected = before_the_last_layer(network, network.classifier[-1], images)
        np.testing.assert_allclose(rows.dense(), expected, rtol=1e-3, atol=1e-6)
    assert rows.dim == 1024


@pytest.mark.parametrize(
    ("architecture", "features", "size"),
    [
        ("resnet18", 512, None),
        ("densenet121", 1024, 48),
        ("vgg11", 4096, 32),
        ("regnet_x_400mf", 400, None),
        ("googlenet", 1024, None),
        ("shufflenet_v2_x0_5", 1024, None),
        ("vit_b_32", 768, 224),
        ("convnext_tiny", 768, 64),
    ],
)
def test_the_last_layer_is_found_in_every_family(architecture, features, size):
    train, test = extractor(architecture, image_size=size).extract(dataset(n=1, m=1))
    assert (train.dim, test.dim) == (features, features)
    assert np.isfinite(train.raw).all()


def test_a_row_depends_on_no_other():
    ours, data = extractor(), dataset()
    before, _ = ours.extract(data)
    data.x_train[0] ^= 255
    after, _ = ours.extract(data)
    np.testing.assert_array_equal(before.raw[1:], after.raw[1:])
    assert not np.array_equal(before.raw[0], after.raw[0])


def test_images_are_resized_whole(tmp_path):
    """Every pixel of an image that is doubled in size stands for four of the large one."""
    network, data = random_network(), dataset(size=32)
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    flat = np.repeat(np.repeat(data.x_train[:, :1, :1], 32, axis=1), 32, axis=2)
    even = Dataset("toy", flat, data.y_train, data.x_test, data.y_test, data.class_names, 255.0, 0.5)
    train, _ = extractor(weights=str(tmp_path / "w.safetensors"), image_size=64).extract(even)
    images = torch.from_numpy(flat) / 255
    large = images.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
    expected = before_the_last_layer(network, network.classifier[-1], large)
    np.testing.assert_allclose(train.dense(), expected, rtol=1e-3, atol=1e-6)


def test_random_weights_are_the_seeds_and_say_so():
    data, state = dataset(), torch.random.get_rng_state()
    one, same, other = (extractor(seed=seed) for seed in (0, 0, 1))
    found = [e.extract(data)[0].raw for e in (one, same, other)]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
    assert torch.equal(state, torch.random.get_rng_state())
    facts = one.facts()
    assert facts.pop("extractor_seconds") > 0
    assert facts == {
        "extractor_architecture": SMALL,
        "extractor_weights": "random",
        "extractor_features": 1024,
    }


def test_the_cache_is_used_and_tells_sizes_apart(tmp_path, caplog):
    caplog.set_level("INFO")
    data, files = dataset(), tmp_path / "cache"
    first = extractor(cache=files).extract(data)
    again = extractor(cache=files).extract(data)
    assert "features taken from" in caplog.text
    assert len(list(files.iterdir())) == 1
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.raw, b.raw)
    extractor(cache=files, image_size=40).extract(data)
    assert len(list(files.iterdir())) == 2


# What it costs


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({}, None),
        ({"trained_on_dataset": True}, "the pretrained weights have seen the training rows"),
        ({"scaling": "dataset"}, "features were scaled by statistics of the training set"),
    ],
)
def test_what_the_features_have_cost(how, reason):
    assert extractor(**how).upstream() == Upstream(0.0, 0.0, reason)


# Files of weights


@pytest.mark.parametrize("classes", [7, 1000])
def test_both_formats_give_the_same_features(classes, tmp_path):
    state = random_network(classes=classes).state_dict()
    save_file(state, tmp_path / "w.safetensors")
    torch.save(state, tmp_path / "w.pth")
    torch.save(state, tmp_path / "w.pt", _use_new_zipfile_serialization=False)  # as older files are
    files = [str(tmp_path / name) for name in ("w.safetensors", "w.pth", "w.pt")]
    found = [extractor(weights=file, image_size=32).extract(dataset())[0].raw for file in files]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_a_malicious_pickle_is_refused(tmp_path):
    torch.save({"features": Evil(tmp_path / "made")}, tmp_path / "w.pth")
    (tmp_path / "w.pt").write_bytes(pickle.dumps(Evil(tmp_path / "made"), protocol=2))
    for name, held in (("w.pth", "not a state dict"), ("w.pt", "a pickle that torch has not written")):
        with pytest.raises(DataError, match=rf"^weights: .*{name}: {held}"):
            extractor(weights=str(tmp_path / name)).extract(dataset())
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("content", [b"", b"weights", bytes(5000), b"PK\x03\x04" + bytes(100)])
@pytest.mark.parametrize("suffix", ["pth", "pt", "safetensors"])
def test_files_that_hold_no_weights(content, suffix, tmp_path):
    file = tmp_path / f"w.{suffix}"
    file.write_bytes(content)
    with pytest.raises(DataError, match=rf"^weights: .*w\.{suffix}: ") as caught:
        extractor(weights=str(file)).extract(dataset())
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_another_networks():
    for suffix in ("pth", "safetensors"):
        with pytest.raises(DataError, match=rf"^weights: none\.{suffix}: no such file$"):
            extractor(weights=f"none.{suffix}").extract(dataset())


@pytest.mark.parametrize(
    ("state", "complaint"),
    [
        ([torch.zeros(1)], "not a state dict"),
        ({"epoch": 3}, "not a state dict"),
        ({"a": torch.zeros(1)}, "is missing"),
    ],
)
def test_pickles_of_tensors_that_are_not_the_networks(state, complaint, tmp_path):
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(DataError, match=rf"^weights: .*w\.pth: .*{complaint}"):
        extractor(weights=str(tmp_path / "w.pth")).extract(dataset())


# Published weights


def test_published_weights_are_read_from_torchs_folder(no_network):
    no_network.mkdir(parents=True)
    network = random_network("resnet18")
    torch.save(network.state_dict(), no_network / PUBLISHED)
    data = dataset(size=224, n=2, m=1)
    expected = before_the_last_layer(network, network.fc, torch.from_numpy(data.x_train) / 255)
    for name in ("DEFAULT", "IMAGENET1K_V1", "ResNet18_Weights.IMAGENET1K_V1"):
        ours = extractor("resnet18", name)
        train, _ = ours.extract(data)
        np.testing.assert_allclose(train.dense(), expected, rtol=1e-3, atol=1e-6)
        assert ours.facts()["extractor_weights"] == "ResNet18_Weights.IMAGENET1K_V1"
        assert ours.reads() == {"weights": no_network / PUBLISHED}


def test_a_malicious_file_in_torchs_folder_is_refused(no_network, tmp_path):
    no_network.mkdir(parents=True)
    torch.save({"fc.weight": Evil(tmp_path / "made")}, no_network / PUBLISHED)
    with pytest.raises(
        DataError, match=rf"^weights: .*{PUBLISHED}: not a state dict, which maps names to tensors"
    ):
        extractor("resnet18", "DEFAULT").extract(dataset())
    assert not (tmp_path / "made").exists()


def test_no_network_is_one_line_that_says_what_to_do(no_network):
    started = time.monotonic()
    with pytest.raises(DataError) as caught:
        extractor("resnet18", "DEFAULT").extract(dataset())
    assert time.monotonic() - started < 20
    line = str(caught.value)
    assert line.startswith("weights: ResNet18_Weights.IMAGENET1K_V1 cannot be downloaded from https://")
    assert f"put {PUBLISHED} into {no_network}, or give the path of" in line
    assert "\n" not in line
    assert not list(no_network.iterdir())


def test_a_server_that_does_not_answer_is_given_up(no_network, monkeypatch):
    monkeypatch.setattr(classifiers, "_PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.getsockname()[1]}")
        started, patience = time.monotonic(), socket.getdefaulttimeout()
        with pytest.raises(DataError, match=r"cannot be downloaded .*timed out"):
            extractor("resnet18", "DEFAULT").extract(dataset())
        assert time.monotonic() - started < 20
    assert socket.getdefaulttimeout() == patience


# Bad values


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ({"architecture": "resnet81"}, "architecture: got 'resnet81', .*resnet18 or "),
        ({"architecture": "?"}, "architecture: .*such as resnet18"),
        ({"architecture": "fasterrcnn_resnet50_fpn"}, "architecture: "),
        ({"weights": "IMAGENET1K"}, "weights: got 'IMAGENET1K', allowed: DEFAULT or IMAGENET1K_V1 "),
        ({"weights": "w"}, "weights: got 'w', allowed: .*a file of weights"),
        ({"weights": 3}, "weights: got 3"),
        ({"image_size": 0}, "image_size: got 0"),
        ({"trained_on_dataset": "yes"}, "trained_on_dataset: got 'yes', allowed: true or false"),
        ({"scaling": "column"}, "scaling: got 'column'"),
        ({"batch_size": 0.5}, "batch_size: got 0.5"),
        ({"network": "yes"}, "network: got 'yes', allowed: true or false"),
    ],
)
def test_bad_values_are_refused_at_once(how, complaint):
    with pytest.raises(UserError, match=f"^{complaint}"):
        extractor(**how)


@pytest.mark.parametrize(
    ("how", "data", "complaint"),
    [
        ({"architecture": "squeezenet1_0"}, {}, "architecture: .* whose last layer is linear"),
        ({"architecture": "vit_b_32"}, {}, "image_size: got None, allowed: .* vit_b_32 takes, .* 224"),
        ({"architecture": "vgg11", "image_size": 9}, {}, "image_size: got 9, allowed: a size"),
        ({}, {"channels": 2}, r"architecture: got .* shape \(2, 32, 32\)', allowed: grey or colour images"),
    ],
)  # fmt: skip
def test_what_the_architecture_does_not_take(how, data, complaint):
    with pytest.raises(InvalidValue, match=f"^{complaint}"):
        extractor(**how).extract(dataset(**data))


def test_rows_are_no_images():
    x, y = np.ones((4, 5)), np.arange(4) % 2
    with pytest.raises(InvalidValue, match=r"^architecture: got .* shape \(5,\)"):
        extractor().extract(Dataset("toy", x, y, x, y, {0: "a", 1: "b"}))


def test_threads_are_given_back():
    before = torch.get_num_threads()
    extractor(threads=before + 1).extract(dataset(n=1, m=1))
    assert torch.get_num_threads() == before


def test_the_configuration_builds():
    settings = OmegaConf.to_container(OmegaConf.load(CONF), resolve=False) | {"seed": 5, "weights": None}
    ours = build("extractor", settings, network=False, device="cpu", cache=None, progress=False, threads=1)
    assert (ours.seed, ours.classifier.label, ours.scaling) == (5, "random", "row")


# The weights of MobileNet-v2 that lie beside the data


def mobilenet(shared_data):
    path = shared_data / "weights" / "mobilenet_v2_imagenet.safetensors"
    if not path.is_file():
        pytest.skip(f"needs weights/{path.name}, not in {shared_data}")
    return path


@pytest.mark.parametrize("last", [True, False])
def test_a_file_needs_no_last_layer(tmp_path, last):
    network, data = random_network("mobilenet_v2"), dataset()
    state = network.state_dict()
    save_file(
        {k: v for k, v in state.items() if last or not k.startswith("classifier")}, tmp_path / "w.safetensors"
    )
    train, _ = extractor("mobilenet_v2", str(tmp_path / "w.safetensors"), image_size=32).extract(data)
    images = torch.from_numpy(data.x_train) / 255
    expected = before_the_last_layer(network, network.classifier[-1], images)
    np.testing.assert_allclose(train.dense(), expected, rtol=1e-3, atol=1e-6)


def test_published_features_tell_classes_apart(shared_data):
    """Nearest class mean of 1,000 rows on the first 300 test images: a network of random weights gets .2."""
    from expunge.datasets import cifar10

    path = mobilenet(shared_data)
    if not (shared_data / "cifar-10-batches-py").is_dir():
        pytest.skip(f"needs cifar-10-batches-py, not in {shared_data}")
    data = cifar10.load(shared_data, check_integrity=False, train_rows=1000)
    data = replace(data, x_test=data.x_test[:300], y_test=data.y_test[:300])
    ours = extractor("mobilenet_v2", str(path), image_size=96)
    train, test = (rows.dense() for rows in ours.extract(data))
    means = np.stack([train[data.y_train == label].mean(axis=0) for label in range(10)])
    found = np.mean(
        (test @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T).argmax(1) == data.y_test
    )
    assert ours.facts()["extractor_weights"] == path.name
    assert found >= 0.6


def test_weights_of_another_network_are_refused_in_a_line(shared_data):
    with pytest.raises(
        DataError, match=r"^[^\n]*mobilenet_v2_imagenet\.safetensors: [^\n]*(missing|shape)[^\n]*$"
    ):
        extractor("resnet18", str(mobilenet(shared_data)), image_size=32).extract(dataset())


def test_a_file_of_weights_is_looked_for_under_data_dir(tmp_path):
    """``weights/w.safetensors`` is none in the current folder."""
    (tmp_path / "data" / "weights").mkdir(parents=True)
    save_file(random_network().state_dict(), tmp_path / "data" / "weights" / "w.safetensors")
    arguments = ["dataset=digits", "extractor=pretrained", f"extractor.architecture={SMALL}"]
    arguments += ["extractor.image_size=32", "dataset.train_rows=60", "removal.count=1", "metrics=[accuracy]"]
    arguments += ["hydra.run.dir=run", "figures=false", "threads=1"]
    asked = [*arguments, "extractor.weights=weights/w.safetensors"]
    ended = cli.expunge(*asked, f"data_dir={tmp_path / 'data'}", cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["extractor_weights"] == "w.safetensors"
    ended = cli.expunge(*asked, f"data_dir={tmp_path}", "hydra.run.dir=none", cwd=tmp_path)
    assert ended.code == 2
    assert ended.err.strip().splitlines()[-1].endswith("weights/w.safetensors: no such file")
