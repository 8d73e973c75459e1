"""The extractor dp: features, what it says they have cost, its cache, and its complaints."""

from __future__ import annotations

import dataclasses
import inspect
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from expunge.certificate.composition import Upstream
from expunge.core.errors import DataError, InvalidValue, UserError
from expunge.core.files import load_tensors, save_tensors
from expunge.datasets import arrays, digits_3v8
from expunge.datasets.images import Examples
from expunge.extractors import dp_trained
from expunge.extractors.accounting import Accounting
from expunge.extractors.cnn import ConvNet
from expunge.extractors.dp import Dp
from expunge.extractors.private import Network
from expunge.run.targets import build

CONF = Path(__file__).resolve().parents[2] / "conf" / "extractor" / "dp.yaml"
QUICK = {
    "filters": (8,),
    "kernel": 3,
    "epochs": 5,
    "batch_size": 40,
    "lr": 0.03,
    "clip": 1.0,
    "noise_multiplier": 1.0,
    "device": "cpu",
    "progress": False,
    "threads": 1,
}


@pytest.fixture(scope="module")
def digits():
    return digits_3v8.load()  # 286 + 71 images of 8 x 8


def quick(**changes):
    return Dp(**{**QUICK, **changes})


def facts(extractor):
    """What a second extraction must agree in: all facts but the time."""
    return {key: value for key, value in extractor.facts().items() if key != "extractor_seconds"}


def same(one, two):
    return all(np.array_equal(a.dense(), b.dense()) for a, b in zip(one, two, strict=True))


def stored(folder):
    return sorted(file.name for file in folder.iterdir())


def network_file(folder):
    """The one file of a trained extractor in a cache."""
    (file,) = [file for file in folder.iterdir() if ".features." not in file.name]
    return file


# ---- features


def test_features_are_the_trained_networks_row_by_row(digits, tmp_path):
    extractor = quick(cache=tmp_path)
    train, test = extractor.extract(digits)
    assert (len(train), len(test), train.dim) == (286, 71, 8 * 3 * 3)
    network = Network(*ConvNet((8,), 3).build((1, 8, 8), 2, seed=0)[:2])
    start = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    kept, _ = load_tensors(network_file(tmp_path))
    tensors = {name.removeprefix("module."): tensor for name, tensor in kept.items()}
    assert all(not torch.equal(tensors[name], start[name]) for name in start)
    network.load_state_dict(tensors)
    for rows, raw, y, which in (
        (train, digits.x_train, digits.y_train, "train"),
        (test, digits.x_test, digits.y_test, "test"),
    ):
        x = torch.from_numpy(raw[:, None].astype(np.float32) / 16 - 0.5)
        with torch.no_grad():
            found = network.features(x).double().numpy()
            right = (network(x).argmax(dim=1).numpy() == (y == 1)).mean()
        np.testing.assert_allclose(
            rows.dense(), found / np.linalg.norm(found, axis=1, keepdims=True), atol=1e-6
        )
        assert extractor.facts()[f"extractor_{which}_accuracy"] == right
    assert extractor.facts()["extractor_test_accuracy"] > 0.8


def test_an_extraction_repeats_to_the_bit(digits):
    one, two, other = (quick(seed=seed) for seed in (1, 1, 2))
    rows = one.extract(digits)
    assert same(rows, two.extract(digits))
    assert facts(one) == facts(two)
    assert not same(rows, other.extract(digits))


def test_the_number_of_threads_is_given_back(digits):
    before = torch.get_num_threads()
    quick(threads=before + 1, epochs=1).extract(digits)
    assert torch.get_num_threads() == before


# ---- what they have cost


