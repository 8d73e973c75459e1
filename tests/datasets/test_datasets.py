"""Data sets: exact pixels, mapped arrays, and one clear line for everything that can be wrong."""

from __future__ import annotations

import gzip
import io
import logging
import os
import pickle
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expunge.core.errors import DataError, InvalidValue, UserError
from expunge.datasets import Dataset, cifar10, digits_3v8, mnist, mnist_3v8, vision
from expunge.datasets.cifar_pickle import read_batch
from expunge.datasets.mnist import read_idx

CONF = Path(__file__).resolve().parents[2] / "conf"
DATA = Path(mnist_3v8.__file__).parent / "data"


def one_line(caught: pytest.ExceptionInfo[UserError]) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


# mnist_3v8: embedded


@pytest.fixture(scope="module")
def embedded():
    return mnist_3v8.load(None)


def test_embedded_images_are_as_published(embedded):
    assert embedded.x_train.shape == (11982, 28, 28)
    assert embedded.x_test.shape == (1984, 28, 28)
    assert embedded.x_train.dtype == np.uint8
    assert embedded.y_train.dtype == np.int64
    assert {(y == 1).sum() + (y == -1).sum() for y in (embedded.y_train, embedded.y_test)} == {11982, 1984}
    assert (embedded.y_train == 1).sum() == 6131  # MNIST's training file has 6,131 threes
    assert embedded.class_names == {1: "3", -1: "8"}
    assert (embedded.unit, embedded.offset) == (255, 0.5)


def test_embedded_images_equal_the_originals_row_for_row(embedded, shared_data):
    original = mnist.load(shared_data)
    for part in ("train", "test"):
        y = getattr(original, f"y_{part}")
        chosen = (y == 3) | (y == 8)
        assert np.array_equal(getattr(embedded, f"x_{part}"), getattr(original, f"x_{part}")[chosen])
        assert np.array_equal(getattr(embedded, f"y_{part}"), np.where(y[chosen] == 3, 1, -1))


def flipped(content: bytes) -> bytes:
    return content[:100_000] + bytes([content[100_000] ^ 1]) + content[100_001:]


def other_pixels(content: bytes) -> bytes:
    """A sound archive in which one pixel is another."""
    with np.load(io.BytesIO(content)) as archive:
        changed = dict(archive)
    changed["x_test"][5, 14, 14] ^= 1
    packed = io.BytesIO()
    np.savez(packed, **changed)
    return packed.getvalue()


@pytest.mark.parametrize(
    "damage", [flipped, other_pixels, lambda c: c[:-1000], lambda c: b"", lambda c: b"oops"]
)
def test_damaged_install_is_refused(tmp_path, monkeypatch, damage):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mnist_3v8.npz").write_bytes(damage((DATA / "mnist_3v8.npz").read_bytes()))
    monkeypatch.setattr(mnist_3v8.resources, "files", lambda package: tmp_path)
    with pytest.raises(DataError, match=r"mnist_3v8\.npz: .*reinstall expunge") as caught:
        mnist_3v8.load(None)
    one_line(caught)


