"""The face network as an extractor: what of a picture it sees, what is kept, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from expunge.certificate.composition import Upstream
from expunge.core.errors import DataError, InvalidValue
from expunge.extractors.face import Face
from expunge.extractors.pretrained import Pretrained
from expunge.models.dlib_face import MEAN, UNIT, DlibFace, load_dlib_face
from tests import cli
from tests.extractors.test_pretrained import dataset
from tests.people import folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of random weights, scaled so that some of a picture is left after 29 convolutions."""
    generator, network = torch.Generator().manual_seed(0), DlibFace()
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith("weight"):
                value.copy_(torch.randn(value.shape, generator=generator) / value[0].numel() ** 0.5)
    path = tmp_path_factory.mktemp("weights") / "dlib_face_resnet.safetensors"
    save_file(network.state_dict(), path)
    return path


def face(weights, **how):
    return Face(str(weights), **{"device": "cpu", "threads": 1, "progress": False} | how)


@pytest.mark.parametrize(("channels", "size", "crop"), [(3, 40, 0.85), (1, 40, 1.0), (3, 150, 1.0)])
def test_features_are_the_networks_of_the_inner_part(weights, channels, size, crop):
    data = dataset(channels, size)
    train, test = face(weights, crop=crop).extract(data)
    inner = round(crop * size)
    first = (size - inner) // 2
    network = load_dlib_face(weights).eval()
    for rows, x in ((train, data.x_train), (test, data.x_test)):
        pixels = torch.from_numpy(x).float()
        pixels = pixels[..., None].expand(-1, -1, -1, 3) if channels == 1 else pixels
        pixels = pixels.permute(0, 3, 1, 2)[:, :, first : first + inner, first : first + inner]
        if inner != 150:
            pixels = functional.interpolate(pixels, (150, 150), mode="bilinear", align_corners=False)
        with torch.no_grad():
            true = network((pixels - torch.tensor(MEAN).reshape(3, 1, 1)) / UNIT).double().numpy()
        true /= np.linalg.norm(true, axis=1, keepdims=True)
        np.testing.assert_allclose(rows.dense(), true, rtol=1e-3, atol=1e-4)
    assert train.dim == 128
    assert train.raw.dtype == np.float32


def test_features_are_kept_and_another_crop_has_its_own(weights, tmp_path):
    data = dataset()
    first, _ = face(weights, cache=tmp_path).extract(data)
    again, _ = face(weights, cache=tmp_path).extract(data)
    np.testing.assert_array_equal(first.raw, again.raw)
    assert len(list(tmp_path.glob("*.features.safetensors"))) == 1
    other, _ = face(weights, cache=tmp_path, crop=0.5).extract(data)
    assert len(list(tmp_path.glob("*.features.safetensors"))) == 2
    assert not np.array_equal(first.raw, other.raw)


def test_it_costs_the_training_rows_nothing_unless_its_weights_have_seen_them(weights):
    assert face(weights).upstream() == Upstream()
    assert face(weights, trained_on_dataset=True).upstream().not_covered
    ours = face(weights)
    ours.extract(dataset())
    facts = ours.facts()
    assert facts.pop("extractor_seconds") > 0
    assert facts == {
        "extractor_architecture": "dlib_face",
        "extractor_weights": "dlib_face_resnet.safetensors",
        "extractor_features": 128,
    }


@pytest.mark.parametrize("kind", ["face", "pretrained"])
def test_a_constant_stands_beside_the_features_of_a_frozen_network(weights, kind):
    how = {"device": "cpu", "threads": 1, "progress": False, "constant": 2.0}
    of = Face(str(weights), **how) if kind == "face" else Pretrained("resnet18", None, **how)
    alone = face(weights) if kind == "face" else Pretrained("resnet18", None, **{**how, "constant": 0.0})
    (train, _), (without, _) = of.extract(dataset()), alone.extract(dataset())
    assert train.dim == without.dim + 1
    found = train.dense()
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)
    kept = found[:, :-1] / np.linalg.norm(found[:, :-1], axis=1, keepdims=True)
    np.testing.assert_allclose(kept, without.dense(), rtol=1e-4, atol=1e-6)