@pytest.mark.parametrize(("most", "steps"), [(None, 5 * 8), (3, 5 * 3)])
@pytest.mark.parametrize("sampling", ["poisson", "fixed"])
def test_epsilon_is_that_of_the_steps_taken(most, steps, sampling, digits, caplog):
    caplog.set_level(logging.INFO)
    extractor = quick(max_batches=most, sampling=sampling)
    extractor.extract(digits)
    epsilon = Accounting(286, 40, 1e-5, sampling, "rdp").epsilon(1.0, steps)
    assert extractor.upstream() == Upstream(epsilon, 1e-5)
    found = extractor.facts()
    assert (found["extractor_epsilon"], found["extractor_delta"]) == (epsilon, 1e-5)
    assert (found["extractor_noise_multiplier"], found["extractor_steps"]) == (1.0, steps)
    said = [record.message for record in caplog.records if "differentially private" in record.message]
    cost = f"({epsilon:.4g}, 1e-05)-differentially private: {steps} steps with noise multiplier 1"
    assert said == [f"the extractor {verb} {cost}" for verb in ("will be", "is")]


def test_noise_for_a_target_epsilon(digits):
    extractor = quick(noise_multiplier=None, target_epsilon=3.0, accountant="rdp_wide")
    extractor.extract(digits)
    assert 2.9 < extractor.upstream().epsilon <= 3.0
    noise = extractor.facts()["extractor_noise_multiplier"]
    accounting = Accounting(286, 40, 1e-5, "poisson", "rdp_wide")
    assert extractor.upstream().epsilon == accounting.epsilon(noise, 40)


@pytest.mark.parametrize("scaling", ["row", "dataset"])
@pytest.mark.parametrize("mode", ["full_private", "private", "none"])
def test_only_full_private_with_row_scaling_has_a_guarantee(mode, scaling, digits):
    extractor = quick(mode=mode, scaling=scaling, epochs=1)
    extractor.extract(digits)
    reason = extractor.upstream().not_covered
    if mode == "private":
        assert reason.startswith("extractor mode=private is as published and no guarantee: the head learns")
    elif mode == "none":
        assert reason == ("the extractor was trained on the rows to be removed without differential privacy")
    elif scaling == "dataset":
        assert reason == "features were scaled by statistics of the training set"
    else:
        assert reason is None
    found = extractor.facts()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert all(name.startswith("extractor_") for name in found)
    assert (found["extractor_mode"], found["extractor_features"]) == (mode, 72)
    assert (found["extractor_epsilon"] is None) == (mode != "full_private")
    assert (found["extractor_delta"] is None) == (mode != "full_private")
    assert (found["extractor_noise_multiplier"] is None) == (mode == "none")


def test_nothing_is_said_before_there_is_something_to_say():
    for ask in (quick().upstream, quick().facts):
        with pytest.raises(RuntimeError, match="extract"):
            ask()


# ---- cache


def test_what_was_trained_once_is_not_trained_again(digits, tmp_path, monkeypatch):
    first = quick(cache=tmp_path)
    rows = first.extract(digits)
    files = stored(tmp_path)
    assert len(files) == 2
    monkeypatch.setattr(dp_trained, "train", None)
    second = quick(cache=tmp_path)
    assert same(rows, second.extract(digits))
    assert second.facts() == first.facts()
    assert second.upstream() == first.upstream()
    assert stored(tmp_path) == files
    assert same(rows, quick(cache=tmp_path, delta=1e-6).extract(digits))  # the weights are no others


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "private"},
        {"noise_multiplier": 1.1},
        {"clip": 0.9},
        {"epochs": 4},
        {"max_batches": 7},
        {"sampling": "fixed"},
        {"activation": "tanh"},
        {"seed": 1},
        {"threads": 2},
        {"data": "x_train"},
        {"data": "y_train"},
    ],
    ids=str,
)
def test_everything_that_matters_is_trained_anew(change, digits, tmp_path):
    quick(cache=tmp_path, epochs=1).extract(digits)
    data = digits
    if "data" in change:
        altered = getattr(digits, change["data"]).copy()
        altered[0] = -altered[0] if altered.ndim == 1 else 16 - altered[0]
        data = dataclasses.replace(digits, **{change["data"]: altered})
        change = {}
    quick(**{"cache": tmp_path, "epochs": 1, **change}).extract(data)
    assert len([name for name in stored(tmp_path) if ".features." not in name]) == 2


