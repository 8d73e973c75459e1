"""The extractor dp_public: layers trained privately upon a public network's features."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from expunge.certificate.composition import Upstream
from expunge.core.errors import InvalidValue, UserError
from expunge.core.files import load_tensors
from expunge.datasets import digits_3v8
from expunge.extractors import dp_trained
from expunge.extractors.accounting import Accounting
from expunge.extractors.dp_public import DpPublic, Hidden
from expunge.extractors.pretrained import Pretrained
from expunge.run.targets import build
from tests import cli

CONF = Path(__file__).resolve().parents[2] / "conf" / "extractor" / "dp_public.yaml"
PUBLIC = {"architecture": "mobilenet_v3_small", "weights": None, "image_size": 32}
HOW = {"device": "cpu", "progress": False, "threads": 1}
QUICK = {**PUBLIC, **HOW, "hidden": (6,), "epochs": 3, "batch_size": 40, "lr": 0.01, "noise_multiplier": 1.0}


@pytest.fixture(scope="module")
def digits():
    return digits_3v8.load()  # 286 + 71 images of 8 x 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A cache, in which the public features are after the first test."""
    return tmp_path_factory.mktemp("cache")


def quick(**changes):
    return DpPublic(**{**QUICK, **changes})


def kept_layers(folder):
    """Weights and biases of the one trained extractor in a cache, in float64."""
    (file,) = [file for file in folder.iterdir() if ".features." not in file.name]
    tensors, _ = load_tensors(file)
    return {name.removeprefix("module."): tensor.double().numpy() for name, tensor in tensors.items()}


def test_features_are_the_trained_layers_outputs_on_the_public_features(digits, tmp_path):
    extractor = quick(cache=tmp_path, hidden=(9, 6), activation="tanh")
    found = extractor.extract(digits)
    public = Pretrained(*PUBLIC.values(), network=True, **HOW).extract(digits)
    kept = kept_layers(tmp_path)
    for rows, inputs, y, part in (
        (found[0], public[0], digits.y_train, "train"),
        (found[1], public[1], digits.y_test, "test"),
    ):
        z = inputs.batch(np.arange(len(inputs))).double().numpy()
        np.testing.assert_allclose((z**2).mean(axis=1), 1, rtol=1e-5)
        for layer in (0, 2):
            z = np.tanh(z @ kept[f"features.{layer}.weight"].T + kept[f"features.{layer}.bias"])
        np.testing.assert_allclose(rows.dense(), z / np.linalg.norm(z, axis=1, keepdims=True), atol=2e-6)
        right = ((z @ kept["head.weight"].T + kept["head.bias"]).argmax(axis=1) == (y == 1)).mean()
        assert extractor.facts()[f"extractor_{part}_accuracy"] == pytest.approx(right, abs=0.01)
    named = {"extractor_architecture": "mobilenet_v3_small", "extractor_weights": "random"}
    assert {**extractor.facts(), **named} == extractor.facts()
    assert extractor.facts()["extractor_features"] == 6


@pytest.mark.parametrize("mode", ["full_private", "private", "none"])
def test_what_the_features_have_cost(mode, digits, folder):
    extractor = quick(mode=mode, cache=folder)
    with pytest.raises(RuntimeError, match="extract"):
        extractor.facts()
    extractor.extract(digits)
    cost = extractor.upstream()
    if mode == "full_private":
        assert cost == Upstream(Accounting(286, 40, 1e-5, "poisson", "rdp").epsilon(1.0, 3 * 8), 1e-5)
    else:
        assert (cost.epsilon, cost.not_covered is None) == (0.0, False)


def test_public_weights_that_have_seen_the_rows_are_covered_by_nothing(digits, folder):
    extractor = quick(trained_on_dataset=True, cache=folder)
    extractor.extract(digits)
    assert extractor.upstream() == Upstream(not_covered="the pretrained weights have seen the training rows")


