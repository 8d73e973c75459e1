"""A stored result belongs to its inputs: over other data, requests, weights or code it is another result."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save_file

from expunge.core.errors import DataError
from expunge.core.files import State, save_state
from expunge.datasets import Dataset
from expunge.datasets.base import Retrieval
from expunge.record import inputs
from expunge.record.inputs import Inputs
from expunge.record.ledger import Ledger
from expunge.record.requests import Request
from expunge.record.resume import SECRET, RunCheckpoint
from expunge.run.job import summary_of
from tests import cli
from tests.cli import CHECKPOINT

FEW = ("threads=1", "figures=false", "unlearner=newton_corrected", "removal.count=4")
ROWS, TEST = 60, 20


def arrays(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(ROWS + TEST) % 2
    x = rng.normal(size=(len(y), 6)) + y[:, None]
    return {"x": x[:ROWS], "y": y[:ROWS], "x_test": x[ROWS:], "y_test": y[ROWS:]}


def written(file: Path, **other: np.ndarray) -> Path:
    np.savez(file, **arrays() | other)
    return file


def flipped(y: np.ndarray, share: float = 0.45) -> np.ndarray:
    return np.where(np.arange(len(y)) < share * len(y), 1 - y, y)


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """A folder with data and a run that is complete."""
    place = tmp_path_factory.mktemp("complete")
    written(place / "data.npz")
    cli.completed(*FEW, "dataset=arrays", "dataset.path=data.npz", folder=place / "run")
    return place


@pytest.fixture
def place(complete, tmp_path):
    return Path(shutil.copytree(complete, tmp_path / "place"))


def resume(place: Path, *arguments: str) -> cli.Ended:
    said = arguments or ("dataset=arrays", "dataset.path=data.npz")
    return cli.expunge(*FEW, *said, "resume=true", "hydra.run.dir=run", cwd=place)


def refused(ended: cli.Ended, name: str) -> str:
    assert ended.code == 2, ended.out
    (line,) = ended.err.splitlines()
    assert line.startswith("expunge: resume: "), line
    assert name in line
    return line


# The data


PERMUTED = np.random.default_rng(5).permutation(ROWS)
CHANGES = {
    "training labels": {"y": flipped(arrays()["y"])},
    "training inputs": {"x": arrays()["x"][PERMUTED], "y": arrays()["y"][PERMUTED]},
    "test inputs": {"x_test": arrays(1)["x_test"]},
    "test labels": {"y_test": flipped(arrays()["y_test"])},
    "class names": {"y": arrays()["y"] + 3, "y_test": arrays()["y_test"] + 3},
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_complete_run_over_other_data_is_refused_by_name(place, what):
    written(place / "data.npz", **CHANGES[what])
    before = cli.contents(place / "run")
    line = refused(resume(place), f"dataset.path, {what}")
    assert "sha256 " in line
    assert cli.contents(place / "run") == before


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed, None])
def test_the_same_data_in_another_file_are_the_same_data(place, write):
    (place / "data.npz").rename(place / "old.npz")
    if write is None:
        save_file(arrays(), place / "data.safetensors")
        (place / "data.npz").symlink_to("old.npz")
    else:
        write(place / "data.npz", **arrays())
    before = cli.contents(place / "run")
    assert (resume(place).code, cli.contents(place / "run")) == (0, before)


def test_the_same_data_elsewhere_are_the_same_data(place):
    before = cli.contents(place / "run")
    (place / "of é").mkdir()
    (place / "data.npz").rename(place / "of é" / "my data.npz")
    for path in ("./of é/my data.npz", f"{place}/of é/my data.npz"):
        assert resume(place, "dataset=arrays", f"dataset.path='{path}'").code == 0
        assert cli.contents(place / "run") == before
    written(place / "other.npz", y=flipped(arrays()["y"]))
    refused(resume(place, "dataset=arrays", "dataset.path=other.npz"), "dataset.path, training labels")


def test_a_file_called_like_a_choice_is_no_input(tmp_path):
    """As where what a run says is redirected to such a file."""
    settings = (*FEW, "dataset=digits_3v8", "hydra.run.dir=run")
    for name in ("newton_corrected", "logistic", "auto"):
        (tmp_path / name).touch()
    assert cli.expunge(*settings, cwd=tmp_path).code == 0
    for name in ("newton_corrected", "logistic", "auto"):
        (tmp_path / name).unlink()
    assert cli.expunge(*settings, "resume=true", cwd=tmp_path).code == 0


def test_a_link_that_leads_elsewhere_is_other_data(place):
    (place / "data.npz").rename(place / "first.npz")
    written(place / "second.npz", y=flipped(arrays()["y"]))
    (place / "data.npz").symlink_to("first.npz")
    assert resume(place).code == 0
    (place / "data.npz").unlink()
    (place / "data.npz").symlink_to("second.npz")
    refused(resume(place), "dataset.path, training labels")


def test_another_folder_of_data_is_other_data(tmp_path, monkeypatch):
    for name, changed in (("here", {}), ("there", {"y": flipped(arrays()["y"])})):
        (tmp_path / name).mkdir()
        written(tmp_path / name / "data.npz", **changed)
    chosen = (*FEW, "dataset=arrays", "dataset.path=data.npz")
    monkeypatch.setenv("EXPUNGE_DATA", str(tmp_path / "here"))
    cli.completed(*chosen, folder=tmp_path / "run")
    monkeypatch.setenv("EXPUNGE_DATA", str(tmp_path / "there"))
    refused(resume(tmp_path), "dataset.path, training labels")


def test_test_data_of_a_file_of_their_own_are_named_by_it(tmp_path):
    written(tmp_path / "data.npz")
    other = {"x": arrays()["x_test"], "y": arrays()["y_test"]}
    np.savez(tmp_path / "test.npz", **other)
    chosen = ("dataset=arrays", "dataset.path=data.npz", "dataset.test_path=test.npz")
    cli.completed(*FEW, *chosen, folder=tmp_path / "run")
    np.savez(tmp_path / "test.npz", **other | {"y": flipped(other["y"])})
    refused(resume(tmp_path, *chosen), "dataset.test_path, test labels")


def test_rows_reordered_between_kill_and_resume(tmp_path):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(400, 40))
    y = (x[:, 0] + 0.2 * rng.normal(size=400) > 0).astype(int)
    chosen = ("dataset=arrays", f"dataset.path={tmp_path / 'data.npz'}", "threads=1", "figures=false")
    chosen += ("unlearner=newton_corrected", "removal.count=200", "checkpoint_every=7")
    np.savez(tmp_path / "data.npz", x=x, y=y)
    folder = cli.killed(*chosen, folder=tmp_path, lines=20)
    order = rng.permutation(400)
    np.savez(tmp_path / "data.npz", x=x[order], y=y[order])
    for without in (None, CHECKPOINT, inputs.FILE):  # either of the two files alone tells
        begun = Path(shutil.copytree(folder, tmp_path / f"without {without}"))
        if without:
            (begun / without).unlink()
        before = cli.contents(begun)
        ended = cli.expunge(*chosen, "resume=true", f"hydra.run.dir={begun}", cwd=tmp_path)
        refused(ended, "dataset.path, training inputs" if without != inputs.FILE else inputs.FILE)
        assert cli.contents(begun) == before
    np.savez(tmp_path / "data.npz", x=x, y=y)
    ended = cli.expunge(*chosen, "resume=true", f"hydra.run.dir={folder}", cwd=tmp_path)
    assert (ended.code, cli.summary(folder)["requests"]) == (0, 200)


def faces(folder: Path, people: int = 3, images: int = 8) -> Path:
    rng = np.random.default_rng(0)
    for person in range(people):
        (folder / f"s{person}").mkdir(parents=True, exist_ok=True)
        for image in range(images):
            pixels = rng.integers(60 * person, 60 * person + 90, size=(8, 8), dtype=np.uint8)
            file = folder / f"s{person}" / f"{image}.png"
            if not file.exists():
                Image.fromarray(pixels).save(file)
    return folder


def test_photos_added_to_a_folder_of_faces(tmp_path):
    faces(tmp_path / "faces")
    chosen = ("dataset=faces", "dataset.folder=faces", "dataset.image_size=8", f"data_dir={tmp_path}")
    cli.completed(*FEW, *chosen, folder=tmp_path / "run")
    sweep = (*FEW[:-1], *chosen, "removal.count=2,3", "-m", "hydra.sweep.dir=sweep")
    assert cli.expunge(*sweep, cwd=tmp_path).code == 0
    faces(tmp_path / "faces", images=10)
    refused(resume(tmp_path, *chosen), "dataset.folder, training inputs")
    again = cli.expunge(*sweep, cwd=tmp_path)
    assert (again.code, again.out.count("done again from its start")) == (0, 2)
    cells = json.loads((tmp_path / "sweep" / "sweep.json").read_text())["cells"]
    assert [cell["summary"]["n_train"] for cell in cells] == [21, 21]  # of 30, not of 24


EVERY = Dataset(
    "own",
    np.arange(12.0).reshape(6, 2),
    np.arange(6) % 2,
    np.arange(4.0).reshape(2, 2),
    np.arange(2),
    {0: "a", 1: "b"},
    retrieval=Retrieval(np.array([0]), np.array([1]), np.array([3, 4])),
)
OTHER = {
    "training inputs": {"unit": 2.0},
    "training labels": {"y_train": 1 - np.arange(6) % 2},
    "test inputs": {"x_test": np.zeros((2, 2))},
    "test labels": {"y_test": np.zeros(2, dtype=np.int64)},
    "class names": {"class_names": {0: "a", 1: "c"}},
    "queries, gallery and cameras": {"retrieval": Retrieval(np.array([0]), np.array([1]), np.array([3, 5]))},
}


@pytest.mark.parametrize("part", OTHER)
def test_every_part_of_a_data_set_counts(part):
    changed = Dataset(**{**vars(EVERY), **OTHER[part]}).digests()
    differing = {name for name, digest in EVERY.digests().items() if changed[name] != digest}
    assert part in differing
    assert differing - {part} <= {"test inputs"}  # the unit is that of both


# The requests


@pytest.fixture(scope="module")
def requested(tmp_path_factory):
    """A complete run of listed requests, and the same killed by half."""
    place = tmp_path_factory.mktemp("requested")
    (place / "req.txt").write_text("3\n17 4\n8\n21\n")
    cli.completed(*LISTED, folder=place / "run")
    shutil.copytree(place / "run", place / "half")
    (place / "half" / "summary.json").unlink()
    shutil.rmtree(place / "half" / "figures")
    lines = (place / "half" / "removals.jsonl").read_bytes().splitlines(keepends=True)
    (place / "half" / "removals.jsonl").write_bytes(b"".join(lines[:2]))
    return place


LISTED = ("dataset=digits_3v8", "threads=1", "removal=rows", "removal.rows=req.txt", "metrics=accuracy")


@pytest.fixture
def listed(requested, tmp_path):
    return Path(shutil.copytree(requested, tmp_path / "place"))


@pytest.mark.parametrize("name", ["run", "half"])
def test_a_file_of_requests_that_has_grown_is_gone_on_with(listed, name):
    with open(listed / "req.txt", "a") as file:
        file.write("40\n41 # two more\n")
    killed = listed / name / f"{SECRET}.{'a0' * 16}.part"
    killed.touch()  # what a kill amid writing leaves: of a model with the rows that leave now
    said = (*LISTED, f"figures={name == 'run'}".lower())
    ended = cli.expunge(*said, "resume=true", f"hydra.run.dir={name}", cwd=listed)
    assert (ended.code, ended.err) == (0, "")
    assert "removal.rows has grown by 2 requests" in ended.out
    whole = cli.completed(*LISTED, "figures=false", folder=listed / "whole")
    rows = [record["rows"] for record in cli.records(listed / name)]
    assert rows == [[3], [17, 4], [8], [21], [40], [41]]
    last = [json.loads(cli.without_seconds(r).replace(b"*", b"0")) for r in lines_of(listed / name)]
    kept = [json.loads(cli.without_seconds(r).replace(b"*", b"0")) for r in lines_of(whole)]
    evaluated = {"test_accuracy", "forget_accuracy", "retain_accuracy"}  # request 4 was the last once
    for ours, theirs in zip(last, kept, strict=True):
        assert {k for k in ours if ours[k] != theirs[k]} <= (evaluated if ours["request"] == 4 else set())
    assert cli.summary(listed / name)["requests"] == 6
    assert (listed / name / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert (listed / name / "figures" / "residual.png").exists() == (name == "run")
    assert not (listed / name / CHECKPOINT).exists()
    assert not killed.exists()
    before = cli.contents(listed / name)
    again = cli.expunge(*said, "resume=true", f"hydra.run.dir={name}", cwd=listed)
    assert (again.code, cli.contents(listed / name)) == (0, before)


def test_while_a_run_goes_on_there_is_no_state_of_when_it_was_complete(tmp_path):
    Inputs(requests=((3,),)).write(tmp_path)
    for name, content in (("removals.jsonl", ""), ("summary.json", "{}")):
        (tmp_path / name).write_text(content)
    save_state(tmp_path / SECRET, State({}, {"of": "row 4"}))
    same, more = (Inputs(requests=requests) for requests in (((3,),), ((3,), (4,))))
    assert summary_of(tmp_path, {"checkpoint_every": 1}, same, swept=False) == {}
    assert (tmp_path / SECRET).exists()
    assert summary_of(tmp_path, {"checkpoint_every": 1}, more, swept=False) is None
    assert (tmp_path / SECRET).exists()  # until all that the run goes on from has been read
    checkpoint = RunCheckpoint(tmp_path, {}, more, 1)
    with Ledger(tmp_path / "removals.jsonl") as ledger:
        assert checkpoint.load(ledger) is None
    checkpoint.reopen()
    assert not (tmp_path / SECRET).exists()


def lines_of(folder: Path) -> list[bytes]:
    return (folder / "removals.jsonl").read_bytes().splitlines()


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("run", "3\n17 4\n8\n", "asks for 3 requests, the run began with 4"),
        ("half", "3\n17 4\n8\n22\n", "its first 4 requests are not those"),  # of what is still to come
        ("run", "3\n17\n4\n8\n21\n", "its first 4 requests are not those"),
    ],
)
def test_a_file_of_requests_that_has_changed_is_refused(listed, name, text, why):
    (listed / "req.txt").write_text(text)
    before = cli.contents(listed / name)
    ended = cli.expunge(*LISTED, "resume=true", f"hydra.run.dir={name}", cwd=listed)
    refused(ended, f"removal.rows: {why}")
    assert cli.contents(listed / name) == before


def test_words_beside_the_requests_are_no_difference(listed):
    (listed / "req.txt").write_text("# ours\n3\n4".replace("4", "17,4") + "\n8\n\n21")
    ended = cli.expunge(*LISTED, "resume=true", "hydra.run.dir=run", cwd=listed)
    assert ended.code == 0
    assert "is complete" in ended.out


def test_bad_requests_at_the_end_cost_nothing(listed):
    with open(listed / "req.txt", "a") as file:
        file.write("3\n")
    before = cli.contents(listed / "run")
    ended = cli.expunge(*LISTED, "resume=true", "hydra.run.dir=run", cwd=listed)
    assert (ended.code, len(ended.err.splitlines())) == (2, 1)
    assert cli.contents(listed / "run") == before


def test_grown_requests_of_a_cell_are_gone_on_with(listed):
    sweep = (*LISTED, "-m", "seed=0,1", "hydra.sweep.dir=sweep", "figures=false")
    assert cli.expunge(*sweep, cwd=listed).code == 0
    first = {p: p.read_bytes().count(b"\n") for p in (listed / "sweep").glob("*/removals.jsonl")}
    with open(listed / "req.txt", "a") as file:
        file.write("40\n")
    ended = cli.expunge(*sweep, cwd=listed)
    assert (ended.code, ended.out.count("has grown by 1 requests")) == (0, 2)
    assert {path: path.read_bytes().count(b"\n") - n for path, n in first.items()} == dict.fromkeys(first, 1)


@pytest.mark.parametrize("value", ["a.txt", "5e-3"])
def test_a_reference_that_leads_elsewhere_is_seen(tmp_path, monkeypatch, value):
    (tmp_path / "a.txt").write_text("3\n17\n")
    (tmp_path / "b.txt").write_text("17\n3\n")
    key = "removal.rows" if value == "a.txt" else "unlearner.lam"
    of = "${oc.env:ELSEWHERE}" if value == "a.txt" else "'${oc.decode:${oc.env:ELSEWHERE}}'"
    taken = f"{key}={of}"
    chosen = (*LISTED[:3], "removal.rows=a.txt", taken, "figures=false")
    monkeypatch.setenv("ELSEWHERE", value)
    cli.completed(*chosen, folder=tmp_path / "run")
    monkeypatch.setenv("ELSEWHERE", {"a.txt": "b.txt", "5e-3": "5e-2"}[value])
    ended = cli.expunge(*chosen, "resume=true", "hydra.run.dir=run", cwd=tmp_path)
    refused(ended, "removal.rows: its first 2 requests" if value == "a.txt" else "oc.env")


# Sweeps


def test_a_sweep_over_other_data_is_done_again_and_says_why(tmp_path):
    written(tmp_path / "data.npz")
    sweep = (*FEW, "dataset=arrays", "dataset.path=data.npz", "-m", "seed=0,1", "hydra.sweep.dir=sweep")
    assert cli.expunge(*sweep, cwd=tmp_path).code == 0
    first = (tmp_path / "sweep" / "sweep.csv").read_bytes()
    written(tmp_path / "data.npz", y=flipped(arrays()["y"]))
    ended = cli.expunge(*sweep, cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.count("dataset.path, training labels: content differs") == 2
    assert "is complete" not in ended.out
    fresh = cli.expunge(*sweep[:-1], "hydra.sweep.dir=fresh", cwd=tmp_path)
    assert fresh.code == 0
    now = (tmp_path / "sweep" / "sweep.csv").read_bytes()
    assert now == (tmp_path / "fresh" / "sweep.csv").read_bytes() != first
    again = cli.expunge(*sweep, cwd=tmp_path)
    assert (again.code, again.out.count("is complete")) == (0, 2)


def test_a_cell_without_inputs_is_done_again(tmp_path):
    sweep = (*FEW, "dataset=digits_3v8", "-m", "seed=0,1", "hydra.sweep.dir=sweep")
    assert cli.expunge(*sweep, cwd=tmp_path).code == 0
    first, _ = sorted((tmp_path / "sweep").glob(f"*/{inputs.FILE}"))
    first.unlink()  # as one of an earlier version
    ended = cli.expunge(*sweep, cwd=tmp_path)
    assert (ended.code, ended.out.count("done again"), ended.out.count("is complete")) == (0, 1, 1)
    assert first.exists()


def test_another_version_of_the_package_is_another_input(place, monkeypatch):
    monkeypatch.setattr(inputs, "__version__", "99.1")
    refused(resume(place), "expunge: version 99.1 is not the")


def test_the_summary_says_what_it_is_made_from(complete):
    said = cli.summary(complete / "run")["inputs"]
    assert said["dataset.path, training labels"] == Dataset("", *np_pairs(), {}).digests()["training labels"]
    assert {"expunge", "requests"} <= said.keys()
    assert "settings" not in said


def np_pairs() -> tuple[np.ndarray, ...]:
    own = arrays()
    return own["x"], own["y"], own["x_test"], own["y_test"]


# Differences, as a property


STREAMS = st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=3), max_size=6)


def of(stream) -> Inputs:
    return Inputs({"expunge": "1"}).with_requests([Request(k, tuple(rows)) for k, rows in enumerate(stream)])


@given(STREAMS, STREAMS)
def test_a_stream_continues_one_that_it_begins_with_and_no_other(old, new):
    begun = json.loads(json.dumps(of(old).as_json()))
    assert (of(new).difference(begun) is None) == (new[: len(old)] == old)
    if of(new).difference(begun) is None:
        assert of(new).added(begun) == len(new) - len(old)


@pytest.mark.parametrize("begun", [None, 3, [], {}, {"digests": 4}, {"digests": {}, "requests": {"n": 1}}])
def test_inputs_that_cannot_be_read_are_a_difference(begun):
    assert "missing or damaged" in of([[1]]).difference(begun)


def test_a_file_that_any_setting_names_counts(tmp_path):
    file = tmp_path / "table.txt"
    file.write_text("1")
    settings = {"study": {"path": "table.txt"}, "dataset": {"path": str(file)}, "seed": 0}
    begun = Inputs.of(settings, tmp_path)
    assert set(begun.files) == {"study.path"}  # of a data set counts what was read from it
    begun.require_unchanged(thorough=True)
    file.write_text("2")
    now = Inputs.of(settings, tmp_path)
    assert now.difference(begun.as_json()).startswith("study.path: content differs")
    with pytest.raises(DataError, match=r"study\.path: .*table\.txt: has changed since the run began"):
        begun.require_unchanged(thorough=True)