def test_loading_the_default_data_set_imports_no_heavy_library():
    code = (
        "import sys; from expunge.datasets import mnist_3v8, mnist, cifar10, arrays, digits_3v8; "
        "mnist_3v8.load(None); print({'torch', 'torchvision', 'sklearn', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


# digits_3v8


def test_digits_are_scikit_learns_and_every_fifth_is_a_test_row():
    from sklearn.datasets import load_digits

    digits = load_digits()
    rows = [
        (image, label) for image, label in zip(digits.images, digits.target, strict=True) if label in (3, 8)
    ]
    dataset = digits_3v8.load(None)
    train = iter(zip(dataset.x_train, dataset.y_train, strict=True))
    test = iter(zip(dataset.x_test, dataset.y_test, strict=True))
    for k, (image, label) in enumerate(rows):
        x, y = next(test if k % 5 == 4 else train)
        assert np.array_equal(x, image)
        assert y == (1 if label == 3 else -1)
    assert (len(dataset.x_train), len(dataset.x_test), dataset.unit) == (286, 71, 16)
    assert dataset.x_train.dtype == np.uint8


@pytest.mark.parametrize("load", [mnist_3v8.load, digits_3v8.load])
def test_offset_and_classes_are_checked(load):
    for offset in ("0.5", None, float("nan"), float("inf"), True):
        with pytest.raises(InvalidValue, match=r"^offset: "):
            load(None, offset=offset)
    with pytest.raises(InvalidValue, match=r"^classes: "):
        load(None, classes=["3", "5"])
    assert load(None, offset=0, classes=["8", 3]).class_names == {1: "3", -1: "8"}


# mnist


def idx_bytes(array: np.ndarray, magic: int | None = None) -> bytes:
    magic = 8 << 8 | array.ndim if magic is None else magic
    return struct.pack(f">I{array.ndim}I", magic, *array.shape) + array.astype(np.uint8).tobytes()


def small_mnist(root: Path, packed: bool = True) -> Path:
    """A made-up MNIST of 20 + 10 images of 4 x 4 pixels; returns its raw folder."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    random = np.random.default_rng(0)
    for split, n in (("train", 20), ("t10k", 10)):
        contents = {"images-idx3": random.integers(0, 256, (n, 4, 4)), "labels-idx1": np.arange(n) % 10}
        for kind, array in contents.items():
            name = f"{split}-{kind}-ubyte"
            if packed:
                (raw / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(array)))
            else:
                (raw / name).write_bytes(idx_bytes(array))
    return raw


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_mnist_is_all_of_it_in_order(shared_data):
    dataset = mnist.load(shared_data)
    assert (len(dataset.x_train), len(dataset.x_test)) == (60000, 10000)
    assert dataset.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert dataset.class_names == {digit: str(digit) for digit in range(10)}


def test_torchvision_unpacks_the_files_and_reads_the_same(tmp_path, shared_data):
    from expunge.core.torchvision_import import import_torchvision

    shutil.copytree(shared_data / "MNIST", tmp_path / "MNIST", copy_function=shutil.copyfile)
    folders = [tmp_path / "MNIST", tmp_path / "MNIST" / "raw"]
    for folder in folders:
        folder.chmod(0o755)  # the shared folder may be read-only, and its copy with it
    theirs = import_torchvision().datasets.MNIST(tmp_path, train=False, download=True)
    for file in folders[1].glob("*.gz"):
        file.unlink()
    ours = mnist.load(tmp_path)
    assert np.array_equal(ours.x_test, theirs.data.numpy())
    assert np.array_equal(ours.y_test, theirs.targets.numpy())


def test_files_that_are_missing_are_downloaded_by_torchvision(tmp_path, monkeypatch):
    class MNIST:
        def __init__(self, root, download):
            assert download
            small_mnist(Path(root))

    fake = SimpleNamespace(datasets=SimpleNamespace(MNIST=MNIST))
    monkeypatch.setattr(vision, "import_torchvision", lambda: fake)
    assert len(mnist.load(tmp_path / "new", check_integrity=False).x_train) == 20


def test_md5s_are_torchvisions():
    from expunge.core.torchvision_import import import_torchvision

    theirs = dict(import_torchvision().datasets.MNIST.resources)
    assert {f"{name}.gz": md5 for name, (md5, _) in mnist._FILES.items()} == theirs


@pytest.mark.parametrize("packed", [True, False])
def test_altered_files_are_read_only_where_asked(tmp_path, packed):
    small_mnist(tmp_path, packed)
    dataset = mnist.load(tmp_path, check_integrity=False)
    assert (dataset.x_train.shape, dataset.x_test.shape) == ((20, 4, 4), (10, 4, 4))
    assert dataset.x_train.flags.writeable
    some = mnist.load(tmp_path, check_integrity=False, classes=[3, 8])
    assert some.y_train.tolist() == [3, 8, 3, 8]
    with pytest.raises(DataError, match=r"train-images.*its MD5 is .*check_integrity=false") as caught:
        mnist.load(tmp_path)
    one_line(caught)


def test_check_integrity_is_a_switch(tmp_path):
    with pytest.raises(InvalidValue, match="check_integrity: got 'no', allowed: true or false"):
        mnist.load(tmp_path, check_integrity="no")


def cut(raw: Path) -> None:
    path = raw / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-40])


def other_magic(raw: Path) -> None:
    content = idx_bytes(np.zeros((20, 4, 4)), magic=2049)
    (raw / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))


def too_few_labels(raw: Path) -> None:
    (raw / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(np.zeros(19))))


def short(raw: Path) -> None:
    content = idx_bytes(np.zeros((10, 4, 4)))[:-1]
    (raw / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))


def not_gzip(raw: Path) -> None:
    (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(b"<html>moved</html>")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "train-images-idx3-ubyte.gz: cannot be read, it may be damaged"),
        (other_magic, "train-images-idx3-ubyte.gz: .*magic number 2049, allowed: 2051"),
        (too_few_labels, "train-labels-idx1-ubyte.gz: holds 19 labels, but .* holds 20 images"),
        (short, "t10k-images-idx3-ubyte.gz: damaged: its header promises 160 bytes, 159 follow"),
        (not_gzip, "t10k-labels-idx1-ubyte.gz: cannot be read"),
    ],
)
def test_damaged_files_are_named(tmp_path, damage, message):
    damage(small_mnist(tmp_path))
    with pytest.raises(DataError, match=message) as caught:
        mnist.load(tmp_path, check_integrity=False)
    one_line(caught)


@given(content=st.binary(max_size=40), ndim=st.sampled_from([1, 3]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_read_or_refused(tmp_path, content, ndim):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(DataError, match="file: "):
        read_idx(path, ndim)


def test_without_a_network_the_line_says_what_to_put_where(tmp_path, no_network):
    with pytest.raises(DataError, match="MNIST cannot be downloaded") as caught:
        mnist.load(tmp_path / "new")
    assert "; put MNIST/raw/train-images-idx3-ubyte.gz, MNIST/raw/train-labels-idx1" in one_line(caught)
    assert str(caught.value).endswith(f"into {tmp_path / 'new'}")


def test_only_the_missing_file_is_asked_for(tmp_path, no_network):
    (small_mnist(tmp_path) / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"; put MNIST/raw/t10k-labels-idx1-ubyte\.gz into ") as caught:
        mnist.load(tmp_path, check_integrity=False)
    one_line(caught)


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file cannot be written to: MNIST is not there") as caught:
        mnist.load(tmp_path / "file")
    one_line(caught)
    monkeypatch.setattr(vision.os, "access", lambda path, mode: False)  # even for the superuser
    with pytest.raises(DataError, match="cannot be written to: MNIST is not there"):
        mnist.load(tmp_path / "a" / "b")


def test_the_shared_part_serves_other_data_sets(tmp_path, no_network):
    with pytest.raises(DataError, match=r"SVHN cannot be downloaded .*put test_32x32\.mat into ") as caught:
        vision.obtain("SVHN", tmp_path, {"test_32x32.mat": ""}, split="test")
    one_line(caught)


# cifar10

ALL = tuple(cifar10._TRAINING)


def cifar_content(seed: int, n: int = 6) -> dict[str, object]:
    """What a batch of n made-up images holds: ``data`` and ``labels`` as in the originals."""
    pixels = np.random.default_rng(seed).integers(0, 256, (n, 3072), dtype=np.uint8)
    return {"batch_label": "made up", "data": pixels, "labels": [(seed + k) % 10 for k in range(n)]}


def small_cifar(root: Path, names=(*ALL, "test_batch", "batches.meta"), protocol: int = 2) -> Path:
    """Made-up batches of 6 images, numbered by their seed; returns their folder."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(pickle.dumps(cifar_content(len(name) + ord(name[-1])), protocol))
    return folder


def test_cifar_is_read_in_order_channels_last(shared_data, caplog):
    folder = shared_data / "cifar-10-batches-py"
    if not folder.is_dir():
        pytest.skip(f"needs cifar-10-batches-py, not in {shared_data}")
    dataset = cifar10.load(shared_data, check_integrity=False)
    there = sorted(path.name for path in folder.glob("data_batch_*"))
    rows = 10_000 * len(there)
    assert (dataset.x_train.shape, dataset.x_train.dtype) == ((rows, 32, 32, 3), np.uint8)
    assert (dataset.x_test.shape[1:], dataset.y_train.dtype) == ((32, 32, 3), np.int64)
    names = [dataset.class_names[label] for label in dataset.y_train[:3].tolist()]
    assert names == ["frog", "truck", "truck"]
    assert np.bincount(dataset.y_train[:10000]).tolist()[:3] == [1005, 974, 1032]
    for place, batch in enumerate(there):
        theirs = pickle.loads((folder / batch).read_bytes(), encoding="latin1")  # noqa: S301 (our own copy)
        assert dataset.y_train[10000 * place :][:10000].tolist() == theirs["labels"]
        for row in (0, 9999):
            image, plane = dataset.x_train[10000 * place + row], theirs["data"][row].reshape(3, 32, 32)
            assert all(np.array_equal(image[:, :, channel], plane[channel]) for channel in range(3))
    theirs = pickle.loads((folder / "test_batch").read_bytes(), encoding="latin1")  # noqa: S301 (our own copy)
    assert dataset.y_test.tolist() == theirs["labels"]
    assert (f"{len(there)} of 5 training batches: {rows:,} rows" in caplog.text) == (len(there) < 5)
    with pytest.raises(DataError, match=r"data_batch_1: its MD5 is .*check_integrity=false"):
        cifar10.load(shared_data)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_cifar_batches_of_every_protocol(tmp_path, protocol):
    folder = small_cifar(tmp_path, ["data_batch_3"], protocol)
    expected = cifar_content(len("data_batch_3") + ord("3"))
    x, y = read_batch(folder / "data_batch_3")
    assert np.array_equal(x, expected["data"].reshape(6, 3, 32, 32).transpose(0, 2, 3, 1))
    assert y.tolist() == expected["labels"]
    assert x.flags.writeable


def test_cifar_array_stored_by_column(tmp_path):
    content = cifar_content(3)
    path = tmp_path / "batch"
    path.write_bytes(pickle.dumps(content | {"data": np.asfortranarray(content["data"])}, 2))
    expected = content["data"].reshape(6, 3, 32, 32).transpose(0, 2, 3, 1)
    assert np.array_equal(read_batch(path)[0], expected)


def test_cifar_md5s_are_torchvisions():
    from expunge.core.torchvision_import import import_torchvision

    theirs = import_torchvision().datasets.CIFAR10
    listed = [*theirs.train_list, *theirs.test_list, (theirs.meta["filename"], theirs.meta["md5"])]
    assert dict(listed) == cifar10._FILES
    assert theirs.base_folder == cifar10._FOLDER


def test_cifar_originals_pass_the_check(tmp_path, monkeypatch, caplog):
    folder = small_cifar(tmp_path)
    found = {name: vision.hashlib.md5((folder / name).read_bytes()) for name in cifar10._FILES}
    originals = {name: md5.hexdigest() for name, md5 in found.items()}
    monkeypatch.setattr(cifar10, "_FILES", originals)
    dataset = cifar10.load(tmp_path)
    assert (len(dataset.x_train), len(dataset.x_test)) == (30, 6)
    assert dataset.y_train[::6].tolist() == [(len(name) + ord(name[-1])) % 10 for name in ALL]
    assert not caplog.records
    (folder / "batches.meta").write_bytes(b"other names")
    with pytest.raises(DataError, match=r"batches\.meta: its MD5 is"):
        cifar10.load(tmp_path)


def test_cifar_batches_that_are_there_are_used_where_asked(tmp_path, caplog):
    small_cifar(tmp_path, ["data_batch_4", "data_batch_2", "test_batch"])
    dataset = cifar10.load(tmp_path, check_integrity=False)
    assert dataset.y_train[::6].tolist() == [(12 + ord(digit)) % 10 for digit in "24"]
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [
        (logging.WARNING, "cifar10: 2 of 5 training batches: 12 rows")
    ]


@pytest.mark.parametrize(
    ("there", "missing"), [(["test_batch"], "data_batch_1"), (["data_batch_1", "data_batch_5"], "test_batch")]
)
def test_cifar_files_that_are_there_are_not_overwritten_by_a_download(tmp_path, monkeypatch, there, missing):
    folder = small_cifar(tmp_path, there)
    monkeypatch.setattr(vision, "import_torchvision", lambda: pytest.fail("nothing is to be downloaded"))
    with pytest.raises(DataError, match=f"only {', '.join(there)}; put {missing} there as well") as caught:
        cifar10.load(tmp_path, check_integrity=False)
    assert str(folder) in one_line(caught)


def test_cifar_batch_that_is_tested_on_is_held_out(tmp_path, caplog):
    small_cifar(tmp_path)
    dataset = cifar10.load(tmp_path, check_integrity=False, test_batch="data_batch_3")
    assert dataset.y_train[::6].tolist() == [(12 + ord(digit)) % 10 for digit in "1245"]
    pixels = cifar_content(len("data_batch_3") + ord("3"))["data"].reshape(6, 3, 32, 32)
    assert np.array_equal(dataset.x_test, pixels.transpose(0, 2, 3, 1))
    assert not caplog.records
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").unlink()
    with pytest.raises(DataError, match=r"; put data_batch_3 there as well"):
        cifar10.load(tmp_path, check_integrity=False, test_batch="data_batch_3")


@pytest.mark.parametrize("wrong", ["batches.meta", "5", None, 5])
def test_cifar_test_batch_is_one_of_the_files(tmp_path, wrong):
    with pytest.raises(InvalidValue, match="test_batch"):
        cifar10.load(tmp_path, test_batch=wrong)


@pytest.mark.parametrize("check", [True, False])
def test_cifar_that_is_missing_is_downloaded_by_torchvision(tmp_path, monkeypatch, no_network, check):
    with pytest.raises(DataError, match=r"CIFAR10 cannot be downloaded .*; put cifar-10-batches-py/data_b"):
        cifar10.load(tmp_path / "none", check_integrity=check)
    fake = SimpleNamespace(CIFAR10=lambda root, download: small_cifar(Path(root)))
    monkeypatch.setattr(vision, "import_torchvision", lambda: SimpleNamespace(datasets=fake))
    assert len(cifar10.load(tmp_path / "new", check_integrity=check).x_train) == 30


class Told:
    """Pickles as a call, and a state for what it returns."""

    def __init__(self, *told: object) -> None:
        self.told = told

    def __reduce__(self):
        return self.told


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("place", ["whole", "data", "labels", "beside"])
def test_cifar_pickles_cannot_run_anything(tmp_path, protocol, place):
    trap, content = Told(os.mkdir, (str(tmp_path / "trapped"),)), cifar_content(0)
    path = tmp_path / "batch"
    path.write_bytes(pickle.dumps(trap if place == "whole" else content | {place: trap}, protocol))
    with pytest.raises(DataError, match=r"batch: refused, it asks for '(posix|nt|os)\.mkdir'") as caught:
        read_batch(path)
    one_line(caught)
    assert not (tmp_path / "trapped").exists()
    pickle.loads(path.read_bytes())  # noqa: S301 (the trap works)
    assert (tmp_path / "trapped").exists()


@pytest.mark.parametrize(
    "name", ["builtins.eval", "builtins.getattr", "numpy.load", "os\nx.system", "." * 999]
)
def test_cifar_pickles_get_no_other_name(tmp_path, name):
    module, _, attribute = name.rpartition(".")
    asked = [b"\x8c" + bytes([len(part[:99])]) + part[:99].encode() for part in (module, attribute)]
    (tmp_path / "batch").write_bytes(b"\x80\x04" + b"".join(asked) + b"\x93.")
    with pytest.raises(DataError, match="refused, it asks for ") as caught:
        read_batch(tmp_path / "batch")
    assert len(one_line(caught)) < 400


def test_cifar_bytes_are_never_taken_for_addresses(tmp_path):
    """With numpy's own dtype this file would make an array of objects out of arbitrary addresses."""
    reconstruct = np.empty(0).__reduce__()[0]
    plain = Told(np.dtype, ("O8", False, True), (3, "|", None, None, None, -1, -1, 0))
    state = (1, (1, 3072), plain, False, b"\x41" * 3072 * 8)
    objects = Told(reconstruct, (np.ndarray, (0,), b"b"), state)
    (tmp_path / "batch").write_bytes(pickle.dumps({"data": objects, "labels": [0]}, 2))
    with pytest.raises(DataError, match="data that are no array of uint8"):
        read_batch(tmp_path / "batch")


def test_cifar_pickles_leave_the_reader_as_it_was(tmp_path):
    good = small_cifar(tmp_path, ["data_batch_1"]) / "data_batch_1"
    bad = tmp_path / "batch"
    bad.write_bytes(b"\x80\x02cnumpy\nndarray\nN}U\x0c__setstate__K\x01s\x86b.")  # a state for the class
    with pytest.raises(DataError, match="not a batch of CIFAR-10"):
        read_batch(bad)
    assert len(read_batch(good)[0]) == 6


@given(share=st.floats(0, 1, exclude_max=True))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_cifar_batches_cut_anywhere_are_refused(tmp_path, share):
    content = pickle.dumps(cifar_content(0), 2)
    (tmp_path / "batch").write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match="batch: not a batch of CIFAR-10, or cut short") as caught:
        read_batch(tmp_path / "batch")
    one_line(caught)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": np.zeros((6, 3071), np.uint8)}, "data of another shape, in 18426 bytes"),
        ({"data": np.zeros((6, 3, 1024), np.uint8)}, "data of another shape"),
        ({"data": np.zeros((0, 3072), np.uint8), "labels": []}, "data of another shape, in 0 bytes"),
        ({"data": np.zeros((6, 3072))}, "no array of uint8"),
        ({"data": np.zeros((6, 3072), np.int8)}, "no array of uint8"),
        ({"data": [[0] * 3072] * 6}, "no array of uint8"),
        ({"data": b"\0" * 6 * 3072}, "no array of uint8"),
        ({"labels": [0] * 5}, "6 images, but 5 labels"),
        ({"labels": [0, 1, 2, 3, 4, 10]}, "a label that is none"),
        ({"labels": [0, 1, 2, 3, 4, -1]}, "a label that is none"),
        ({"labels": [0, 1, 2, 3, 4, True]}, "a label that is none"),
        ({"labels": [0, 1, 2, 3, 4, "5"]}, "a label that is none"),
        ({"labels": np.zeros(6)}, "labels that are no list"),
    ],
)
def test_cifar_batches_of_other_content_are_refused(tmp_path, change, message):
    (tmp_path / "batch").write_bytes(pickle.dumps(cifar_content(0) | change, 4))
    with pytest.raises(DataError, match=message) as caught:
        read_batch(tmp_path / "batch")
    assert "allowed: data of shape (rows, 3072)" in one_line(caught)


