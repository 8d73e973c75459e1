"""SVHN, the data sets stored like MNIST, and the choice of classes in every data set."""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import http.server
import pickle
import struct
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from expunge.core.errors import DataError, InvalidValue, UserError
from expunge.core.torchvision_import import import_torchvision
from expunge.datasets import Dataset, mnist, mnist_3v8, svhn, vision
from expunge.run.targets import build
from tests import cli

CONF = Path(__file__).resolve().parents[2] / "conf" / "dataset"
PEOPLE = {"faces", "reid", "reid_faces"}  # identities take the place of classes: test_faces, test_reid
COMMON = {"arrays": {"offset"}, "sklearn": set(), "table": set()}  # tables are of another kind than images
TEXTS = {"clauses"}  # hashed words of a file of one's own: test_clauses
MANY = {"cifar100"}  # a hundred classes, of which a small file has a few: test_cifar100
YAMLS = {path.stem: path for path in sorted(CONF.glob("*.yaml")) if path.stem not in PEOPLE | TEXTS | MANY}
NOBODY = "http://127.0.0.1:9"  # nobody listens there
FUZZ = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)


def one_line(caught: pytest.ExceptionInfo[UserError]) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def chosen(name: str, root: Path, /, **changed: object) -> Dataset:
    """The data set of a YAML, as the command line builds it."""
    return build("dataset", OmegaConf.to_container(OmegaConf.load(YAMLS[name])) | changed, data_dir=root)


# made-up files


def svhn_file(path: Path, n: int, seed: int = 0, compress: bool = True, **changed: object) -> np.ndarray:
    """Write n made-up images, labelled 1, 2, ..., 10, 1, ...; returns them as (n, 32, 32, 3)."""
    images = np.random.default_rng(seed).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    arrays = {"X": images.transpose(1, 2, 3, 0), "y": (np.arange(n) % 10 + 1).astype(np.uint8)[:, None]}
    path.parent.mkdir(parents=True, exist_ok=True)
    contents = {name: array for name, array in (arrays | changed).items() if array is not None}
    scipy.io.savemat(path, contents, appendmat=False, do_compression=compress)
    return images


def small_svhn(root: Path) -> Path:
    folder = root / "svhn"
    for seed, (split, n) in enumerate({"train": 24, "test": 12, "extra": 15}.items()):
        svhn_file(folder / f"{split}_32x32.mat", n, seed)
    return folder


def small_mnist(root: Path, variant: str = "MNIST", packed: bool = True, labels: int = 10) -> Path:
    """Write 24 + 12 made-up images of 4 x 4 pixels as a variant of MNIST; returns their folder."""
    raw = root / variant / "raw"
    raw.mkdir(parents=True)
    random = np.random.default_rng(1)
    for split, n in (("train", 24), ("t10k", 12)):
        parts = {"images-idx3": random.integers(0, 256, (n, 4, 4)), "labels-idx1": np.arange(n) % labels}
        for kind, array in parts.items():
            header = struct.pack(f">I{array.ndim}I", 8 << 8 | array.ndim, *array.shape)
            content = header + array.astype(np.uint8).tobytes()
            name = f"{split}-{kind}-ubyte"
            (raw / (f"{name}.gz" if packed else name)).write_bytes(
                gzip.compress(content) if packed else content
            )
    return raw


def small_cifar(root: Path) -> None:
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    for name, n in (("data_batch_1", 24), ("test_batch", 12)):
        data = np.random.default_rng(n).integers(0, 256, (n, 3072), dtype=np.uint8)
        content = pickle.dumps({"data": data, "labels": [k % 10 for k in range(n)]}, 2)
        (folder / name).write_bytes(content)


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder whose files torchvision can download, their address, and what has been asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(self.path)

    for scheme in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(scheme, raising=False)
        monkeypatch.delenv(scheme.upper(), raising=False)
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/", asked
        server.shutdown()
        thread.join()


# svhn


