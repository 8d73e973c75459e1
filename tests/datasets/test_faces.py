"""Folders of faces: what is read, how it is split, and what is said of folders that are not in order."""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from expunge.app import config_dir
from expunge.core.errors import DataError, InvalidValue
from expunge.datasets import faces
from expunge.datasets.image_files import Decoding, decode
from expunge.datasets.image_folders import held_out
from expunge.datasets.names import listed, natural, person
from expunge.run.targets import build
from tests import cli
from tests.people import draw, folder, refusal, warned
from tests.people import load_faces as load


def load_refusal(root: Path, error: type[Exception] = DataError, **settings: object) -> str:
    return refusal(error, load, root, **settings)


# What is read


def test_identities_and_images_are_in_natural_order(tmp_path):
    folder(tmp_path, s10=3, s2=12, s1=2)
    data = load(tmp_path)
    assert data.class_names == {0: "s1", 1: "s2", 2: "s10"}
    assert np.bincount(data.y_train).tolist() == [1, 8, 2]
    assert np.bincount(data.y_test).tolist() == [1, 4, 1]
    assert (np.diff(data.y_train) >= 0).all()
    assert (np.diff(data.y_test) >= 0).all()
    assert data.x_train.shape == (11, 10, 12)
    assert (data.x_train.dtype, data.unit, data.offset, data.name) == (np.uint8, 255.0, 0.5, "faces")
    test = held_out("s2", 12, 0.3, 0)
    stored = [np.asarray(Image.open(tmp_path / "people" / "s2" / f"{k}.png")) for k in range(1, 13)]
    for part, y, chosen in ((data.x_train, data.y_train, ~test), (data.x_test, data.y_test, test)):
        assert np.array_equal(part[y == 1], np.stack(stored)[chosen]), "2.png comes before 10.png"


def test_orl(orl):
    data = faces.load(orl, folder="att_faces", image_size=None)
    assert data.x_train.shape == (280, 112, 92)
    assert data.x_test.shape == (120, 112, 92)
    assert data.class_names == {k: f"s{k + 1}" for k in range(40)}
    assert set(np.bincount(data.y_test)) == {3}
    everything = np.concatenate([data.x_train[data.y_train == 6], data.x_test[data.y_test == 6]])
    stored = [np.asarray(Image.open(orl / "att_faces" / "s7" / f"{k}.pgm")) for k in range(1, 11)]
    assert sorted(x.tobytes() for x in everything) == sorted(x.tobytes() for x in stored)


@pytest.mark.parametrize(
    ("image_size", "shape"), [(8, (8, 8)), ([20, 6], (20, 6)), ((5, 7), (5, 7)), (None, (10, 12))]
)
def test_sizes(tmp_path, image_size, shape):
    folder(tmp_path, a=2, b=2)
    assert load(tmp_path, image_size=image_size).x_train.shape[1:] == shape


def test_images_of_any_size_and_number(tmp_path):
    rng = np.random.default_rng(0)
    for name, count in {"007": 5, "1": 80, "Anna Maria": 9, "Zoë": 6, "李": 5}.items():
        for k in range(count):
            draw(tmp_path / "people" / name / f"{k}.jpg", tuple(rng.integers(20, 90, 2)), colour=k % 2 == 0)
    data = load(tmp_path, image_size=32)
    assert set(data.class_names.values()) == {"007", "1", "Anna Maria", "Zoë", "李"}
    assert len(data.y_train) + len(data.y_test) == 105
    assert data.x_train.shape[1:] == (32, 32, 3)
    for name in data.class_names.values():
        label = data.label_of(name)
        assert data.class_names[label] == name == data.class_names[person(data.class_names, name)]
        assert (data.y_test == label).sum() == round(0.3 * (np.r_[data.y_train, data.y_test] == label).sum())


def test_names_are_compared_in_composed_form(tmp_path):
    folder(tmp_path, **{unicodedata.normalize("NFD", "Zoë"): 2, "b": 2})
    known = load(tmp_path).class_names
    assert person(known, "Zo\u00eb") == person(known, "Zoe\u0308") == 0 + (known[0] == "b")