@pytest.mark.parametrize("damage", ["cut", "bit", "header", "weights"])
def test_a_damaged_file_is_trained_anew(damage, digits, tmp_path, caplog):
    one = quick(cache=tmp_path)
    rows = one.extract(digits)
    file = network_file(tmp_path)
    content = bytearray(file.read_bytes())
    tensors, header = load_tensors(file)
    if damage == "cut":
        file.write_bytes(content[:-10])
    elif damage == "bit":
        content[-10] ^= 1
        file.write_bytes(content)
    elif damage == "header":
        del header["losses"]
        save_tensors(file, tensors, header)
    else:
        save_tensors(file, {"weight": torch.zeros(2)}, header)
    two = quick(cache=tmp_path)
    assert same(rows, two.extract(digits))
    assert facts(two) == facts(one)
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1
    assert "the network is trained again" in caplog.text


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("mode", ["full_private", "private"])
def test_a_broken_off_extraction_goes_on_where_it_was(mode, digits, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    whole = quick(mode=mode)
    rows = whole.extract(digits)
    with monkeypatch.context() as patch:
        calls, take = iter(range(22)), Examples.take

        def failing(self, rows):
            if next(calls, None) is None:
                raise Interrupted
            return take(self, rows)

        patch.setattr(Examples, "take", failing)
        with pytest.raises(Interrupted):
            quick(mode=mode, cache=tmp_path).extract(digits)
    assert [name.endswith(".part.safetensors") for name in stored(tmp_path)] == [True]
    again = quick(mode=mode, cache=tmp_path)
    assert same(rows, again.extract(digits))
    assert "training goes on after epoch 2" in caplog.text
    assert facts(again) == facts(whole)
    assert again.upstream() == whole.upstream()
    assert not any(name.endswith(".part.safetensors") for name in stored(tmp_path))


def test_a_folder_that_cannot_be_written_costs_a_warning(digits, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    found = quick(cache=tmp_path / "file" / "below").extract(digits)
    assert same(found, quick().extract(digits))
    assert "cannot be written" in caplog.text


# ---- complaints


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"mode": "public"}, "mode: got 'public', allowed: one of full_private, private, none"),
        ({"filters": []}, "filters: got [], allowed: a list of whole numbers >= 1, such as [64, 64]"),
        ({"kernel": 0}, "kernel: got 0, allowed: a whole number >= 1"),
        ({"norm": "layer"}, "norm: got 'layer', allowed: one of none, group, batch"),
        (
            {"norm": "batch"},
            "norm: got 'batch', allowed: none or group in mode=full_private: BatchNorm mixes the rows of a "
            "batch, so that no row has a gradient of its own",
        ),
        ({"activation": "gelu"}, "activation: got 'gelu', allowed: one of relu, tanh"),
        ({"optimizer": "lamb"}, "optimizer: got 'lamb', allowed: one of adam, sgd"),
        ({"lr": 0.0}, "lr: got 0.0, allowed: a finite number > 0"),
        ({"momentum": 1.0}, "momentum: got 1.0, allowed: a number >= 0 and < 1"),
        ({"epochs": -1}, "epochs: got -1, allowed: a whole number >= 0"),
        ({"batch_size": 0}, "batch_size: got 0, allowed: a whole number >= 1"),
        ({"max_batches": 0}, "max_batches: got 0, allowed: a whole number >= 1"),
        ({"clip": -1}, "clip: got -1, allowed: a finite number > 0"),
        ({"noise_multiplier": 0.0}, "noise_multiplier: got 0.0, allowed: a finite number > 0"),
        (
            {"noise_multiplier": None},
            "noise_multiplier: got None, allowed: a number > 0, or null with a target_epsilon",
        ),
        ({"target_epsilon": 1.0}, "noise_multiplier: got 1.0, allowed: null with target_epsilon"),
        (
            {"noise_multiplier": None, "target_epsilon": 0},
            "target_epsilon: got 0, allowed: a finite number > 0",
        ),
        ({"delta": 0.0}, "delta: got 0.0, allowed: a number strictly between 0 and 1"),
        ({"accountant": "gdp"}, "accountant: got 'gdp', allowed: one of rdp, rdp_wide, prv"),
        ({"sampling": "all"}, "sampling: got 'all', allowed: one of poisson, fixed"),
        ({"scaling": "none"}, "scaling: got 'none', allowed: one of row, dataset"),
        ({"seed": -1}, "seed: got -1, allowed: a whole number >= 0"),
        ({"device": "tpu"}, "device: got 'tpu', allowed: one of auto, cpu, cuda"),
        ({"threads": 0}, "threads: got 0, allowed: a whole number >= 1"),
    ],
    ids=str,
)
def test_bad_settings_are_named(change, line):
    with pytest.raises(InvalidValue) as caught:
        quick(**change)
    assert str(caught.value) == line


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_without_privacy_there_is_no_noise_to_ask_for(norm, digits):
    extractor = quick(mode="none", norm=norm, noise_multiplier=None, epochs=1)
    assert extractor.extract(digits)[0].dim == 72


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"filters": [8, 8, 8]},
            "filters: got '[8, 8, 8] on images of 8 x 8 pixels', allowed: at most 1 blocks with kernel=3",
        ),
        ({"batch_size": 287}, "batch_size: got 287, allowed: at most the number of rows, 286"),
        (
            {"batch_size": 287, "mode": "none"},
            "batch_size: got 287, allowed: at most 286, the training rows there are",
        ),
    ],
    ids=["filters", "batch_size", "batch_size_open"],
)
def test_settings_that_do_not_fit_the_data_are_named(change, line, digits):
    with pytest.raises(InvalidValue) as caught:
        quick(**change).extract(digits)
    assert str(caught.value) == line