def test_svhn_is_what_torchvision_reads(shared_data):
    folder = shared_data / "svhn"
    if not folder.is_dir():
        pytest.skip(f"needs svhn, not in {shared_data}")
    dataset = svhn.load(shared_data, check_integrity=False)
    original = import_torchvision().datasets.SVHN
    reader = type("SVHN", (original,), {"_check_integrity": lambda self: True})
    assert dataset.x_train.shape[1:] == dataset.x_test.shape[1:] == (32, 32, 3)
    assert (dataset.x_train.dtype, dataset.y_train.dtype) == (np.uint8, np.int64)
    for split, x, y in (
        ("train", dataset.x_train, dataset.y_train),
        ("test", dataset.x_test, dataset.y_test),
    ):
        theirs = reader(folder, split=split)
        assert np.array_equal(x.transpose(0, 3, 1, 2), theirs.data)
        assert np.array_equal(y, theirs.labels)
        assert x.flags.c_contiguous
    assert set(dataset.y_train) == set(range(10))
    assert dataset.class_names == {digit: str(digit) for digit in range(10)}
    assert (dataset.unit, dataset.offset) == (255, 0.5)


def test_svhn_extra_images_follow_in_file_order(tmp_path):
    folder = tmp_path / "svhn"
    train = svhn_file(folder / "train_32x32.mat", 24, 0)
    test = svhn_file(folder / "test_32x32.mat", 12, 1)
    extra = svhn_file(folder / "extra_32x32.mat", 15, 2, compress=False)
    without = svhn.load(tmp_path, check_integrity=False)
    assert np.array_equal(without.x_train, train)
    assert without.y_train.tolist() == [(k + 1) % 10 for k in range(24)]
    both = svhn.load(tmp_path, check_integrity=False, extra=True)
    assert np.array_equal(both.x_train, np.concatenate([train, extra]))
    assert np.array_equal(both.x_test, test)
    assert both.y_train[24:].tolist() == [(k + 1) % 10 for k in range(15)]
    few = svhn.load(tmp_path, check_integrity=False, extra=True, classes=[0, "3"], train_rows=5, offset=0)
    assert few.y_train.tolist() == [3, 0, 3, 0, 3]
    assert np.array_equal(few.x_train, both.x_train[[2, 9, 12, 19, 22]])
    assert (few.raw_offset, few.class_names) == (0, {0: "0", 3: "3"})


def test_svhn_md5s_are_torchvisions():
    theirs = import_torchvision().datasets.SVHN.split_list
    assert {split: (svhn._file(split), md5) for split, md5 in svhn._MD5.items()} == {
        split: (file, md5) for split, (_, file, md5) in theirs.items()
    }


def test_svhn_is_downloaded_once_and_as_far_as_asked(tmp_path, served, monkeypatch):
    folder, address, asked = served
    made = small_svhn(folder)
    listed = {
        split: [f"{address}svhn/{split}_32x32.mat", f"{split}_32x32.mat", md5(made / f"{split}_32x32.mat")]
        for split in ("train", "test", "extra")
    }
    monkeypatch.setattr(import_torchvision().datasets.SVHN, "split_list", listed)
    monkeypatch.setattr(svhn, "_MD5", {split: entry[2] for split, entry in listed.items()})
    root = tmp_path / "new"
    assert len(svhn.load(root).x_train) == 24
    assert {file.name for file in (root / "svhn").iterdir()} == {"train_32x32.mat", "test_32x32.mat"}
    before = len(asked)
    assert len(svhn.load(root).x_train) == 24
    assert len(asked) == before
    assert len(svhn.load(root, extra=True).x_train) == 39
    assert all("extra" in path for path in asked[before:])
    svhn_file(root / "svhn" / "test_32x32.mat", 3, 9)  # a user's own is not written over
    (root / "svhn" / "train_32x32.mat").unlink()
    assert len(svhn.load(root, check_integrity=False).x_test) == 3


