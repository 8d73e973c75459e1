"""Small valid files of every kind that a user may bring, and what reads each."""

from __future__ import annotations

import gzip
import io
import pickle
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save as save_arrays
from safetensors.torch import save_file

from expunge.core.files import State, load_state, load_tensors, save_state, save_tensors
from expunge.core.hashing import sha256_of_settings
from expunge.datasets import cifar10
from expunge.datasets import faces as faces_
from expunge.datasets import mnist as mnist_
from expunge.datasets import svhn as svhn_
from expunge.datasets.celeba_attributes import read_celeba_attributes
from expunge.datasets.reid import load as load_market
from expunge.extractors.feature_files import FeatureFile
from expunge.models.weights import load_weights, require_tensors_only
from expunge.report.app import main as report
from expunge.reproduce.expected import expected_files, read_expected
from expunge.training.cache import Cache
from expunge.training.history import Trained
from expunge.verify.app import main as verify
from tests.cli import Ended, expunge
from tests.fuzz.forked import program, reading

COMMON = ("unlearner=none", "figures=false", "threads=1", "metrics=[]", "progress=false")
FEW = ("dataset.classes=[0,1]", "removal.count=1")
OUT = "out"

Action = Callable[[], Ended]


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: Of the kind.
        make: Puts a valid file, and what else is needed, into a folder; returns the file.
        action: What reads it: from the folder and the file.
        named: What a complaint may name besides the file: the key.
        codes: How the command may end.
    """

    name: str
    make: Callable[[Path], Path]
    action: Callable[[Path, Path], Action]
    named: tuple[str, ...] = ()
    codes: tuple[int, ...] = (0, 2)


def _command(*arguments: str) -> Callable[[Path, Path], Action]:
    def action(folder: Path, file: Path) -> Action:
        own = [text.format(folder=folder, file=file) for text in arguments]
        return lambda: expunge(*COMMON, *own, f"hydra.run.dir={folder / OUT}", cwd=folder)

    return action


def _reader(read: Callable[[Path], object]) -> Callable[[Path, Path], Action]:
    return lambda folder, file: reading(lambda: read(file))


def _put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _table(n: int = 30, d: int = 4) -> dict[str, np.ndarray]:
    x = np.random.default_rng(0).normal(size=(n, d))
    return {"x": x, "y": np.arange(n) % 2}


def npz(folder: Path, packed: bool = False) -> Path:
    made = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(made, **_table())
    return _put(folder / "a.npz", made.getvalue())


def tensors(folder: Path) -> Path:
    return _put(folder / "a.safetensors", save_arrays(_table()))


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">I{array.ndim}I", 8 << 8 | array.ndim, *array.shape) + array.tobytes()


def mnist(folder: Path, packed: bool = False, which: str = "train-images-idx3-ubyte") -> Path:
    rng, raw = np.random.default_rng(0), folder / "MNIST" / "raw"
    for split, n in (("train", 24), ("t10k", 8)):
        images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", (np.arange(n) % 2).astype(np.uint8))):
            content = idx(array)
            end = ".gz" if packed else ""
            _put(raw / f"{split}-{name}-ubyte{end}", gzip.compress(content, mtime=0) if packed else content)
    return raw / (which + (".gz" if packed else ""))


def batch(n: int = 12) -> dict[str, Any]:
    data = np.random.default_rng(0).integers(0, 256, (n, 3072), dtype=np.uint8)
    return {"data": data, "labels": [k % 2 for k in range(n)], "batch_label": "one"}


def cifar(folder: Path, protocol: int = 2) -> Path:
    for name in ("test_batch", "data_batch_1"):
        _put(folder / "cifar-10-batches-py" / name, pickle.dumps(batch(), protocol))
    return folder / "cifar-10-batches-py" / "data_batch_1"


def element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def mat_array(name: str, array: np.ndarray, kind: int = 9, number: int = 2) -> bytes:
    parts = [element(6, struct.pack("<II", kind, 0))]
    parts += [element(5, np.array(array.shape, "<i4").tobytes()), element(1, name.encode())]
    parts += [element(number, np.asfortranarray(array).tobytes(order="F"))]
    return element(14, b"".join(parts))


def mat_packed(element: bytes) -> bytes:
    content = zlib.compress(element)
    return struct.pack("<II", 15, len(content)) + content


def mat(*elements: bytes) -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"".join(elements)


def svhn(folder: Path, packed: bool = True) -> Path:
    rng = np.random.default_rng(0)
    for split, n in (("train", 12), ("test", 6)):
        x = rng.integers(0, 256, (32, 32, 3, n), dtype=np.uint8)
        y = (np.arange(n) % 2 + 1).astype(np.uint8)[:, None]
        elements = [mat_array("X", x), mat_array("y", y)]
        _put(folder / "svhn" / f"{split}_32x32.mat", mat(*map(mat_packed, elements) if packed else elements))
    return folder / "svhn" / "train_32x32.mat"


def picture(kind: str, side: int = 12, seed: int = 0) -> bytes:
    made = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)).save(made, kind)
    return made.getvalue()


def faces(folder: Path, kind: str = "png") -> Path:
    for person in ("ann", "bob"):
        for number in range(4):
            content = picture({"jpg": "jpeg"}.get(kind, kind), seed=number)
            _put(folder / "faces" / person / f"{number}.{kind}", content)
    return folder / "faces" / "ann" / f"0.{kind}"


def market(folder: Path) -> Path:
    names = {"bounding_box_train": [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]}
    names |= {"query": [(3, 1), (4, 1)], "bounding_box_test": [(3, 2), (4, 2), (0, 1), (-1, 1)]}
    for part, own in names.items():
        for number, (person, camera) in enumerate(own):
            who = f"{person:04d}" if person >= 0 else "-1"
            _put(folder / "m" / part / f"{who}_c{camera}s1_{number:06d}_01.png", picture("png"))
    return folder / "m" / "bounding_box_train" / "0001_c1s1_000000_01.png"


def attributes(folder: Path) -> Path:
    rows = [f"{k:06d}.jpg " + " ".join(("1", "-1", "1")) for k in range(20)]
    return _put(folder / "list_attr_celeba.txt", "\n".join(["20", "A B C", *rows, ""]).encode())


def rows(folder: Path, name: str = "rows.txt") -> Path:
    npz(folder)
    content = "[[1, 2], [5]]" if name.endswith(".json") else "1 2 # two\n5\n"
    return _put(folder / name, content.encode())


def network() -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2))


def weights(folder: Path, form: str = "safetensors") -> Path:
    state, path = network().state_dict(), folder / f"w.{form}"
    if form == "safetensors":
        save_file(state, path)
    else:
        content = {"state_dict": state, "epoch": 3, "opt": {"lr": [0.1], "name": "sgd"}}
        torch.save(content, path, _use_new_zipfile_serialization=form == "pt")
    return path


def published(folder: Path) -> Path:
    torch.save(network().state_dict(), folder / "w.pth")
    return folder / "w.pth"


def state(folder: Path) -> Path:
    save_state(folder / "s.safetensors", State({"a": np.arange(6.0)}, {"b": [1, "c"]}))
    return folder / "s.safetensors"


def trained(folder: Path) -> Path:
    save_tensors(folder / "t.safetensors", network().state_dict(), {"losses": [1.0]})
    return folder / "t.safetensors"


def _features(path: Path) -> FeatureFile:
    return FeatureFile(path, {"made": "here"}, (3, 2))


def cached(folder: Path) -> Path:
    """A file of a cache, under the name of what is asked for."""
    return trained(folder).rename(folder / f"{sha256_of_settings({})}.safetensors")


def _use_network(path: Path) -> None:
    """It is used, or the network is trained again."""
    Cache(path.parent).through({}, network(), lambda _: Trained(network(), None, (), 0.0))


def features(folder: Path) -> Path:
    _features(folder / "f.safetensors").write([np.ones((5, 4), np.float32)])
    return folder / "f.safetensors"


def _use_features(path: Path) -> None:
    _features(path).require_sound()
    _features(path).map()


def expected(folder: Path) -> Path:
    return _put(folder / "expected.yaml", expected_files()["icml2020"].read_bytes())


FORMATS = ("png", "jpg", "gif", "bmp", "tiff", "webp", "ppm")
REPORTED = ("summary.json", "removals.jsonl", ".hydra/config.yaml")
VERIFIED = ("summary.json", "removals.jsonl", "inputs.json", "model.safetensors", ".hydra/config.yaml")
RESUMED = ("summary.json", "inputs.json", ".hydra/config.yaml")
KEYS = ("removal", "unlearner", "seed", "dataset", "count", "lam", "offset", "experiment", "package")
SETTINGS = """\
# @package _global_
removal:
  count: 2
  batch_size: ${removal.count}