def test_a_diverging_training_leaves_nothing_behind(digits, tmp_path):
    extractor = quick(optimizer="sgd", lr=1e15, clip=1e3, epochs=9, cache=tmp_path)
    with pytest.raises(
        InvalidValue, match=r"^lr: got 1000000000000000\.0, allowed: a smaller value: .* in epoch [1-9]$"
    ):
        extractor.extract(digits)
    assert stored(tmp_path) == []


def test_rows_of_features_are_refused(tmp_path):
    np.savez(tmp_path / "flat.npz", x=np.random.default_rng(0).normal(size=(60, 5)), y=np.arange(60) % 2)
    with pytest.raises(
        InvalidValue, match=r"^dataset: got 'arrays with rows of 5 numbers', allowed: .*images"
    ):
        quick().extract(arrays.load(data_dir=tmp_path, path=tmp_path / "flat.npz"))


def test_data_without_two_classes_or_with_strange_labels_are_refused(digits):
    one = dataclasses.replace(digits, class_names={1: "3"})
    with pytest.raises(InvalidValue, match=r"^dataset: got 'digits_3v8 with 1 class', allowed: two classes"):
        quick().extract(one)
    y = digits.y_test.copy()
    y[5] = 7
    with pytest.raises(DataError, match=r"^dataset digits_3v8: test row 5 has label 7, which is none of"):
        quick().extract(dataclasses.replace(digits, y_test=y))


def test_a_network_takes_images_and_no_features():
    settings = OmegaConf.to_container(OmegaConf.load(CONF))
    with pytest.raises(UserError) as caught:
        build("extractor", {**settings, "seed": 0}, network=True)
    assert str(caught.value) == "extractor: got 'dp', allowed: none with a network as model"


# ---- configuration


def test_the_configuration_is_the_published_recipe_and_that_of_the_class():
    settings = OmegaConf.to_container(OmegaConf.load(CONF), resolve=False)
    assert settings.pop("_target_") == "expunge.extractors.dp.Dp"
    assert settings.pop("seed") == "${seed}"
    defaults = {key: p.default for key, p in inspect.signature(Dp).parameters.items()}
    given = {"seed", "network", "device", "cache", "progress", "threads", "constant"}
    assert settings.keys() == defaults.keys() - given
    for key, value in settings.items():
        assert value == (list(defaults[key]) if key == "filters" else defaults[key]), key
    extractor = build("extractor", {"_target_": "expunge.extractors.dp.Dp", "seed": 3, **settings})
    assert (extractor.seed, extractor.noise_multiplier, extractor.recipe.mode) == (3, 6.0, "full_private")
    assert extractor.architecture == ConvNet()


def test_the_configuration_is_explained():
    first, _, *keys = CONF.read_text().splitlines()
    assert "differential privacy" in first
    assert all("#" in line and len(line) <= 120 for line in keys)
