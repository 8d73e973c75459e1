"""CIFAR-100 in the public layout, made small: pixels, fine and coarse labels, names, and what is refused."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from expunge.core.errors import DataError, InvalidValue
from expunge.datasets import cifar100, vision
from expunge.record.requests import OfGroup
from tests import cli
from tests.datasets.test_datasets import Told
from tests.datasets.test_more_datasets import NOBODY, one_line


def small_cifar100(root: Path) -> Path:
    """Images of the last ten classes, of two superclasses, laid out as in public; returns the folder."""
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    for name, n in (("train", 24), ("test", 12)):
        fine = [90 + k % 10 for k in range(n)]
        content = {
            "data": np.random.default_rng(n).integers(0, 256, (n, 3072), dtype=np.uint8),
            "fine_labels": fine,
            "coarse_labels": [label // 5 for label in fine],
            "filenames": [f"{k}.png" for k in range(n)],
            "batch_label": "made up",
        }
        (folder / name).write_bytes(pickle.dumps(content, 2))
    names = {
        "fine_label_names": [f"fine{k}" for k in range(100)],
        "coarse_label_names": [f"coarse{k}" for k in range(20)],
    }
    (folder / "meta").write_bytes(pickle.dumps(names, 2))
    return folder


def load(root, **changed):
    return cifar100.load(root, check_integrity=False, **changed)


def test_rows_labels_and_names_are_the_files_own(tmp_path):
    content = pickle.loads((small_cifar100(tmp_path) / "train").read_bytes())  # noqa: S301 (made above)
    fine = load(tmp_path)
    for channel in range(3):
        planes = content["data"].reshape(24, 3, 32, 32)[:, channel]
        assert np.array_equal(fine.x_train[..., channel], planes)
    assert fine.y_train.tolist() == content["fine_labels"]
    assert (fine.class_names[93], len(fine.class_names), fine.groups) == ("fine93", 100, None)
    assert (fine.name, fine.unit, fine.offset, len(fine.y_test)) == ("cifar100", 255, 0.5, 12)


def test_coarse_labels_have_the_fine_classes_as_groups(tmp_path):
    small_cifar100(tmp_path)
    fine, coarse = load(tmp_path), load(tmp_path, labels="coarse")
    assert coarse.y_train.tolist() == [label // 5 for label in fine.y_train.tolist()]
    assert coarse.y_test.tolist() == [label // 5 for label in fine.y_test.tolist()]
    assert coarse.class_names == {k: f"coarse{k}" for k in range(20)}
    (request,) = OfGroup("fine93").stream(coarse, 0)
    assert list(request.rows) == np.flatnonzero(fine.y_train == 93).tolist()
    assert set(coarse.y_train[list(request.rows)].tolist()) == {18}
    rest = np.delete(coarse.y_train, request.rows)
    assert 18 in rest, "four other classes of the superclass stay"


def test_classes_are_those_that_are_trained_on(tmp_path):
    small_cifar100(tmp_path)
    some = load(tmp_path, labels="coarse", classes=["coarse18", "coarse19"], train_rows=7)
    assert (some.y_train.tolist(), some.groups.tolist()[-1]) == ([18] * 5 + [19] * 2, "fine96")
    with pytest.raises(InvalidValue, match=r"classes: got .*names out of fine0, fine1"):
        load(tmp_path, classes=["coarse18", "coarse19"])


def test_md5s_are_torchvisions():
    from expunge.core.torchvision_import import import_torchvision

    theirs = import_torchvision().datasets.CIFAR100
    listed = [*theirs.train_list, *theirs.test_list, (theirs.meta["filename"], theirs.meta["md5"])]
    assert dict(listed) == cifar100._FILES
    assert theirs.base_folder == cifar100._FOLDER


def test_originals_pass_the_check_and_others_do_not(tmp_path, monkeypatch):
    folder = small_cifar100(tmp_path)
    with pytest.raises(DataError, match=r"train: its MD5 is .*check_integrity=false"):
        cifar100.load(tmp_path)
    found = {name: vision.hashlib.md5((folder / name).read_bytes()) for name in cifar100._FILES}
    monkeypatch.setattr(cifar100, "_FILES", {name: md5.hexdigest() for name, md5 in found.items()})
    assert len(cifar100.load(tmp_path).y_train) == 24


def test_a_run_without_the_files_says_what_is_missing_and_where(tmp_path, monkeypatch):
    monkeypatch.setenv("https_proxy", NOBODY)
    data = tmp_path / "data"
    (small_cifar100(data) / "meta").unlink()
    ended = cli.expunge("dataset=cifar100", "dataset.check_integrity=false", f"data_dir={data}", cwd=tmp_path)
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert ended.err.startswith("expunge: CIFAR100 cannot be downloaded (")
    assert ended.err.endswith(f"; put cifar-100-python/meta into {data}\n")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"fine_labels": [0] * 23}, r"not a batch of CIFAR-100 \(24 images, but 23 labels\)"),
        ({"coarse_labels": [20] * 24}, r"\(a label that is none\), allowed: .*coarse_labels from 0 to 19"),
        ({"fine_labels": None}, r"\(labels that are no list\)"),
        ({"coarse_labels": [k % 3 for k in range(24)]}, "one of the fine_labels have several coarse_labels"),
    ],
)
def test_files_that_hold_something_else(tmp_path, changed, said):
    folder = small_cifar100(tmp_path)
    content = pickle.loads((folder / "train").read_bytes())  # noqa: S301 (made above)
    (folder / "train").write_bytes(pickle.dumps(content | changed, 2))
    with pytest.raises(DataError, match=said) as caught:
        load(tmp_path, labels="coarse")
    one_line(caught)


@pytest.mark.parametrize("names", [["apple"] * 100, ["apple"], None, list(range(100))])
def test_names_that_are_none(tmp_path, names):
    folder = small_cifar100(tmp_path)
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": names}, 2))
    with pytest.raises(
        DataError, match=r"meta: not the names of CIFAR-100, allowed: 100 different fine_"
    ) as caught:
        load(tmp_path)
    one_line(caught)


@pytest.mark.parametrize("name", ["train", "meta"])
def test_no_file_can_run_anything(tmp_path, name):
    (small_cifar100(tmp_path) / name).write_bytes(pickle.dumps(Told(os.mkdir, (str(tmp_path / "trap"),))))
    with pytest.raises(DataError, match="refused, it asks for"):
        load(tmp_path)
    assert not (tmp_path / "trap").exists()


def test_labels_are_fine_or_coarse(tmp_path):
    with pytest.raises(InvalidValue, match="labels: got 'superfine', allowed: one of fine, coarse"):
        load(tmp_path, labels="superfine")