dataset:
  test_share: 0.2
  offset: 0.0
  classes: ["0", '1']
unlearner: {}
seed: 1
"""


def settings(folder: Path) -> Path:
    npz(folder)
    return _put(folder / "conf" / "experiment" / "mine.yaml", SETTINGS.encode())


OF_A_RUN = (
    "removal.count=1",
    "dataset=arrays",
    "dataset.path=a.npz",
    "unlearner=newton",
    "unlearner.lam=0.1",
)


@cache
def finished(where: Path) -> Path:
    """A sweep of two runs, of which copies are spoiled."""
    npz(where)
    ended = expunge(
        *OF_A_RUN,
        *COMMON[1:],
        "-m",
        "seed=0,1",
        "hydra.sweep.subdir=s${seed}",
        f"hydra.sweep.dir={where / 'sweep'}",
        cwd=where,
    )
    assert (ended.code, ended.err) == (0, "")
    return where / "sweep"


def _copied(where: Path, file: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        npz(folder)
        shutil.copytree(finished(where), folder / "sweep")
        return folder / "sweep" / file

    return make


def _resume(folder: Path, file: Path) -> Action:
    run = folder / "sweep" / "s0"
    return lambda: expunge(*OF_A_RUN, *COMMON[1:], "resume=true", f"hydra.run.dir={run}", cwd=folder)


def _report(folder: Path, file: Path) -> Action:
    return program(report, folder, str(folder / "sweep"), "--out", str(folder / OUT))


def _verify(folder: Path, file: Path) -> Action:
    return program(verify, folder, str(folder / "sweep" / "s0"), "--no-write")


def all_kinds(where: Path) -> list[Kind]:
    """Every kind; ``where`` is a folder for a run of which copies are made."""
    arrays = _command("dataset=arrays", "dataset.path={file}", "removal.count=1")
    digits = _command("dataset=mnist", "data_dir={folder}", "dataset.check_integrity=false", *FEW)
    digits_read = _reader(lambda file: mnist_.load(file.parents[2], check_integrity=False))
    rows_of = _command("dataset=arrays", "dataset.path={folder}/a.npz", "removal=rows", "removal.rows={file}")
    colours = _reader(lambda file: cifar10.load(file.parents[1], check_integrity=False))
    numbers = _reader(lambda file: svhn_.load(file.parents[1], check_integrity=False))
    people = _command(
        "dataset=faces", "dataset.folder={folder}/faces", "dataset.image_size=8", "removal.count=1"
    )
    people_read = _reader(lambda file: faces_.load(file.parents[2], "faces", image_size=8))
    persons = _reader(lambda file: load_market(file.parents[2], "m", image_size=8))
    mine = _command(
        "--config-dir={folder}/conf", "+experiment=mine", "dataset=arrays", "dataset.path={folder}/a.npz"
    )
    searched = _command(
        "hydra.searchpath=[file://{folder}/conf]",
        "+experiment=mine",
        "dataset=arrays",
        "dataset.path={folder}/a.npz",
    )
    weight = _reader(lambda file: load_weights(network(), file))
    images = [Kind(f"face {kind}", partial(faces, kind=kind), people_read) for kind in FORMATS]
    last = "labels-idx1-ubyte"
    run = [
        Kind(f"{how.__name__[1:]} {file}", _copied(where, f"s0/{file}"), how, codes=(0, 1, 2))
        for how, files in ((_report, REPORTED), (_verify, VERIFIED), (_resume, RESUMED))
        for file in files
    ]
    return [
        Kind("npz", npz, arrays),
        Kind("packed npz", partial(npz, packed=True), arrays),
        Kind("safetensors", tensors, arrays),
        Kind("mnist images", mnist, digits),
        Kind("mnist labels", partial(mnist, which=f"train-{last}"), digits_read),
        Kind("packed mnist images", partial(mnist, packed=True), digits_read),
        Kind("packed mnist labels", partial(mnist, packed=True, which=f"t10k-{last}"), digits_read),
        *(Kind(f"cifar {protocol}", partial(cifar, protocol=protocol), colours) for protocol in (0, 2, 4)),
        Kind("packed svhn", svhn, numbers),
        Kind("svhn", partial(svhn, packed=False), numbers),
        Kind("face", faces, people),
        *images,
        Kind("market", market, persons),
        Kind("attributes", attributes, _reader(read_celeba_attributes)),
        Kind("rows.txt", rows, rows_of, ("removal.rows",)),
        Kind("rows.json", partial(rows, name="rows.json"), rows_of, ("removal.rows",)),
        *(
            Kind(f"weights {form}", partial(weights, form=form), weight)
            for form in ("safetensors", "pt", "old")
        ),
        Kind("published", published, _reader(require_tensors_only)),
        Kind("state", state, _reader(load_state)),
        Kind("trained", trained, _reader(load_tensors)),
        Kind("cached network", cached, _reader(_use_network)),
        Kind("features", features, _reader(_use_features)),
        Kind("settings", settings, mine, KEYS),
        Kind("searched settings", settings, searched, KEYS),
        Kind("expected", expected, _reader(read_expected)),
        *run,
        Kind("report sweep.json", _copied(where, "sweep.json"), _report),
        Kind("report other summary", _copied(where, "s1/summary.json"), _report),
    ]