def test_svhn_with_other_md5s_is_read_only_where_asked(tmp_path):
    folder = small_svhn(tmp_path)
    with pytest.raises(DataError, match=r"train_32x32\.mat: its MD5 is .*check_integrity=false") as caught:
        svhn.load(tmp_path)
    one_line(caught)
    (folder / "extra_32x32.mat").unlink()
    assert len(svhn.load(tmp_path, check_integrity=False).y_train) == 24


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"y": None}, "holds no array y, it may be cut short, allowed: images X"),
        ({"X": None}, "holds no array X"),
        ({"y": np.full((24, 1), 11, np.uint8)}, "holds the label 11, allowed: 1 to 10"),
        ({"y": np.full((24, 1), 1.5)}, "holds the label 1.5"),
        ({"y": np.full((24, 1), np.nan)}, "holds the label nan"),
        ({"y": np.ones((12, 2))}, r"y is float64 of shape \(12, 2\)"),
        ({"y": np.full((24, 1), "3")}, "holds no array y"),
        ({"y": np.ones((23, 1))}, r"X is uint8 of shape \(32, 32, 3, 24\), allowed: .*\(32, 32, 3, 23\)"),
        ({"X": np.zeros((32, 32, 24), np.uint8)}, r"X is uint8 of shape \(32, 32, 24\)"),
        ({"X": np.zeros((32, 32, 3, 24))}, "X is float64"),
        ({"X": {"a": 1}}, "holds no array X"),
        ({"X": np.array([[1, "a"]], object)}, "holds no array X"),
    ],
)
def test_svhn_of_other_content_is_refused(tmp_path, changed, message):
    svhn_file(small_svhn(tmp_path) / "train_32x32.mat", 24, **changed)
    with pytest.raises(DataError, match=rf"train_32x32\.mat: {message}") as caught:
        svhn.load(tmp_path, check_integrity=False)
    one_line(caught)


class Called:
    """An object whose unpickling would be noticed."""

    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


@pytest.mark.parametrize("content", [b"", b"<html>moved</html>" * 50, pickle.dumps({"X": Called()})])
def test_svhn_files_of_another_kind_are_refused(tmp_path, content):
    (small_svhn(tmp_path) / "test_32x32.mat").write_bytes(content)
    with pytest.raises(DataError, match=r"test_32x32\.mat: cannot be read, it may be damaged") as caught:
        svhn.load(tmp_path, check_integrity=False)
    one_line(caught)


@given(share=st.floats(0, 1, exclude_max=True))
@FUZZ
def test_svhn_files_cut_anywhere_are_refused(tmp_path, share):
    folder = small_svhn(tmp_path)
    path = folder / "train_32x32.mat"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"train_32x32\.mat: ") as caught:
        svhn.load(tmp_path, check_integrity=False)
    one_line(caught)


@given(share=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255), compress=st.booleans())
@FUZZ
def test_svhn_files_altered_anywhere_are_read_or_refused(tmp_path, share, bits, compress):
    path = small_svhn(tmp_path) / "test_32x32.mat"
    svhn_file(path, 2, compress=compress)
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= bits
    path.write_bytes(content)
    with contextlib.suppress(DataError):
        assert svhn.load(tmp_path, check_integrity=False).x_test.shape == (2, 32, 32, 3)


