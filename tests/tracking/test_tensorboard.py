"""TensorBoard: what its own reader finds in the event files is what the run's files hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from expunge.core.errors import InvalidValue
from expunge.tracking.tensorboard import FOLDER, TensorBoardTracker
from tests import cli
from tests.cli import SMALL

pytest.importorskip("tensorboard")


def read(folder: Any) -> Any:
    """All that TensorBoard finds in a folder, no point left out."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    found.Reload()
    return found


def curve(found: Any, key: str) -> list[tuple[int, float]]:
    return [(event.step, event.tensor_proto.double_val[0]) for event in found.Tensors(key)]


def text(found: Any, key: str) -> str:
    (event,) = found.Tensors(f"{key}/text_summary")
    return event.tensor_proto.string_val[0].decode()


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("boarded") / "run"
    values = (*SMALL, "tracker=tensorboard", "removal.count=3", f"hydra.run.dir={folder}")
    ended = cli.expunge(*values, cwd=folder.parent)
    assert ended.code == 0, ended.err
    return folder


def test_every_number_of_the_ledger_is_there_as_float64_and_nothing_else(run_folder):
    found, records = read(run_folder / FOLDER), cli.records(run_folder)
    numbers = {key for record in records for key, value in record.items() if isinstance(value, (int, float))}
    texts = {f"{key}/text_summary" for key in ("config", "columns", "summary")}
    assert {*found.Tags()["tensors"]} == (numbers - {"request"}) | texts
    before = cli.before(run_folder)
    for key in numbers - {"request"}:
        expected = [(r["request"], r[key]) for r in (before, *records) if r.get(key) is not None]
        assert curve(found, key) == expected


def test_summary_is_that_of_the_run_but_for_its_seed(run_folder):
    kept = cli.summary(run_folder)
    del kept["columns"], kept["seed"]
    assert json.loads(text(read(run_folder / FOLDER), "summary")) == kept
    assert "seed" not in json.loads(text(read(run_folder / FOLDER), "config"))


def test_a_run_that_goes_on_has_one_curve(tmp_path):
    for served in (1, 2):  # killed after one request: the earlier records are sent again
        with TensorBoardTracker() as tracker:
            tracker.start({}, tmp_path, None)
            for request in range(1, served + 1):
                tracker.log({"request": request, "accuracy": request / 3})
    assert curve(read(tmp_path / FOLDER), "accuracy") == [(1, 1 / 3), (2, 2 / 3)]


def test_a_folder_of_its_own_for_each_cell_of_a_sweep(tmp_path):
    for cell in ("seed=0", "seed=1"):
        with TensorBoardTracker(str(tmp_path / "board")) as tracker:
            tracker.start({}, tmp_path / "sweep" / cell, "sweep")
            tracker.log({"request": 1, "accuracy": 0.5})
    assert sorted(path.name for path in (tmp_path / "board" / "sweep").iterdir()) == ["seed=0", "seed=1"]


def test_what_lies_in_the_folder_already_stays(tmp_path):
    """A run of the same name elsewhere, and whatever else somebody keeps there."""
    board = tmp_path / "board"
    (board / "run" / "kept").mkdir(parents=True)
    (board / "run" / "notes.txt").write_text("mine")
    for home, accuracy in (("first", 0.25), ("second", 0.75), ("second", 0.5)):
        with TensorBoardTracker(str(board)) as tracker:
            tracker.start({}, tmp_path / home / "run", None)
            tracker.log({"request": 1, "accuracy": accuracy})
    assert (board / "run" / "notes.txt").read_text() == "mine"
    assert (board / "run" / "kept").is_dir()
    files = sorted((board / "run").glob("events.out.tfevents.*"))
    assert sorted(curve(read(file), "accuracy")[0][1] for file in files) == [0.25, 0.5]


def test_a_folder_that_is_no_text_is_refused():
    with pytest.raises(InvalidValue, match="log_dir: got 3, allowed: a folder, or null"):
        TensorBoardTracker(3)  # type: ignore[arg-type]
