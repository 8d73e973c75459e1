"""The study ``spurious``: gradients that are turned round, faces with attributes, what it says of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from expunge.core.errors import DataError, InvalidValue
from expunge.datasets import celeba_attributes
from expunge.datasets.celeba_attributes import read_celeba_attributes
from expunge.datasets.face_attributes import load
from expunge.studies.adversarial import Adversarial, train
from expunge.studies.spurious import Spurious, over_repeats
from expunge.training import Training
from tests import cli
from tests.studies.drawn_faces import IMAGES, NAMES, SETTINGS, written


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attributes")
    return folder, written(folder, np.random.default_rng(0))


def study(here, **change):
    return Spurious(**(SETTINGS | {"data_dir": here[0], "threads": 1} | change))


# -- the network --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", [0.0, 0.3, 2.0])
def test_features_go_against_the_readers_and_the_readers_with_themselves(strength):
    torch.manual_seed(0)
    network = Adversarial(16, 3).double()
    x, label = torch.randn(5, 3, 16, 16).double(), torch.tensor([0, 1, 1, 0, 1])
    told = torch.randint(0, 2, (5, 3)).double()
    network.loss(x, label, told, strength).backward()
    features = network.features(x)
    of_label = functional.cross_entropy(network.label(features), label)
    each = [
        -torch.where(told[:, [j]] == 1, functional.logsigmoid(said), functional.logsigmoid(-said)).mean()
        for j, said in enumerate(reader(features) for reader in network.readers)
    ]
    own, shared = list(network.readers.parameters()), list(network.features.parameters())
    for found, wanted in zip(own, torch.autograd.grad(sum(each), own, retain_graph=True), strict=True):
        torch.testing.assert_close(found.grad, wanted, rtol=1e-12, atol=1e-15)
    wanted = torch.autograd.grad(of_label - strength * sum(each), shared, retain_graph=True)
    for found, one in zip(shared, wanted, strict=True):
        torch.testing.assert_close(found.grad, one, rtol=1e-9, atol=1e-13)


def test_the_same_chance_trains_the_same_network():
    x, y, told = torch.randn(20, 3, 16, 16), torch.arange(20) % 2, torch.zeros(20, 2)
    made = [train(x, y, told, 1.0, Training("adam", 2), torch.Generator().manual_seed(3)) for _ in range(2)]
    assert all(torch.equal(*pair) for pair in zip(*(one.parameters() for one in made), strict=True))


# -- faces and attributes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["list.txt", "list.txt.xz"])
def test_attributes_are_those_of_the_images_numbers_and_no_person_is_in_both_parts(here, file):
    folder, table = here
    data = load(folder, "faces", file, "Bright", image_size=16)
    assert np.array_equal(data.table, table.astype(np.uint8))
    assert data.names == NAMES
    assert len(data.test) == 4 * IMAGES  # round(.3 * 12) people
    seen = set()
    for part in ("train", "test"):
        images, own = getattr(data.faces, f"x_{part}"), getattr(data, part)
        assert np.array_equal(getattr(data.faces, f"y_{part}"), own[:, 0])
        for pixels, row in zip(images, own, strict=True):
            assert (pixels[..., 1].mean() > 80) == row[0]
        numbers = {int(np.flatnonzero((table == row).all(axis=1))[0]) for row in own}
        seen |= numbers
    assert seen


def test_what_cannot_be_used_is_said_in_one_line(here, tmp_path, monkeypatch):
    folder, _ = here
    with pytest.raises(InvalidValue, match="target"):
        load(folder, "faces", "list.txt", "Beard")
    with pytest.raises(InvalidValue, match="people"):
        load(folder, "faces", "list.txt", "Bright", people=13)
    with pytest.raises(DataError, match="Rare is the same in all"):
        load(folder, "faces", "list.txt", "Rare", image_size=16)
    (tmp_path / "faces" / "p0").mkdir(parents=True)
    (tmp_path / "faces" / "p1").mkdir()
    for name in ("p0/1.png", "p1/999999.png"):
        Image.new("RGB", (16, 16)).save(tmp_path / "faces" / name)
    with pytest.raises(DataError, match="999999"):
        load(tmp_path, "faces", folder / "list.txt", "Bright")
    whole = (folder / "list.txt.xz").read_bytes()
    for damaged in (whole[:-20], b"no xz at all", b""):
        (tmp_path / "list.txt.xz").write_bytes(damaged)
        with pytest.raises(DataError):
            read_celeba_attributes(tmp_path / "list.txt.xz")
    monkeypatch.setattr(celeba_attributes, "_MOST", 1000)
    with pytest.raises(DataError, match="more than 1000 bytes"):
        read_celeba_attributes(folder / "list.txt.xz")


# -- the study ---------------------------------------------------------------------------------------------


def test_the_study_says_what_was_measured(here):
    asked = study(here, strengths=[0.5, 5.0])
    cells = asked.cells()
    assert [(c["selection"], c["strength"]) for c in cells][:3] == [("none", 0.0), ("all", 0.5), ("all", 5.0)]
    records = [cell | asked.run_cell(cell, 0) for cell in cells]
    found = asked.summary(records)
    assert found["chosen"][0] == "Red"  # what goes with it; what more there is, chance adds
    assert found["strongest"]["foci"]["strength"] == 5.0
    plain = found["strongest"]["none"]
    assert plain["accuracy"] > 0.9
    record = records[0]
    assert set(record["with"]) == {"Red", "Wide"}  # Rare is nobody's
    has = asked.data.test[:, NAMES.index("Red")].astype(bool)
    mean = (record["with"]["Red"] * has.sum() + record["without"]["Red"] * (~has).sum()) / len(has)
    assert mean == pytest.approx(record["accuracy"], abs=1e-12)
    pairs = over_repeats([record]).values()
    assert plain["gap"] == pytest.approx(np.mean([abs(a - b) for a, b in pairs]))
    chosen = len(found["chosen"])
    assert [row["number"] for row in found["rows"]] == [0, 3, 3, *[chosen] * 4, 1, 1, 1, 1]
    assert all(r["attributes"] == ["Red"] for r in records if r["selection"] == "first")
    assert records[-1] == cells[-1] | study(here, strengths=[0.5, 5.0]).run_cell(cells[-1], 0)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"image_size": 20}, "image_size"),
        ({"selections": ["some"]}, "selections"),
        ({"strengths": []}, "strengths"),
        ({"strengths": [0.0]}, "strengths"),
        ({"strengths": [1.0, 1.0]}, "strengths"),
        ({"strengths": [[1.0]]}, "strengths"),
        ({"people": "all"}, "people"),
        ({"training": None}, "training"),
        ({"training": {"speed": 1}}, "training"),
        ({"training": {"lr": -1.0}}, r"training\.lr"),
        ({"repeats": 0}, "repeats"),
        ({"foci_rows": 10**6}, "foci_rows"),
    ],
)
def test_settings_that_are_refused(here, change, key):
    with pytest.raises(InvalidValue, match=key):
        study(here, **change)


def test_reduced_experiment_on_real_faces(shared_data, tmp_path):
    if not (shared_data / "celeba").is_dir():
        pytest.skip(f"needs CelebA's faces, found no celeba in {shared_data}")
    told = (
        "+experiment=cvpr2022/spurious_reduced",
        "study.foci_rows=500",
        "study.image_size=32",
        "threads=1",
    )
    ended = cli.expunge(*told, f"data_dir={shared_data}", "hydra.run.dir=run", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert (tmp_path / "run" / "figures" / "spurious.png").is_file()
