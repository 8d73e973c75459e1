"""Mapped files that change under a process: one line and exit code 2, and nothing recorded of a mixture."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from expunge.core.errors import DataError
from expunge.core.files_read import FilesRead, apart
from expunge.core.mapped import require_unchanged, watched
from expunge.datasets import Dataset
from expunge.datasets.array_files import open_arrays
from tests import cli
from tests.cli import CHECKPOINT

N, D = 4000, 60


def written(file: Path, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, D))
    np.savez(file, x=x, y=(x[:, 0] + rng.normal(size=N) > 0).astype(int))
    return file


RUN = ("dataset=arrays", "dataset.path=data.npz", "unlearner=newton_corrected", "threads=1", "figures=false")
RUN += ("metrics=[]", "removal.count=250", "checkpoint_every=100", "hydra.run.dir=run")


def begun(place: Path):
    """A run over mapped data that has served some requests and has more to serve."""
    written(place / "data.npz")
    process = cli.start(*RUN, cwd=place)
    ledger = place / "run" / "removals.jsonl"
    while process.poll() is None and (not ledger.exists() or ledger.read_bytes().count(b"\n") < 2):
        time.sleep(0.002)
    assert process.poll() is None
    return process


def cut(file: Path) -> None:
    os.truncate(file, 5000)


def written_over(file: Path) -> None:
    content = written(file.with_name("other.npz"), seed=1).read_bytes()
    with open(file, "r+b") as there:  # the same size
        there.write(content)


@pytest.mark.parametrize("change", [cut, written_over])
def test_a_file_that_changes_in_place_ends_the_run_with_a_line(tmp_path, change):
    process = begun(tmp_path)
    change(tmp_path / "data.npz")
    ended = cli.wait(process)
    (line,) = ended.err.splitlines()
    assert (ended.code, line.startswith("expunge: ")) == (2, True), ended
    assert "data.npz: was c" in line
    folder = tmp_path / "run"
    assert not (folder / "summary.json").exists()
    recorded = cli.ledger(folder)
    again = cli.expunge(*RUN, "resume=true", cwd=tmp_path)
    assert (again.code, len(again.err.splitlines())) == (2, 1)  # other data, or no data
    written(tmp_path / "data.npz")
    assert cli.expunge(*RUN, "resume=true", cwd=tmp_path).code == 0  # every record comes out again
    assert cli.ledger(folder).startswith(recorded)


def test_a_file_put_in_its_place_by_renaming_does_no_harm(tmp_path):
    process = begun(tmp_path)
    before = open_arrays(tmp_path / "data.npz")["y"]()[: N - N // 5].astype(np.int64)
    os.replace(written(tmp_path / "new.npz", seed=1), tmp_path / "data.npz")
    ended = cli.wait(process)
    assert (ended.code, ended.err) == (0, "")
    assert not (tmp_path / "run" / CHECKPOINT).exists()
    said = cli.summary(tmp_path / "run")["inputs"]["dataset.path, training labels"]
    assert said == Dataset("", before, before, before, before, {}).digests()["training labels"]
    again = cli.expunge(*RUN, "resume=true", cwd=tmp_path)  # the disk holds other data now
    assert (again.code, "training inputs" in again.err) == (2, True)


def test_what_counts_is_the_content(tmp_path):
    file = written(tmp_path / "data.npz")
    with watched():
        x = open_arrays(file)["x"]()
        os.utime(file)
        require_unchanged()
        with open(file, "r+b") as there:
            there.seek(N * D)
            there.write(b"other")
        os.utime(file, ns=(10**18, 10**18))
        with pytest.raises(DataError, match=r"data\.npz: was changed in place"):
            require_unchanged()
        assert x.shape == (N, D)
        del x
        require_unchanged()  # nobody reads it any more


def used(file: Path, change) -> None:
    with watched():
        x = open_arrays(file)["x"]()
        change(file)
        raise ZeroDivisionError(x.shape)


def test_an_error_that_comes_of_a_changed_file_is_told_by_its_cause(tmp_path):
    file = written(tmp_path / "data.npz")
    with pytest.raises(DataError, match="changed in place"):
        used(file, written_over)
    with pytest.raises(ZeroDivisionError):
        used(file, lambda file: None)


# Files that are read and not mapped


def recorded(read) -> FilesRead:
    files = FilesRead()
    with files.recording():
        read()
    return files


def test_a_file_or_folder_that_was_read_and_changes_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr("expunge.core.files_read._COARSEST", -60.0)  # as if all were a minute old
    (tmp_path / "a").mkdir()
    file = tmp_path / "a" / "x.txt"
    file.write_text("x")

    def read() -> None:
        file.read_text()
        os.listdir(tmp_path / "a")

    files = recorded(read)
    assert files.unchanged()
    stat = file.stat()
    file.write_text("y")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert not files.unchanged()  # though size and time of writing are the same
    files = recorded(read)
    (tmp_path / "a" / "new.txt").write_text("")
    assert not files.unchanged()
    files = recorded(lambda: file.read_bytes())
    os.replace(tmp_path / "a" / "new.txt", file)
    assert not files.unchanged()


def test_what_is_too_young_is_not_trusted(tmp_path):
    (tmp_path / "x").write_text("x")
    assert not recorded((tmp_path / "x").read_text).unchanged()
    assert recorded(lambda: None).unchanged()


@pytest.mark.parametrize("onlooker", [False, True])
def test_threads_are_heard_unless_they_only_look_on(tmp_path, onlooker):
    (tmp_path / "x").write_text("x")  # too young

    def other() -> None:
        if onlooker:
            apart()
        (tmp_path / "x").read_text()

    def read() -> None:
        thread = Thread(target=other)
        thread.start()
        thread.join()

    assert recorded(read).unchanged() == onlooker
    assert not recorded((tmp_path / "x").read_text).unchanged()  # its word is for that thread alone


def test_what_is_looked_for_in_vain_is_no_change_until_it_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr("expunge.core.files_read._COARSEST", -60.0)
    files = recorded(Path("/proc/self/stat").read_bytes)
    assert files.unchanged()

    def read() -> None:
        with suppress(OSError):
            (tmp_path / "none" / "x").read_text()

    files = recorded(read)
    assert files.unchanged()
    (tmp_path / "none").mkdir()
    assert not files.unchanged()