def test_colour(tmp_path):
    folder(tmp_path, a=2)
    pixels = draw(tmp_path / "people" / "b" / "1.png", colour=True)
    draw(tmp_path / "people" / "b" / "2.png", colour=True)
    mixed = load(tmp_path)
    assert mixed.x_train.shape == (2, 10, 12, 3)
    grey = mixed.x_train[mixed.y_train == 0]
    assert np.array_equal(grey, np.repeat(grey[..., :1], 3, axis=-1)), "greyscale, three times over"
    everything = np.concatenate([mixed.x_train, mixed.x_test])
    assert pixels.tobytes() in [image.tobytes() for image in everything]
    assert load(tmp_path, colour=False).x_train.shape == (2, 10, 12)
    folder(tmp_path, "grey", a=2, b=2)
    assert load(tmp_path, folder="grey").x_train.shape == (2, 10, 12)
    forced = load(tmp_path, folder="grey", colour=True)
    assert np.array_equal(forced.x_train[..., 1], load(tmp_path, folder="grey").x_train)


def test_shrinking_is_antialiased(tmp_path):
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(tmp_path / "a.png")
    small, _ = decode(tmp_path / "a.png", Decoding((16, 16), False))
    assert np.abs(small[:, 1:-1].astype(int) - 127).max() < 8, "the mean, not one stripe or the other"