def test_layers_that_were_trained_once_are_not_trained_again(digits, tmp_path, monkeypatch):
    first = quick(cache=tmp_path)
    rows = first.extract(digits)
    monkeypatch.setattr(dp_trained, "train", None)
    again = quick(cache=tmp_path).extract(digits)
    assert all(np.array_equal(a.dense(), b.dense()) for a, b in zip(rows, again, strict=True))
    with pytest.raises(TypeError):  # other public features: other layers
        quick(cache=tmp_path, image_size=40).extract(digits)


def test_the_same_seed_gives_the_same_layers():
    shapes = [Hidden((5, 3)).build((7,), 2, seed) for seed in (1, 1, 2)]
    one, two, other = ({**f.state_dict(), "head": h.weight} for f, h, _ in shapes)
    assert shapes[0][2] == 3
    assert all(one[key].equal(two[key]) for key in one)
    assert not one["0.weight"].equal(other["0.weight"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden": []}, r"hidden: got \[\], allowed: a list of whole numbers >= 1, such as \[256\]"),
        ({"hidden": [0]}, r"hidden: got \[0\]"),
        ({"hidden": 5}, "hidden: got 5"),
        ({"activation": "gelu"}, "activation: got 'gelu'"),
        ({"architecture": "resnet"}, "architecture: got 'resnet'"),
        ({"image_size": 0}, "image_size: got 0"),
        ({"trained_on_dataset": "no"}, "trained_on_dataset: got 'no'"),
        ({"clip": 0}, "clip: got 0"),
        ({"target_epsilon": 1.0}, "noise_multiplier: got 1.0, allowed: null with target_epsilon"),
    ],
)
def test_bad_values_are_named(changes, said):
    with pytest.raises(InvalidValue, match=said):
        quick(**changes)


def test_networks_have_no_such_features():
    with pytest.raises(UserError) as caught:
        quick(network=True)
    assert str(caught.value) == "extractor: got 'dp_public', allowed: none with a network as model"


def test_more_layers_than_memory_are_refused(digits, folder):
    with pytest.raises(InvalidValue, match=r"hidden: got \[1000000000\]"):
        quick(hidden=[10**9], cache=folder).extract(digits)


def test_the_configuration_is_that_of_the_class():
    settings = OmegaConf.to_container(OmegaConf.load(CONF), resolve=False)
    assert settings.pop("_target_") == "expunge.extractors.dp_public.DpPublic"
    assert settings.pop("seed") == "${seed}"
    defaults = {key: p.default for key, p in inspect.signature(DpPublic).parameters.items()}
    given = {"seed", "network", "device", "cache", "progress", "threads", "constant"}
    assert settings.keys() == defaults.keys() - given
    for key, value in settings.items():
        assert value == (list(defaults[key]) if key == "hidden" else defaults[key]), key
    with pytest.raises(InvalidValue, match="filters"):
        build("extractor", {"_target_": "expunge.extractors.dp_public.DpPublic", "filters": [3]})


def test_a_run_adds_the_guarantees_up(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPUNGE_CACHE", str(tmp_path / "cache"))
    keys = {**PUBLIC, "weights": "null", "hidden": "[6]", "epochs": 1, "batch_size": 100}
    run = ("dataset=digits_3v8", "figures=false", "threads=1", "removal.count=2", "extractor=dp_public")
    head = ("unlearner=newton_corrected", "unlearner.noise=lattice")
    of = (f"extractor.{key}={value}" for key, value in keys.items())
    folder = cli.completed(*run, *head, *of, folder=tmp_path / "run")
    summary = cli.summary(folder)
    spent = Accounting(286, 100, 1e-5).epsilon(6.0, 3)
    assert (summary["extractor"], summary["extractor_epsilon"]) == ("dp_public", pytest.approx(spent))
    assert summary["epsilon_total"] == pytest.approx(spent + 1.0)
    assert (summary["not_covered"], summary["extractor_features"]) == (None, 6)