def test_a_network_is_given_the_unit_rows_times_the_root_of_their_length(weights):
    """And no constant: a layer has a bias of its own."""
    rows, _ = face(weights).extract(dataset())
    images, _ = face(weights, network=True, constant=1.0).extract(dataset())
    assert images.shape == (128,)
    found = images.batch(np.arange(len(images))).numpy()
    np.testing.assert_allclose(found, rows.dense() * np.sqrt(128), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose((found**2).mean(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("value", [0, 1.5, -0.1, "all"])
def test_a_share_of_the_picture_is_one(weights, value):
    with pytest.raises(InvalidValue, match="crop"):
        face(weights, crop=value)


def test_what_is_no_picture_of_a_face_is_refused_in_one_line(weights):
    with pytest.raises(InvalidValue, match="of at least 16 pixels a side"):
        face(weights).extract(dataset(size=12))
    rows = replace(dataset(), x_train=np.zeros((6, 20)), x_test=np.zeros((3, 20)))
    with pytest.raises(InvalidValue, match=r"inputs of shape \(20,\)"):
        face(weights).extract(rows)
    with pytest.raises(InvalidValue, match="weights"):
        Face(None)


def test_weights_that_are_not_there_are_said_to_have_been_looked_for(tmp_path):
    with pytest.raises(DataError, match="neither here nor in data_dir"):
        face("weights/gone.safetensors").extract(dataset())
    with pytest.raises(DataError, match="no such file"):
        face(tmp_path / "gone.safetensors").extract(dataset())


BASE = ("dataset=faces", "dataset.image_size=32", "extractor=face", "removal=people", "removal.people=2")


@pytest.fixture
def four(weights, tmp_path):
    """Settings for four people in a data_dir with weights."""
    data = folder(tmp_path / "data", a=4, b=4, c=4, d=5)
    (data / "weights").mkdir()
    save_file(load_dlib_face(weights).state_dict(), data / "weights" / weights.name)
    return (*BASE, "dataset.folder=people", f"data_dir={data}", "unlearner.lam=1e-3", "threads=1")


def test_a_run_finds_weights_in_data_dir_and_people_leave(four, tmp_path):
    how = (*four, "model.intercept=true", "metrics=[accuracy,identity,verification]")
    ran = cli.completed(*how, folder=tmp_path / "run")
    found = cli.summary(ran)
    assert found["extractor_features"] == 129
    assert found["removed"] == 2
    assert found["identity_train_accuracy"] == found["identity_test_accuracy"] == 0
    assert found["verification_auc"] == found["retrain_verification_auc"]  # nobody has trained the features
    whole = cli.summary(cli.completed(*how, "removal.together=2", folder=tmp_path / "whole"))
    assert (whole["removed"], whole["requests"]) == (1, 1)
    (asked,) = cli.records(tmp_path / "whole")
    assert sorted(asked["rows"]) == sorted(row for one in cli.records(ran) for row in one["rows"])


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("extractor.weights=gone/face.safetensors", "gone/face.safetensors: neither here nor in data_dir"),
        ("extractor.crop=2", "extractor.crop: got 2"),
        ("removal.people=3", "removal.people: got 3, allowed: at most 2, so that two of 4 people are left"),
        ("removal.together=0", "removal.together: got 0"),
        ("dataset.image_size=8", "of at least 16 pixels a side"),
        ("model=softmax", "model: got 'softmax', allowed: logistic"),
    ],
)
def test_what_is_refused_is_said_in_one_line(four, tmp_path, given, line):
    ended = cli.expunge(*four, given, f"hydra.run.dir={tmp_path / 'run'}", cwd=tmp_path)
    assert ended.code == 2
    assert line in ended.err
    assert len(ended.err.strip().splitlines()) == 1


def test_people_of_celeba_are_told_apart_and_leave(shared_data, tmp_path):
    if not (shared_data / "celeba" / "celeba_faces").is_dir():
        pytest.skip(f"needs faces of CelebA, found no celeba/celeba_faces in {shared_data}")
    how = ("dataset.folder=celeba/celeba_faces", "dataset.image_size=null", "dataset.identities=8")
    where = (f"data_dir={shared_data}", "model.intercept=true", "unlearner.lam=1e-5")
    run = cli.completed(*BASE, *how, *where, "metrics=[accuracy,identity]", folder=tmp_path / "run")
    found = cli.summary(run)
    assert found["test_accuracy_before"] > 0.85
    assert found["identity_test_accuracy"] == found["retrain_identity_test_accuracy"] == 0
    assert found["rest_test_kept"] > 0.97