def test_sixteen_bits_of_grey(tmp_path):
    values = np.array([[0, 256, 257], [32768, 65279, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    (tmp_path / "a.pgm").write_bytes(b"P5 3 2 65535\n" + values.astype(">u2").tobytes())
    Image.fromarray(values).save(tmp_path / "a.tif")
    for name in ("a.png", "a.pgm", "a.tif"):
        pixels, colour = decode(tmp_path / name, Decoding(None, False))
        assert np.array_equal(pixels, np.rint(values / 257)), name
        assert not colour
    (tmp_path / "b.pgm").write_bytes(b"P5 2 1 1023\n" + np.array([0, 1023], ">u2").tobytes())
    assert decode(tmp_path / "b.pgm", Decoding(None, False))[0].tolist() == [[0, 255]], "ten bits"


def test_orientation_palettes_and_transparency(tmp_path):
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(decode(tmp_path / "turned.png", Decoding(None, False))[0], np.rot90(pixels, -1))
    colours = Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8))
    colours.quantize(4).save(tmp_path / "palette.png")
    found, colour = decode(tmp_path / "palette.png", Decoding(None))
    assert colour
    assert found.tolist() == [[[255, 0, 0], [0, 0, 255]]]
    clear = np.array([[[10, 20, 30, 255], [10, 20, 30, 0]]], np.uint8)
    Image.fromarray(clear).save(tmp_path / "clear.png")
    assert decode(tmp_path / "clear.png", Decoding(None))[0].tolist() == [[[10, 20, 30], [255, 255, 255]]]
    Image.fromarray(clear[..., [0, 3]]).save(tmp_path / "grey.png")
    found, colour = decode(tmp_path / "grey.png", Decoding(None, False))
    assert (found.tolist(), colour) == ([[10, 255]], False)
    Image.new("CMYK", (2, 1), (0, 255, 255, 0)).save(tmp_path / "press.jpg", quality=95)
    found, colour = decode(tmp_path / "press.jpg", Decoding(None))
    assert colour
    assert np.abs(found.astype(int) - [255, 0, 0]).max() < 12


# The split


@given(st.text(max_size=12), st.integers(2, 80), st.floats(0.01, 0.99), st.integers(0, 2**40))
def test_some_are_held_out_and_some_are_not(name, images, share, seed):
    mask = held_out(name, images, share, seed)
    assert mask.sum() == min(images - 1, max(1, round(share * images)))
    assert np.array_equal(mask, held_out(name, images, share, seed))


def test_the_draw_is_the_same_everywhere():
    assert np.flatnonzero(held_out("s1", 10, 0.3, 0)).tolist() == [6, 8, 9]
    assert len({held_out(f"s{k}", 10, 0.3, 0).tobytes() for k in range(40)}) > 25
    assert len({held_out("s1", 10, 0.3, seed).tobytes() for seed in range(40)}) > 25
    assert not held_out("s1", 1, 0.9, 0).any()
    drawn = sum(held_out("s1", 10, 0.3, seed) for seed in range(2000)) / 2000
    assert np.abs(drawn - 0.3).max() < 0.05, "each image as often as any other"


def test_other_identities_do_not_matter(tmp_path):
    folder(tmp_path, a=10, b=7, c=5)
    three, two = load(tmp_path), load(tmp_path, identities=["c", "a"])
    assert two.class_names == {0: "a", 1: "c"}
    for old, new in ((0, 0), (2, 1)):
        assert np.array_equal(three.x_test[three.y_test == old], two.x_test[two.y_test == new])
        assert np.array_equal(three.x_train[three.y_train == old], two.x_train[two.y_train == new])
    other = load(tmp_path, split_seed=1)
    assert not np.array_equal(three.x_test, other.x_test)


def test_a_single_image_is_trained_on_and_counted(tmp_path, caplog):
    folder(tmp_path, a=1, b=4, c=1)
    data = load(tmp_path)
    assert np.bincount(data.y_train).tolist() == [1, 3, 1]
    assert data.y_test.tolist() == [1]
    line = warned(caplog, "single image")
    assert line.startswith("faces: 2 of 3 identities")
    assert line.endswith("(a, c)")


@pytest.mark.parametrize(
    ("identities", "kept"), [(2, ["b", "x"]), (["y", "b"], ["b", "y"]), (3, ["b", "x", "y"])]
)
def test_identities_may_be_chosen(tmp_path, identities, kept):
    folder(tmp_path, b=2, x=2, y=2)
    data = load(tmp_path, identities=identities)
    assert list(data.class_names.values()) == kept
    assert set(data.y_train.tolist()) == set(range(len(kept)))


# What is not in order


def test_missing_folder(tmp_path):
    line = load_refusal(tmp_path, folder="nobody")
    assert line.startswith("folder: nobody: no such folder, neither in ")
    assert str(tmp_path / "nobody" / "NAME" / "1.jpg") in line


def test_a_path_will_do_as_well(tmp_path, monkeypatch):
    folder(tmp_path, a=2, b=2)
    assert len(load(tmp_path / "elsewhere", folder=tmp_path / "people").y_train) == 2
    monkeypatch.chdir(tmp_path)
    assert len(load(tmp_path / "elsewhere", folder="people").y_train) == 2


def test_no_identities_or_only_one(tmp_path):
    draw(tmp_path / "people" / "1.png")
    assert "no folders in it, allowed: one folder of images for each identity" in load_refusal(tmp_path)
    folder(tmp_path, a=3)
    assert "images of one identity only (a), allowed: two" in load_refusal(tmp_path)
    (tmp_path / "none" / "a").mkdir(parents=True)
    assert "no images of any identity" in load_refusal(tmp_path, folder="none")


def test_what_is_left_out_is_counted(tmp_path, caplog):
    folder(tmp_path, a=2, b=2)
    root = tmp_path / "people"
    for name in ("empty", "void", ".git"):
        (root / name).mkdir()
    (root / "README").write_text("about")
    (root / "a" / "notes.txt").write_text("no image")
    (root / "b" / "Thumbs.db").write_bytes(b"\0")
    (root / "b" / ".DS_Store").write_bytes(b"\0")
    (root / "b" / "._1.png").write_bytes(b"\0")
    draw(root / "b" / "old" / "9.png")
    data = load(tmp_path)
    assert list(data.class_names.values()) == ["a", "b"]
    assert len(data.y_train) + len(data.y_test) == 4
    assert "2 identities without images are skipped (empty, void)" in warned(caplog, "without images")
    assert "2 files that are no images" in warned(caplog, "no images by")
    assert "(a/notes.txt, b/Thumbs.db)" in warned(caplog, "no images by")
    assert "1 folders inside those of identities are ignored (b/old)" in warned(caplog, "inside")
    assert len(caplog.records) == 3


def test_letter_case(tmp_path):
    folder(tmp_path, Anna=2, anna=2, bob=2)
    if len(list((tmp_path / "people").iterdir())) < 3:
        pytest.skip("this file system does not tell letter case")
    assert "the identities Anna and anna differ only in letter case" in load_refusal(tmp_path)


def test_one_name_stored_in_two_ways(tmp_path):
    folder(tmp_path, **{unicodedata.normalize(form, "é"): 2 for form in ("NFC", "NFD")})
    if len(list((tmp_path / "people").iterdir())) < 2:
        pytest.skip("this file system knows one form alone")
    assert "in how accents are stored" in load_refusal(tmp_path)


DAMAGED = {
    "truncated.png": lambda content: content[:-60],
    "noise.png": lambda content: b"no image at all",
    "empty.png": lambda content: b"",
    "truncated.pgm": lambda content: b"P5 10 10 255\n" + bytes(50),
    "program.png": lambda content: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_unreadable_images(tmp_path, caplog, name):
    folder(tmp_path, a=3, b=3)
    bad = tmp_path / "people" / "a" / name
    bad.write_bytes(DAMAGED[name]((tmp_path / "people" / "a" / "1.png").read_bytes()))
    line = load_refusal(tmp_path)
    assert line.startswith(f"{bad}: cannot be read as an image (")
    assert line.endswith("set dataset.skip_unreadable=true")
    data = load(tmp_path, skip_unreadable=True)
    assert len(data.y_train) + len(data.y_test) == 6
    assert warned(caplog, "unreadable") == f"faces: 1 unreadable images skipped (a/{name})"


def test_identities_without_a_readable_image(tmp_path, caplog):
    folder(tmp_path, a=2, b=1, c=2)
    (tmp_path / "people" / "b" / "1.png").write_bytes(b"")
    data = load(tmp_path, skip_unreadable=True)
    assert data.class_names == {0: "a", 1: "c"}
    assert data.y_train.tolist() == [0, 1]
    assert "1 identities without a readable image are skipped (b)" in warned(caplog, "without a readable")
    for image in (tmp_path / "people").rglob("*.png"):
        image.write_bytes(b"")
    assert load_refusal(tmp_path, skip_unreadable=True) == "faces: none of the 5 images can be read"


def test_decompression_bomb(tmp_path, monkeypatch):
    folder(tmp_path, a=2, b=2)
    for limit in (50, 100):  # an error and a warning of Pillow's
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert "decompression bomb" in load_refusal(tmp_path)


def test_without_a_name_the_only_folder_of_identities_is_taken(tmp_path):
    folder(tmp_path / "data", a=2, b=2)
    (tmp_path / "data" / "MNIST" / "raw").mkdir(parents=True)
    folder(tmp_path / "data" / "Market", "bounding_box_train", a=1)
    (tmp_path / "data" / "README").write_text("faces")
    for data_dir in (tmp_path / "data", tmp_path / "data" / "people"):
        found = load(data_dir, folder=None)
        assert list(found.class_names.values()) == ["a", "b"]
        np.testing.assert_array_equal(found.x_train, load(tmp_path / "data").x_train)


def test_without_a_name_there_must_be_one_folder_of_identities(tmp_path):
    assert load_refusal(tmp_path / "nowhere", folder=None).startswith("folder: no folder of identities in")
    assert load_refusal(tmp_path, folder=None).endswith("/faces/NAME/1.jpg and so on")
    folder(tmp_path, "mine", a=2, b=2)
    folder(tmp_path, "theirs", a=2, b=2)
    assert load_refusal(tmp_path, folder=None).endswith("2 folders of identities: name one of mine, theirs")


def test_images_of_several_sizes_need_one(tmp_path):
    folder(tmp_path, a=2, b=2)
    draw(tmp_path / "people" / "b" / "2.png", (11, 12))
    line = load_refusal(tmp_path)
    assert str(tmp_path / "people" / "b" / "2.png") in line
    assert "11 x 12 pixels (height x width)" in line
    assert line.endswith("has 10 x 12; set dataset.image_size, such as 64")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("image_size", value) for value in (0, -1, 1.5, "big", True, [64], [1, 2, 3], [0, 64])),
        *(("test_share", value) for value in (0, 1, 1.2, "half", None)),
        *(("colour", value) for value in ("grey", 1)),
        *(("identities", value) for value in (1, 4, "a", True, [], {"a": 1})),
        *(("identities", value) for value in (["a"], ["a", "a"], ["a", "nobody"], ["a", True])),
        ("split_seed", -1),
        ("skip_unreadable", "yes"),
        ("offset", "nan"),
        ("folder", 7),
        ("folder", ""),
    ],
)
def test_settings_are_checked(tmp_path, setting, value):
    folder(tmp_path, a=2, b=2, c=2)
    assert load_refusal(tmp_path, InvalidValue, **{setting: value}).startswith(f"{setting}: got ")


