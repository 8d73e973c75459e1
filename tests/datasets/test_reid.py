"""Re-identification data sets in the layout of Market-1501, and faces laid out like them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from PIL import Image

from expunge.app import config_dir
from expunge.core.errors import DataError, InvalidValue
from expunge.datasets import market, reid
from expunge.run.targets import build
from tests import cli
from tests.people import MARKET, draw, folder, refusal, warned
from tests.people import load_market as load
from tests.people import market as write


def load_refusal(root: Path, error: type[Exception] = DataError, **changed: object) -> str:
    return refusal(error, load, root, **changed)


def test_labels_rows_and_cameras(tmp_path, caplog):
    data = load(write(tmp_path))
    assert sorted(data.y_train.tolist()) == [2, 2, 7, 10]
    held, query, gallery = data.y_test[:2], data.retrieval.query, data.retrieval.gallery
    assert held.tolist() == [2, 10], "one image of each training person who has two or more"
    assert (query.tolist(), gallery.tolist()) == ([2, 3], [4, 5, 6, 7])
    assert (query.dtype, gallery.dtype, data.retrieval.cameras.dtype) == (np.int64, np.int64, np.int64)
    assert data.y_test[query].tolist() == [1, 3]
    assert data.y_test[gallery].tolist() == [0, 1, 3, -1], "in the order of the names"
    assert data.retrieval.cameras[query].tolist() == [1, 2]
    assert data.retrieval.cameras[gallery].tolist() == [1, 2, 1, 3]
    assert data.class_names == {1: "0001", 2: "0002", 3: "0003", 7: "0007", 10: "0010"}
    assert data.x_train.shape == (4, 12, 6)
    assert (data.name, data.unit, data.offset) == ("reid", 255.0, 0.5)
    assert "1 of 3 identities have a single image" in warned(caplog, "single")
    for name in ("0010", "10", 10):
        assert data.label_of(name) == 10


def test_every_image_is_in_its_place(tmp_path):
    write(tmp_path)
    names = [name for part in MARKET.values() for name in part if name.endswith(".png")]
    for level, path in enumerate(sorted((tmp_path / "Market").rglob("*.*")), start=1):
        Image.fromarray(np.full((4, 2), 10 * level, np.uint8)).save(path, quality=100)
    data = load(tmp_path)
    level = {path.name: 10 * k for k, path in enumerate(sorted((tmp_path / "Market").rglob("*.*")), start=1)}
    at = data.retrieval
    assert data.x_test[at.query][:, 0, 0].tolist() == [level[name] for name in MARKET["query"]]
    assert data.x_test[at.gallery][:, 0, 0].tolist() == [level[name] for name in MARKET["bounding_box_test"]]
    everyone = [*data.x_train[:, 0, 0].tolist(), *data.x_test[:2, 0, 0].tolist()]
    assert sorted(everyone) == sorted(level[name] for name in MARKET["bounding_box_train"])
    assert names == ["0010_c6s2_055893_01.png"]
    of_ten = data.retrieval.cameras[1], data.x_test[1, 0, 0]
    assert of_ten in ((6, level["0010_c6s2_055893_01.png"]), (1, level["0010_c1s2_055900_01.pgm"]))


def test_the_size_and_the_folders_are_those_of_the_benchmark(tmp_path):
    yaml = OmegaConf.to_container(OmegaConf.load(config_dir() / "dataset" / "reid.yaml"))
    (write(tmp_path) / "Market").rename(tmp_path / "Market-1501-v15.09.15")
    data = build("dataset", yaml, data_dir=tmp_path)
    assert data.x_train.shape[1:] == (128, 64)
    assert np.array_equal(data.x_test, reid.load(tmp_path).x_test)


def test_classes_and_first_rows(tmp_path):
    data = load(write(tmp_path))
    with pytest.raises(InvalidValue, match=r"^classes: got .* null for a re-identification data set$"):
        data.only(["0002", "0007"])
    assert data.only(None) is data
    some = data.first(2)
    assert some.retrieval is data.retrieval
    assert np.array_equal(some.y_test, data.y_test)


def test_nobody_is_trained_on(tmp_path, caplog):
    more = ["-1_c1s1_000001_01.jpg", "0000_c1s1_000002_01.jpg"]
    data = load(write(tmp_path, bounding_box_train=MARKET["bounding_box_train"] + more))
    assert min(data.y_train) == 2
    line = warned(caplog, "not trained on")
    assert "2 images of junk (-1) or distractors (0)" in line
    assert f"bounding_box_train/{more[0]}" in line


def test_people_on_both_sides_are_counted(tmp_path, caplog):
    load(write(tmp_path, query=["0002_c1s1_001051_00.jpg"]))
    assert warned(caplog, "asked for").endswith("(0002)")


@pytest.mark.parametrize("name", ["Thumbs.db", "readme.txt"])
def test_other_files_are_ignored(tmp_path, caplog, name):
    write(tmp_path)
    (tmp_path / "Market" / "query" / name).write_bytes(b"\0")
    (tmp_path / "Market" / "query" / ".hidden.jpg").write_bytes(b"\0")
    assert len(load(tmp_path).retrieval.query) == 2
    assert f"(query/{name})" in warned(caplog, "no images by")


@pytest.mark.parametrize(
    "name", ["0002.jpg", "c1s1_000451.jpg", "-2_c1s1_1_1.jpg", "0002_c1s1 (2).jpg", "2_cx_1.jpg"]
)
def test_names_that_say_nothing(tmp_path, name):
    line = load_refusal(write(tmp_path, query=[*MARKET["query"], name]))
    assert line.startswith(str(tmp_path / "Market" / "query" / name))
    assert "tells no person and camera, allowed: names such as 0002_c1s1_000451_03.jpg" in line


def test_names_of_other_benchmarks(tmp_path):
    data = load(write(tmp_path, query=["0005_c2_f0046182.jpg", "0006_c12s1_000000_00.jpg.jpg"]))
    assert data.y_test[data.retrieval.query].tolist() == [5, 6]
    assert data.retrieval.cameras[data.retrieval.query].tolist() == [2, 12]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"query": []}, "query: holds no images, allowed: one or more"),
        ({"bounding_box_test": []}, "bounding_box_test: holds no images"),
        ({"bounding_box_train": []}, "bounding_box_train: holds no images of any identity"),
        ({"bounding_box_train": ["0002_c1s1_1_1.jpg"]}, "one identity only (0002), allowed: two identities"),
        ({"query": ["0000_c1s1_1_1.jpg"]}, "query: 0000_c1s1_1_1.jpg is of nobody (junk or a distractor)"),
        ({"query": ["2_c1s1_1_1.jpg"]}, "person 2 is written 0002 and 2"),
    ],
)
def test_layouts_that_are_not_in_order(tmp_path, changed, message):
    assert message in load_refusal(write(tmp_path, **changed))


@pytest.mark.parametrize("part", MARKET)
def test_missing_folders(tmp_path, part):
    assert load_refusal(tmp_path).startswith("folder: Market: no such folder")
    write(tmp_path)
    (tmp_path / "Market" / part).rename(tmp_path / "Market" / "other")
    line = load_refusal(tmp_path)
    assert line.startswith(f"{tmp_path / 'Market' / part}: no such folder; ")
    assert "must hold the folders bounding_box_train, query, bounding_box_test" in line


def test_unreadable_images(tmp_path, caplog):
    write(tmp_path)
    for name in MARKET["query"]:
        (tmp_path / "Market" / "query" / name).write_bytes(b"\xff\xd8\xff")
    assert "set dataset.skip_unreadable=true" in load_refusal(tmp_path)
    assert "query: holds no images" in load_refusal(tmp_path, skip_unreadable=True)
    draw(tmp_path / "Market" / "query" / MARKET["query"][1], (12, 6))
    data = load(tmp_path, skip_unreadable=True)
    assert data.y_test[data.retrieval.query].tolist() == [3]
    assert len(data.retrieval.cameras) == len(data.y_test) == 7


@pytest.mark.parametrize(
    ("setting", "value"),
    [("val_share", 0), ("val_share", 1), ("image_size", "big"), ("split_seed", -1), ("skip_unreadable", 1)],
)
def test_settings_are_checked(tmp_path, setting, value):
    assert load_refusal(tmp_path, InvalidValue, **{setting: value}).startswith(f"{setting}: got ")


# Faces laid out


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 20), min_size=8, max_size=16).filter(lambda sizes: max(sizes[:3:2]) > 3),
    cameras=st.integers(2, 8),
    distractors=st.integers(0, 2),
    junk=st.integers(0, 5),
)
def test_a_plan_is_a_benchmark(sizes, cameras, distractors, junk):
    people = {f"{k}": [Path(f"{k}/{i}.pgm") for i in range(size)] for k, size in enumerate(sizes, start=1)}
    plan = market.plan(people, cameras, distractors, junk)
    assert plan == market.plan(people, cameras, distractors, junk)
    shots = {part: [reid.Shot.of(image, name) for name, image in files] for part, files in plan.items()}
    files = [shot.path for own in shots.values() for shot in own]
    assert len({name for own in plan.values() for name, _ in own}) == len(files), "no name twice"
    assert sorted(files) == sorted(image for images in people.values() for image in images), "each image once"
    train, query, gallery = ({shot.person for shot in shots[part]} for part in reid.PARTS)
    assert train == set(range(2, len(sizes) + 1, 2))
    assert not train & (query | gallery)
    assert (0 in gallery) == (distractors > 0)
    assert sum(shot.person == -1 for shot in shots["bounding_box_test"]) <= junk
    assert set(Counter((shot.person, shot.camera) for shot in shots["query"]).values()) == {1}
    where = {(shot.person, shot.camera) for shot in shots["bounding_box_test"]}
    for shot in shots["query"]:
        assert where & {(shot.person, camera) for camera in range(1, cameras + 1) if camera != shot.camera}
    seen: dict[str, set[int]] = {}
    for own in shots.values():
        for shot in own:
            seen.setdefault(shot.path.parent.name, set()).add(shot.camera)
    for person, size in enumerate(sizes, start=1):
        assert len(seen[str(person)]) == max(1, min(cameras, size // 2))
        assert seen[str(person)] <= set(range(1, cameras + 1))


def test_orl_laid_out_is_what_reid_faces_reads(orl, tmp_path):
    counts = market.lay_out(orl / "att_faces", tmp_path / "out")
    assert counts == {"bounding_box_train": 200, "query": 54, "bounding_box_test": 146}
    read, ours = reid.load(tmp_path, "out", [16, 8]), market.load(orl, image_size=[16, 8])
    for name in ("x_train", "y_train", "x_test", "y_test"):
        assert np.array_equal(getattr(read, name), getattr(ours, name)), name
    for name in ("query", "gallery", "cameras"):
        assert np.array_equal(getattr(read.retrieval, name), getattr(ours.retrieval, name)), name
    assert (ours.name, read.class_names) == ("reid_faces", ours.class_names)
    assert np.unique(ours.y_train).tolist() == list(range(2, 41, 2))
    found = Counter(ours.y_test[ours.retrieval.gallery].tolist())
    assert (found[0], found[-1], len(found)) == (20, 4, 20)
    copied = tmp_path / "out" / "bounding_box_train" / "0002_c3s1_000011_01.pgm"
    assert copied.read_bytes() == (orl / "att_faces" / "s2" / "1.pgm").read_bytes()


def test_messages_of_reid_faces_name_the_folder_itself(tmp_path):
    folder(tmp_path, **{f"p{k}": 4 for k in range(5)})
    bad = tmp_path / "people" / "p3" / "2.png"
    bad.write_bytes(b"")
    yaml = OmegaConf.to_container(OmegaConf.load(config_dir() / "dataset" / "reid_faces.yaml"))
    with pytest.raises(DataError, match=r"set dataset\.skip_unreadable=true$") as caught:
        build("dataset", yaml | {"folder": "people"}, data_dir=tmp_path)
    assert str(caught.value).startswith(f"{bad}: cannot be read")
    data = build("dataset", yaml | {"folder": "people", "skip_unreadable": True}, data_dir=tmp_path)
    assert len(data.y_train) + len(data.y_test) == 19


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "expunge.datasets.market", *map(str, arguments)],
        capture_output=True,
        text=True,
    )


def test_the_command(tmp_path):
    folder(tmp_path, **{f"p{k}": 6 for k in range(8)})
    ended = command(tmp_path / "people", tmp_path / "out", "--cameras", 2, "--distractors", 1, "--junk", 2)
    assert ended.returncode == 0
    assert "query: 6 images" in ended.stderr
    data = load(tmp_path, folder="out")
    assert sorted(Counter(data.y_test[data.retrieval.gallery].tolist()).items()) == [
        (-1, 2), (0, 6), (1, 3), (3, 3), (5, 4)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nobody", "out"), "nobody: cannot be read as a folder"),
        (("people", "people"), "people: is there already and not an empty folder"),
        (("people", "out", "--cameras", "1"), "cameras: got 1, allowed: a whole number >= 2"),
        (("people", "out", "--distractors", "9"), "4 identities cannot be laid out with 9 as distractors"),
        (("people", "out", "--junk", "-1"), "junk: got -1, allowed: a whole number >= 0"),
    ],
)
def test_the_command_refuses_in_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    folder(tmp_path, **{f"p{k}": 4 for k in range(4)})
    monkeypatch.chdir(tmp_path)
    assert market.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"python -m expunge.datasets.market: {message}")
    assert not (tmp_path / "out").exists()


def test_a_person_with_too_few_images_has_no_query(tmp_path):
    folder(tmp_path, **{f"p{k}": 3 for k in range(6)})
    with pytest.raises(DataError, match="no query can be made: nobody"):
        market.plan({f"p{k}": [Path("a.png")] * 3 for k in range(6)})


def test_a_missing_benchmark_from_the_command_line(tmp_path):
    ended = cli.expunge("dataset=reid", f"data_dir={tmp_path}", "hydra.run.dir=run", cwd=tmp_path)
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert line.startswith("expunge: dataset.folder: no folder of re-identification data in ")
    assert "Market-1501-v15.09.15/bounding_box_train/0002_c1s1_000451_03.jpg" in line


def test_without_a_name_it_is_the_data_folder_or_the_only_one_in_it(tmp_path):
    expected = load(write(tmp_path))
    folder(tmp_path, a=2, b=2)
    for place in (tmp_path, tmp_path / "Market"):
        assert np.array_equal(load(place, folder=None).x_train, expected.x_train)
    shutil.copytree(tmp_path / "Market", tmp_path / "Duke")
    line = load_refusal(tmp_path, folder=None)
    assert line.endswith("2 folders of re-identification data: name one of Duke, Market")