def test_svhn_holds_two_copies_of_one_file_at_most(tmp_path):
    folder = small_svhn(tmp_path)
    sizes = {split: 3072 * n for split, n in {"train": 1500, "extra": 3000}.items()}
    for split, size in sizes.items():
        svhn_file(folder / f"{split}_32x32.mat", size // 3072)
    tracemalloc.start()
    dataset = svhn.load(tmp_path, check_integrity=False, extra=True)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert dataset.x_train.nbytes == sum(sizes.values()) < kept < 1.1 * sum(sizes.values())
    assert peak < 1.1 * (sum(sizes.values()) + sizes["extra"])


# variants of mnist


def fashion(root: Path, **changed: object) -> Dataset:
    return chosen("fashion_mnist", root, check_integrity=False, **changed)


def test_fashion_mnist_is_a_yaml(tmp_path):
    small_mnist(tmp_path)
    small_mnist(tmp_path, "FashionMNIST")
    dataset, like = fashion(tmp_path, offset=0.25), mnist.load(tmp_path, check_integrity=False)
    assert (dataset.name, like.name) == ("fashion_mnist", "mnist")
    assert np.array_equal(dataset.x_train, like.x_train)  # made from the same seed
    assert dataset.y_train.tolist() == [k % 10 for k in range(24)]
    assert (dataset.unit, dataset.offset) == (255, 0.25)
    theirs = import_torchvision().datasets.FashionMNIST
    assert list(dataset.class_names.values()) == theirs.classes


def test_fashion_mnist_runs_from_the_command_line(tmp_path):
    small_mnist(tmp_path / "data", "FashionMNIST")
    folder = cli.completed(
        "dataset=fashion_mnist",
        f"data_dir={tmp_path / 'data'}",
        "dataset.check_integrity=false",
        "dataset.classes=[T-shirt/top,Ankle boot]",
        "unlearner=retrain",
        "removal.count=2",
        "figures=false",
        "threads=1",
        folder=tmp_path / "run",
    )
    summary = cli.summary(folder)
    assert (summary["dataset"], summary["n_train"], summary["n_test"]) == ("fashion_mnist", 5, 3)


def test_integrity_of_variants_is_torchvisions(tmp_path, monkeypatch):
    theirs = import_torchvision().datasets.KMNIST
    assert vision.resources("KMNIST") == dict(theirs.resources)
    raw = small_mnist(tmp_path, "KMNIST")
    names = [str(k) for k in range(10)]
    with pytest.raises(DataError, match=r"train-images.*its MD5 is .* the original's is bdb82020997e1d708"):
        mnist.load_variant(tmp_path, "KMNIST", "kmnist", names)
    monkeypatch.setattr(theirs, "resources", [(path.name, md5(path)) for path in raw.iterdir()])
    assert mnist.load_variant(tmp_path, "KMNIST", "kmnist", names).name == "kmnist"
    plain = raw / "t10k-images-idx3-ubyte"
    plain.write_bytes(b"not looked at: its MD5 is not known")
    assert len(mnist.load_variant(tmp_path, "KMNIST", "kmnist", names).x_test) == 12
    (raw / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"only the MD5 of the original t10k-images-idx3-ubyte\.gz is known"):
        mnist.load_variant(tmp_path, "KMNIST", "kmnist", names)


def test_variants_are_downloaded(tmp_path, served, monkeypatch):
    folder, address, asked = served
    raw = small_mnist(folder, "FashionMNIST")
    theirs = import_torchvision().datasets.FashionMNIST
    monkeypatch.setattr(theirs, "resources", [(path.name, md5(path)) for path in raw.iterdir()])
    monkeypatch.setattr(theirs, "mirrors", [f"{address}FashionMNIST/raw/"])
    dataset = chosen("fashion_mnist", tmp_path / "new")
    assert np.array_equal(dataset.x_train, fashion(folder).x_train)
    before = len(asked)
    assert len(chosen("fashion_mnist", tmp_path / "new").x_train) == 24
    assert len(asked) == before > 0


def test_unpacked_variants_are_read_without_the_check(tmp_path):
    small_mnist(tmp_path, "FashionMNIST", packed=False)
    assert len(fashion(tmp_path).x_train) == 24


def test_labels_without_a_name_are_refused(tmp_path):
    small_mnist(tmp_path, "FashionMNIST", labels=12)
    with pytest.raises(DataError, match=r"train-labels.*holds the label 11, allowed: 0 to 9") as caught:
        fashion(tmp_path)
    one_line(caught)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"variant": "EMNIST"},
            r"^dataset\.variant: got 'EMNIST', allowed: one of MNIST, FashionMNIST, KMNIST",
        ),
        ({"variant": "../MNIST"}, r"^dataset\.variant: "),
        (
            {"class_names": "Bag"},
            r"^dataset\.class_names: got 'Bag', allowed: a list of two or more different",
        ),
        ({"class_names": ["Bag", "Bag"]}, r"^dataset\.class_names: "),
        ({"class_names": None}, r"^dataset\.class_names: "),
    ],
)
def test_settings_of_variants_are_checked(tmp_path, changed, message):
    small_mnist(tmp_path, "FashionMNIST")
    with pytest.raises(InvalidValue, match=message) as caught:
        fashion(tmp_path, **changed)
    one_line(caught)