@pytest.mark.parametrize("content", [b"", b"<html>", pickle.dumps([1, 2]), pickle.dumps({"data": 1}), b"."])
def test_cifar_files_of_another_kind_are_refused(tmp_path, content):
    (tmp_path / "batch").write_bytes(content)
    with pytest.raises(DataError, match="batch: not a batch of CIFAR-10") as caught:
        read_batch(tmp_path / "batch")
    one_line(caught)


def test_cifar_file_that_cannot_be_opened(tmp_path):
    with pytest.raises(DataError, match="batch: cannot be read"):
        read_batch(tmp_path / "batch")


# the first training rows


def test_first_rows_are_counted_after_the_choice_of_classes(tmp_path):
    small_mnist(tmp_path)
    all_of_it = mnist.load(tmp_path, check_integrity=False)
    few = mnist.load(tmp_path, check_integrity=False, train_rows=7)
    assert np.array_equal(few.x_train, all_of_it.x_train[:7])
    assert (few.y_train.tolist(), len(few.x_test)) == (list(range(7)), 10)
    some = mnist.load(tmp_path, check_integrity=False, classes=[3, 8], train_rows=3)
    assert some.y_train.tolist() == [3, 8, 3]
    small_cifar(tmp_path)
    assert cifar10.load(tmp_path, check_integrity=False, train_rows=11).x_train.shape == (11, 32, 32, 3)


