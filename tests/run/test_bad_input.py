"""Bad input: one line that names the key and what is allowed, exit code 2, and no run folder."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests import cli
from tests.cli import SMALL

OFFLINE = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}  # nobody listens there


def refused(*arguments: str, cwd: Path, allowed: str, named: str) -> str:
    """Run with bad input and return the complaint."""
    ended = cli.expunge(*SMALL, *arguments, "hydra.run.dir=run", cwd=cwd)
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert line.startswith(f"expunge: {named}")
    assert allowed in line
    assert not (cwd / "run").exists()
    return line


NEWTON = "unlearner=newton"
VALUES = {
    "dataset=nope": ("dataset: got 'nope'", "one of arrays, cifar10, cifar100, clauses, digits, digits_3v8"),
    "unlearner=nope": ("unlearner: got 'nope'", "newton_corrected"),
    "metrics=[nope]": ("metrics/nope", "see --help"),
    "unlearner.lam=0": ("unlearner.lam: got 0", "a finite number > 0"),
    "unlearner.lam=-1": ("unlearner.lam: got -1", "a finite number > 0"),
    "unlearner.lam=abc": ("unlearner.lam: got 'abc'", "a finite number > 0"),
    "unlearner.lam=nan": ("unlearner.lam: got nan", "a finite number > 0"),
    "unlearner.lam=null": ("unlearner.lam: got None", "a finite number > 0"),
    "unlearner.std=0": ("unlearner.std: got 0", "a finite number > 0"),
    "unlearner.std=inf": ("unlearner.std: got inf", "a finite number > 0"),
    f"{NEWTON} unlearner.std=inf": ("unlearner.std: got inf", "a finite number >= 0"),
    "unlearner.std=1e-12": ("unlearner.std: got 1e-12", "at least "),
    f"{NEWTON} unlearner.std=1e-12": ("unlearner.std: got 1e-12", "training leaves a residual"),
    "unlearner.tol=null": ("unlearner.tol: got None", "a finite number > 0"),
    "unlearner.releases=null": ("unlearner.releases: got None", "a whole number >= 1"),
    "unlearner.delta=0": ("unlearner.delta: got 0", "strictly between 0 and 1"),
    "unlearner.delta=1": ("unlearner.delta: got 1", "strictly between 0 and 1"),
    "unlearner.delta=2": ("unlearner.delta: got 2", "strictly between 0 and 1"),
    "unlearner.epsilon=0": ("unlearner.epsilon: got 0", "a finite number > 0"),
    "unlearner.epsilon=1e-7": ("unlearner.epsilon: got 1e-07", "1e-06"),
    f"{NEWTON} unlearner.epsilon=100": ("unlearner.epsilon: got 100", "at most 8.3"),
    "unlearner.update=nope": ("unlearner.update: got 'nope'", "fresh, frozen, corrected"),
    "unlearner.certificate=nope": ("unlearner.certificate: got 'nope'", "worst_case"),
    "unlearner._target_=os.system": ("unlearner._target_: got 'os.system'", "the package expunge"),
    "dataset._target_=builtins.eval": ("dataset._target_: got 'builtins.eval'", "the package expunge"),
    "tracker._target_=expunge.nope": ("tracker._target_: got 'expunge.nope'", "a part of expunge.tracking"),
    "unlearner.nope=1": ("unlearner.nope: no such key", "lam, std"),
    "+unlearner.nope=1": ("unlearner: got 'nope'", "the keys lam, std"),
    "nope=1": ("nope: no such key", "unlearner, removal"),
    "removal.count=-1": ("removal.count: got -1", "a whole number >= 0"),
    "removal.count=286": ("removal.count: got 286", "at most 285"),
    "removal.count=1.5": ("removal.count: got 1.5", "a whole number >= 0"),
    "seed=-1": ("seed: got -1", "a whole number >= 0"),
    "device=tpu": ("device: got 'tpu'", "auto, cpu, cuda"),
    "threads=abc": ("threads: got 'abc'", "a whole number >= 1"),
    "threads=0": ("threads: got 0", "a whole number >= 1"),
    "checkpoint_every=0": ("checkpoint_every: got 0", "a whole number >= 1"),
    "resume=maybe": ("resume: got 'maybe'", "true"),
    "figures=maybe": ("figures: got 'maybe'", "true, false or all"),
    "force=maybe": ("force: got 'maybe'", "true"),
    "++seeds=3.5": ("seeds: got '3.5'", "a whole number"),
    "training.tol=0": ("training.tol: got 0", "a finite number > 0"),
    "training.max_iter=0": ("training.max_iter: got 0", "a whole number >= 1"),
    "metrics.accuracy.every=0": ("metrics.accuracy.every: got 0", "a whole number >= 1"),
    "data_dir=5": ("data_dir: got 5", "folder"),
    "unlearner=null": (
        "unlearner: got null",
        "newton_third_order, noisy_finetune, noisy_finetune_published, none, ",
    ),
    "unlearner.name=0": ("unlearner.name: got 0", "a name"),
    "unlearner.name=": ("unlearner.name: got ''", "a name"),
    "model.name=nan": ("model.name: got nan", "a name"),
    "dataset.offset=1e308": ("dataset.offset: got 1e+308", "from -1e+15 to 1e+15"),
    f"{NEWTON} unlearner.lam=1e-320 unlearner.std=1e308": ("unlearner.lam: got 1e-320", "from 1e-30"),
    f"{NEWTON} unlearner.lam=1e-25": ("unlearner.lam: got 1e-25", "more"),
    "training.max_iter=9223372036854775808": ("training.max_iter: got 92233", "to 1000000000000"),
    f"seed={2**256}": ("seed: got 1157", "256 bits at most"),
    "cache_dir=": ("cache_dir: got ''", "the path of a folder"),
    "optimized_metric=nope": ("optimized_metric: got 'nope'", "test_accuracy_after"),
}


@pytest.mark.parametrize("argument", VALUES)
def test_value_that_is_not_allowed(tmp_path, argument):
    named, allowed = VALUES[argument]
    refused(*argument.split(" "), cwd=tmp_path, named=named, allowed=allowed)


@pytest.mark.parametrize(
    ("rows", "allowed"),
    [
        ("[3,3]", "each row once"),
        ("[[1,2],[2]]", "it is in request 1 already"),
        ("[286]", "row ids from 0 to 285"),
        ("[-1]", "row ids from 0 to 285"),
        ("[a]", "row ids from 0 to 285"),
        ("[]", "at least one row id"),
        (f"{[*range(286)]}", "at least one training row left"),
    ],
    ids=["twice", "twice-in-requests", "beyond", "negative", "word", "empty", "all"],
)
def test_removal_rows(tmp_path, rows, allowed):
    refused("removal=rows", f"removal.rows={rows}", cwd=tmp_path, named="removal.rows", allowed=allowed)


def test_rows_not_given(tmp_path):
    refused("removal=rows", cwd=tmp_path, named="removal.rows: not given", allowed="needs a value")


# Arrays of one's own


def arrays(case: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 5)), np.arange(40) % 2
    if case == "nan":
        x[7, 2] = np.nan
    if case == "bytes":
        y = y.astype("S1")
    if case == "one":
        y[:] = 1
    if case == "object":
        x = x.astype(object)
    return {"x": x, "y": y}


@pytest.mark.parametrize(
    ("case", "named", "allowed"),
    [
        ("nan", "dataset arrays", "row 7"),
        ("bytes", "rows.npz", "whole numbers, text or dates"),
        ("one", "rows.npz", "must be of two or more classes"),
        ("object", "rows.npz", "allowed: numbers"),
        ("missing", "dataset.path", "rows.npz"),
    ],
)
def test_arrays(tmp_path, case, named, allowed):
    if case != "missing":
        np.savez(tmp_path / "rows.npz", **arrays(case))
    settings = ("dataset=arrays", "dataset.path=rows.npz", "removal.count=2")
    refused(*settings, cwd=tmp_path, named=named, allowed=allowed)


def test_arrays_without_a_path(tmp_path):
    refused("dataset=arrays", cwd=tmp_path, named="dataset.path: not given", allowed="needs a value")


# data_dir


@pytest.fixture
def offline(monkeypatch):
    for name, value in OFFLINE.items():
        monkeypatch.setenv(name, value)


def mnist(cwd: Path, data_dir: object, named: str, allowed: str) -> str:
    return refused("dataset=mnist", f"data_dir={data_dir}", cwd=cwd, named=named, allowed=allowed)


def test_data_missing_and_no_network(tmp_path, offline):
    line = mnist(tmp_path, "data", "MNIST cannot be downloaded", f"into {tmp_path / 'data'}")
    assert "put MNIST/raw/train-images-idx3-ubyte.gz" in line
    assert "Tried" not in line, "the cause is told once"


def test_data_dir_that_is_a_file(tmp_path, offline):
    (tmp_path / "data").write_text("")
    mnist(tmp_path, "data", "data_dir", "not a folder")


def test_data_dir_below_a_file(tmp_path, offline):
    (tmp_path / "data").write_text("")
    mnist(tmp_path, "data/below", str(tmp_path / "data"), "put MNIST/raw/train-images-idx3-ubyte.gz")


def test_data_dir_that_cannot_be_written_to(tmp_path, offline):
    (tmp_path / "data").mkdir(mode=0o555)
    if os.access(tmp_path / "data", os.W_OK):
        pytest.skip("this user may write everywhere")
    mnist(tmp_path, "data", str(tmp_path / "data"), "put MNIST/raw/train-images-idx3-ubyte.gz")


def test_damaged_image_file(tmp_path, offline):
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte.gz").write_bytes(gzip.compress(b"no image")[:-3])
    file = raw / "train-images-idx3-ubyte.gz"
    mnist(tmp_path, "data", f"{file}: its MD5 is", "dataset.check_integrity=false")
    values = (f"data_dir={tmp_path / 'data'}", "dataset.check_integrity=false")
    refused("dataset=mnist", *values, cwd=tmp_path, named=f"{file}: cannot be read", allowed="damaged")


# Run folders


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    values = (*SMALL, NEWTON, "removal.count=285", "checkpoint_every=50")
    return cli.killed(*values, folder=tmp_path_factory.mktemp("interrupted"), lines=60)


@pytest.fixture
def begun(interrupted, tmp_path):
    return Path(shutil.copytree(interrupted, tmp_path / "begun"))


def refused_in(folder: Path, *arguments: str) -> str:
    """Run in a folder that holds a run; nothing in it may change."""
    before = cli.contents(folder)
    values = (*SMALL, NEWTON, "removal.count=285", "checkpoint_every=50")
    ended = cli.expunge(*values, *arguments, f"hydra.run.dir={folder}", cwd=folder.parent)
    assert ended.code == 2
    assert ended.out == ""
    (line,) = ended.err.splitlines()
    assert cli.contents(folder) == before
    return line


def test_folder_that_holds_a_run_begun(begun):
    line = refused_in(begun)
    assert str(begun) in line
    assert "continue it with resume=true" in line


def test_folder_that_holds_a_complete_run(tmp_path):
    folder = cli.completed(*SMALL, "removal.count=2", folder=tmp_path / "run")
    assert "already holds a run" in refused_in(folder)


@pytest.mark.parametrize("setting", ["unlearner.lam=0.5", "seed=1", "removal.count=284", "dataset=mnist_3v8"])
def test_resuming_with_other_settings(begun, setting):
    line = refused_in(begun, "resume=true", setting)
    key = setting.split("=")[0]
    assert f"resume: {key}" in line
    assert "the settings it began with" in line


def test_resuming_a_damaged_ledger(begun):
    ledger = begun / "removals.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    lines[20] = lines[20][:30] + b"\n"
    ledger.write_bytes(b"".join(lines))
    assert f"{ledger}:21: damaged" in refused_in(begun, "resume=true")
    cli.resum(ledger)
    assert f"{ledger}:21: not a removal record" in refused_in(begun, "resume=true")


def test_resuming_a_ledger_with_a_line_missing(begun):
    ledger = begun / "removals.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[:20] + lines[21:]))
    cli.resum(ledger)
    assert f"{ledger}:21: holds request 22, expected 21" in refused_in(begun, "resume=true")


# The same from a shell


@pytest.mark.parametrize(
    "argument", ["unlearner.std=0", "dataset=nope", "removal.count=286", "unlearner.nope=1"]
)
def test_as_a_process(tmp_path, argument):
    named, allowed = VALUES[argument]
    ended = cli.wait(cli.start(*SMALL, argument, "hydra.run.dir=run", cwd=tmp_path))
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert named in line
    assert allowed in line
    assert not (tmp_path / "run").exists()