def test_reading_files_that_are_there_imports_no_heavy_library(tmp_path):
    small_mnist(tmp_path, "FashionMNIST")
    small_svhn(tmp_path)
    code = f"""
import sys
from expunge.datasets import mnist, svhn
svhn.load({str(tmp_path)!r}, check_integrity=False)
mnist.load_variant({str(tmp_path)!r}, "FashionMNIST", "f", list("abcdefghij"), check_integrity=False)
print({{"torch", "torchvision", "sklearn", "PIL"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


# the choice of classes

MADE = {"mnist": small_mnist, "svhn": small_svhn, "cifar10": small_cifar}


@pytest.fixture(params=YAMLS)
def every(request, tmp_path):
    """A function that loads the data set of a YAML, of made-up files where it needs some."""
    name, changed = request.param, {}
    if name in MADE:
        MADE[name](tmp_path)
        changed["check_integrity"] = False
    elif name == "fashion_mnist":
        small_mnist(tmp_path, "FashionMNIST")
        changed["check_integrity"] = False
    elif name == "arrays":
        x, y = np.arange(60.0).reshape(30, 2), np.arange(30) % 3 - 1
        np.savez(tmp_path / "rows.npz", x=x, y=y)
        changed["path"] = "rows.npz"
    elif name == "table":
        lines = [f"{k},{k * k},{k % 3}" for k in range(30)]
        (tmp_path / "rows.csv").write_text("\n".join(["a,b,kind", *lines]))
        changed |= {"file": "rows.csv", "label": "kind"}
    elif name == "torchvision":
        small_mnist(tmp_path, packed=False)
        changed |= {"name": "MNIST", "check_integrity": False}
    return functools.partial(chosen, name, tmp_path, **changed)


@pytest.mark.parametrize("name", YAMLS)
def test_every_data_set_has_the_common_settings(name):
    config = OmegaConf.load(YAMLS[name])
    assert {"classes"} | COMMON.get(name, {"offset", "train_rows"}) <= config.keys()
    assert config.classes is None


def test_every_data_set_gives_the_rows_of_some_classes(every):
    whole = every()
    labels = sorted(whole.class_names)[-2:]
    names = [whole.class_names[label] for label in labels]
    some = every(classes=names[::-1])
    for part in ("train", "test"):
        x, y = getattr(whole, f"x_{part}"), getattr(whole, f"y_{part}")
        kept = np.isin(y, labels)
        assert np.array_equal(getattr(some, f"x_{part}"), x[kept])
        assert np.array_equal(getattr(some, f"y_{part}"), y[kept])
        assert kept.any()
    assert some.class_names == dict(zip(labels, names, strict=True))
    assert (some.name, some.unit, some.offset) == (whole.name, whole.unit, whole.offset)


def test_every_data_set_takes_numbers(every):
    whole = every()
    digits = all(name.lstrip("-").isdecimal() for name in whole.class_names.values())
    numbers = [int(name) for name in whole.class_names.values()] if digits else sorted(whole.class_names)
    some = every(classes=numbers[:2])
    assert some.class_names == dict(list(whole.class_names.items())[:2])


def test_every_data_set_refuses_other_classes_in_the_same_words(every):
    known = ", ".join(every().class_names.values())
    first = known.split(", ")[0]
    several = "two or more different class names"
    for classes, allowed in {
        (first, "nope"): f"names out of {known}",
        (first, 99): f"names out of {known}",
        (first, first): several,
        (first,): several,
        (): several,
    }.items():
        with pytest.raises(InvalidValue) as caught:
            every(classes=list(classes))
        assert one_line(caught) == f"dataset.classes: got {list(classes)!r}, allowed: {allowed}"
    for classes in (first, 3, {first: 1}):
        with pytest.raises(InvalidValue) as caught:
            every(classes=classes)
        assert one_line(caught) == f"dataset.classes: got {classes!r}, allowed: {several}"


def test_a_class_is_chosen_once_by_its_name_or_its_label():
    y = np.arange(6) % 3
    dataset = Dataset("d", np.zeros((6, 2)), y, np.zeros((6, 2)), y, {0: "cat", 1: "dog", 2: "ship"})
    assert dataset.only(["cat", 2]).class_names == {0: "cat", 2: "ship"}
    with pytest.raises(InvalidValue, match=r"^classes: .*two or more different class names"):
        dataset.only(["cat", 0])
    with pytest.raises(InvalidValue, match=r"^class: got 3, allowed: one of cat, dog, ship"):
        dataset.label_of(3)
    digits = Dataset(
        "d", np.zeros((2, 2)), np.array([1, -1]), np.zeros((2, 2)), np.array([1, -1]), {1: "3", -1: "8"}
    )
    with pytest.raises(InvalidValue):  # where names are numbers, a label would be another class
        digits.label_of(1)


def test_threes_and_eights_of_mnist_are_the_embedded_ones(shared_data):
    some, embedded = chosen("mnist", shared_data, classes=[3, 8]), mnist_3v8.load()
    for part in ("train", "test"):
        ours, theirs = getattr(some, f"x_{part}"), getattr(embedded, f"x_{part}")
        assert ours.shape == theirs.shape
        assert ours.tobytes() == theirs.tobytes()
        labels = getattr(embedded, f"y_{part}")  # +1 for a 3, -1 for an 8
        assert np.array_equal(getattr(some, f"y_{part}"), np.where(labels == 1, 3, 8))


# bad input from the command line


def refused(cwd: Path, *arguments: str) -> str:
    """Run with bad input; returns the complaint."""
    values = ("figures=false", "threads=1", f"data_dir={cwd / 'data'}", "hydra.run.dir=run")
    ended = cli.expunge(*arguments, *values, cwd=cwd)
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert not (cwd / "run").exists()
    return line


@pytest.mark.parametrize(
    ("arguments", "put"),
    [
        ((), "put train_32x32.mat, test_32x32.mat"),
        (("dataset.check_integrity=false",), "put train_32x32.mat, test_32x32.mat"),
        (("dataset.extra=true",), "put train_32x32.mat, extra_32x32.mat, test_32x32.mat"),
    ],
)
def test_svhn_missing_and_no_network(tmp_path, monkeypatch, arguments, put):
    for scheme in ("http", "https"):
        monkeypatch.setenv(f"{scheme}_proxy", NOBODY)
    line = refused(tmp_path, "dataset=svhn", *arguments)
    assert line.startswith("expunge: SVHN cannot be downloaded (")
    assert line.endswith(f"; {put} into {tmp_path / 'data' / 'svhn'}")


def test_only_the_missing_file_of_svhn_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", NOBODY)
    (small_svhn(tmp_path / "data") / "test_32x32.mat").unlink()
    line = refused(tmp_path, "dataset=svhn", "dataset.check_integrity=false")
    assert line.endswith(f"; put test_32x32.mat into {tmp_path / 'data' / 'svhn'}")


def test_fashion_mnist_missing_and_no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", NOBODY)
    line = refused(tmp_path, "dataset=fashion_mnist")
    assert line.startswith("expunge: FashionMNIST cannot be downloaded (")
    assert "; put FashionMNIST/raw/train-images-idx3-ubyte.gz, " in line
    assert "Tried" not in line


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("dataset.extra=maybe", "dataset.extra: got 'maybe', allowed: true or false"),
        ("dataset.extra=1", "dataset.extra: got 1, allowed: true or false"),
        ("dataset.check_integrity=0", "dataset.check_integrity: got 0, allowed: true or false"),
        ("dataset.offset=half", "dataset.offset: got 'half', allowed: a finite number"),
        ("dataset.classes=[3,10]", "dataset.classes: got [3, 10], allowed: names out of 0, 1, 2,"),
        ("dataset.classes=3", "dataset.classes: got 3, allowed: two or more different class names"),
        ("dataset.train_rows=25", "dataset.train_rows: got 25, allowed: at most 24,"),
    ],
)
def test_settings_of_svhn(tmp_path, argument, complaint):
    small_svhn(tmp_path / "data")
    given = () if "check" in argument else ("dataset.check_integrity=false",)
    assert refused(tmp_path, "dataset=svhn", *given, argument).startswith(f"expunge: {complaint}")


def test_damaged_svhn(tmp_path):
    path = small_svhn(tmp_path / "data") / "train_32x32.mat"
    path.write_bytes(path.read_bytes()[:-1000])
    line = refused(tmp_path, "dataset=svhn")
    assert line.startswith(f"expunge: {path}: its MD5 is ")
    assert line.endswith("or set dataset.check_integrity=false")
    line = refused(tmp_path, "dataset=svhn", "dataset.check_integrity=false")
    assert line.startswith(f"expunge: {path}: cannot be read, it may be damaged (it is cut short)")
    path.write_bytes(b"<html>moved</html>" * 50)
    line = refused(tmp_path, "dataset=svhn", "dataset.check_integrity=false")
    assert line.startswith(f"expunge: {path}: cannot be read, it may be damaged (")