@pytest.mark.parametrize("rows", [0, -1, 1.5, "2", True, 5])
def test_first_rows_are_at_most_those_there_are(rows):
    dataset = Dataset("d", np.zeros((4, 2)), np.arange(4) % 2, np.zeros((1, 2)), np.zeros(1, np.int64), {})
    assert dataset.first(None) is dataset
    assert len(dataset.first(4).y_train) == 4
    with pytest.raises(InvalidValue, match=r"^train_rows: got .*allowed: (a whole number >= 1|at most 4)"):
        dataset.first(rows)


# the configuration files


@pytest.mark.parametrize(
    "path",
    sorted(CONF.glob("dataset/*.yaml")) + sorted(CONF.glob("removal/*.yaml")),
    ids=lambda path: path.stem,
)
def test_configuration_names_every_setting_with_its_default(path):
    import inspect

    from hydra.utils import get_object
    from omegaconf import OmegaConf

    config = OmegaConf.load(path)
    parameters = dict(inspect.signature(get_object(config._target_)).parameters)
    given = {key for key in config if key not in ("_target_", "class")}
    assert given == parameters.keys() - {"data_dir", "named"}
    for key in given:
        default = parameters[key].default
        if default is inspect.Parameter.empty:  # the user's to give, or what tells one YAML of a loader apart
            assert OmegaConf.is_missing(config, key) or path.stem == "fashion_mnist"
        else:
            assert config[key] == default
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert all("  # " in line for line in lines[2:])