def test_a_name_that_does_not_exist_is_told_with_the_nearest(tmp_path):
    folder(tmp_path, **{f"s{k}": 2 for k in range(1, 13)})
    line = load_refusal(tmp_path, InvalidValue, identities=["s1", "S12"])
    assert line.startswith("identities: got 'S12', allowed: one of s1, s2, s3, ")
    assert "... (12 in all); nearest: s12" in line
    with pytest.raises(InvalidValue) as caught:
        load(tmp_path).label_of("nobody")
    assert str(caught.value).endswith("s9, s10, ... (12 in all)")


# From the command line


def test_the_yaml_has_the_defaults_of_load(tmp_path):
    from omegaconf import OmegaConf

    folder(tmp_path, "att_faces", a=5, b=5)
    settings = OmegaConf.to_container(OmegaConf.load(config_dir() / "dataset" / "faces.yaml"))
    data, plain = build("dataset", settings, data_dir=tmp_path), faces.load(tmp_path)
    assert np.array_equal(data.x_train, plain.x_train)
    assert data.x_train.shape == (6, 64, 64)


def test_a_run_on_orl_needs_only_the_name(orl, tmp_path):
    values = (
        "dataset=faces",
        "dataset.identities=5",
        "dataset.image_size=8",
        "removal=identity",
        "removal.identity=s3",
    )
    linear = ("unlearner=none", "metrics=[accuracy]", "figures=false", "threads=1", "hydra.run.dir=run")
    ended = cli.expunge(*values, f"data_dir={orl}", *linear, cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    records = [json.loads(line) for line in (tmp_path / "run" / "removals.jsonl").read_text().splitlines()]
    assert [record["rows"] for record in records] == [list(range(14, 21))]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (("dataset.folder=nobody",), "dataset.folder: nobody: no such folder"),
        (("dataset.image_size=0",), "dataset.image_size: got 0, allowed: the side of a square"),
        (("dataset.identities=[a,nobody]",), "dataset.identities: got 'nobody', allowed: one of a, b"),
    ],
)
def test_bad_settings_from_the_command_line(tmp_path, values, named):
    folder(tmp_path, a=2, b=2)
    given = ("dataset=faces", "dataset.folder=people", *values, f"data_dir={tmp_path}", "hydra.run.dir=run")
    ended = cli.expunge(*given, cwd=tmp_path)
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert line.startswith(f"expunge: {named}")
    assert not (tmp_path / "run").exists()


def test_pillow_is_imported_only_to_read():
    imports = "import sys, expunge.datasets.market, expunge.record.requests"
    code = f"{imports}\nprint({{'PIL', 'torch'}} & {{*sys.modules}})"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "set()"


def test_natural_order_and_lists():
    assert sorted(["s10", "s2", "S1", "s1", "10", "9", "a b"], key=natural)[:2] == ["9", "10"]
    assert sorted(["s10", "s2", "s1"], key=natural) == ["s1", "s2", "s10"]
    assert listed("abc") == "a, b, c"
    assert listed(map(str, range(12)), 2) == "0, 1, ... (12 in all)"
