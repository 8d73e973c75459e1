"""Photos as people have them: what is read, and what a folder of another type is told."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
from PIL import Image

from expunge.core.errors import DataError
from expunge.datasets import faces, reid
from expunge.datasets.image_files import Decoding, decode, is_image

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)
AVIF = b"\0\0\0\x1cftypavif\0\0\0\0avifmif1" + bytes(40)


def photo(kind="PNG", mode="L"):
    pixels = np.random.default_rng(0).integers(0, 256, size=(10, 12, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(content, kind)
    return content.getvalue()


def people(root, suffix, content, names=("anna", "bob"), images=3):
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(images):
            (root / name / f"{number}{suffix}").write_bytes(content)
    return root


def refusal(load, *where, **how):
    with pytest.raises(DataError) as caught:
        load(*where, **how)
    return str(caught.value)


@pytest.mark.parametrize(
    ("suffix", "content", "kind"),
    [
        (".heic", HEIC, "type .heic"),
        (".HEIC", HEIC, "type .heic"),
        (".avif", AVIF, "type .avif"),
        (".photo", HEIC, "type .photo"),
        (".xyz", b"anything", "type .xyz"),
        ("", b"anything", "type without ending"),
    ],
)
def test_folders_of_other_types_are_told_so(tmp_path, suffix, content, kind):
    root = people(tmp_path / "people", suffix, content)
    (root / "anna" / ".DS_Store").write_bytes(b"\0")
    said = f"{root / 'anna'}: 3 files of {kind} cannot be read; allowed: .bmp, .gif, "
    line = refusal(faces.load, tmp_path)
    assert line.startswith(f"folder: no folder of identities in {tmp_path}: {said}")
    assert line.endswith(".webp; convert them")
    assert refusal(faces.load, tmp_path, folder="people").startswith(said)


def test_types_are_counted(tmp_path):
    people(tmp_path / "people", ".heic", HEIC)
    people(tmp_path / "people", ".avif", AVIF, images=2)
    assert "anna: 5 files of types .heic (3), .avif (2) cannot be read" in refusal(faces.load, tmp_path)


def test_data_sets_beside_are_not_taken_for_people(tmp_path):
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    (tmp_path / "MNIST" / "raw" / "train-images.gz").write_bytes(b"\x1f\x8b")
    assert "put images there" in refusal(faces.load, tmp_path)


def test_identities_one_folder_deeper(tmp_path):
    people(tmp_path / "celeba" / "faces", ".png", photo())
    line = refusal(faces.load, tmp_path)
    assert line.endswith(f"if these are the identities, set dataset.folder={tmp_path / 'celeba' / 'faces'}")
    assert len(faces.load(tmp_path, folder=tmp_path / "celeba" / "faces").y_train) == 4


def test_some_other_types_are_counted_apart(tmp_path, caplog):
    root = people(tmp_path / "people", ".png", photo())
    people(root, ".heic", HEIC, ["carl"], 2)
    (root / "bob" / "notes.txt").write_text("none")
    assert list(faces.load(tmp_path).class_names.values()) == ["anna", "bob"]
    said = "2 pictures of types that are not read are ignored; convert them (carl/0.heic, carl/1.heic)"
    assert said in caplog.text
    assert "1 files that are no images by their ending are ignored (bob/notes.txt)" in caplog.text


def test_reid_says_it_too(tmp_path):
    for part in reid.PARTS:
        (tmp_path / part).mkdir()
        (tmp_path / part / "0002_c1s1_000451_03.heic").write_bytes(HEIC)
    line = refusal(reid.load, tmp_path)
    assert line.startswith(f"{tmp_path / reid.TRAIN}: 1 files of type .heic cannot be read; allowed: .bmp, ")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_images_without_ending_are_known_by_content(tmp_path, kind):
    root = people(tmp_path / "people", "", photo(kind))
    (root / "anna" / "README").write_text("no image")
    (root / "bob" / "empty").touch()
    found = faces.load(tmp_path)
    assert len(found.y_train) + len(found.y_test) == 6
    assert not is_image(root / "anna" / "README")


@pytest.mark.parametrize(
    ("content", "reason"),
    [(HEIC, "it is HEIC, which is not read whatever its ending"), (AVIF, "it is AVIF"), (b"", "it is empty")],
)
def test_an_ending_that_is_wrong(tmp_path, content, reason):
    root = people(tmp_path / "people", ".png", photo())
    (root / "anna" / "9.jpg").write_bytes(content)
    line = refusal(faces.load, tmp_path)
    assert line.startswith(f"{root / 'anna' / '9.jpg'}: cannot be read as an image ({reason}")


def test_links_that_lead_nowhere_or_back(tmp_path):
    root = people(tmp_path / "people", ".png", photo())
    os.symlink("up", root / "anna" / "up")
    os.symlink("..", root / "bob" / "back")
    os.symlink("round", root / "round")
    os.mkfifo(root / "bob" / "pipe")
    found = faces.load(tmp_path)
    assert len(found.y_train) + len(found.y_test) == 6
    os.symlink("8.png", root / "anna" / "8.png")
    assert refusal(faces.load, tmp_path).startswith(
        f"{root / 'anna' / '8.png'}: cannot be read as an image ("
    )


def test_first_frames_and_phones_jpegs(tmp_path):
    """An animation's first frame; a phone's JPEG with a second picture behind the first (MPO)."""
    first, second = (Image.new("L", (4, 3), value) for value in (10, 200))
    for name, kind in (("a.gif", "GIF"), ("a.png", "PNG"), ("a.tif", "TIFF"), ("a.jpg", "MPO")):
        first.save(tmp_path / name, kind, save_all=True, append_images=[second])
        found, _ = decode(tmp_path / name, Decoding(None, False))
        assert np.abs(found.astype(int) - 10).max() <= 2, name
