"""Sweeps: what they leave, that they go on where they were killed, and what happens to cells that fail."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import time
from functools import wraps
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import InvalidValue
from expunge.core.locks import exclusive
from expunge.datasets import digits_3v8
from expunge.record.ledger import FILE
from expunge.run.job_cache import JobCache, Once
from expunge.sweep.aggregate import as_csv, mixed, over_seeds
from expunge.sweep.command import name_of, prepared
from expunge.sweep.flags import parted
from expunge.sweep.jobs import fingerprint
from tests import cli
from tests.cli import SMALL

GRID = (*SMALL, "unlearner.lam=1e-2,1e-1", "unlearner.std=10,100", "removal.count=4")


def sweep(*arguments: str, cwd: Path, code: int = 0) -> tuple[Path, cli.Ended]:
    ended = cli.expunge("-m", *arguments, "hydra.sweep.dir=sweep", cwd=cwd)
    assert ended.code == code, ended.err
    return cwd / "sweep", ended


def found(folder: Path) -> dict:
    return json.loads((folder / "sweep.json").read_text())


def lines(folder: Path) -> list[dict[str, str]]:
    with open(folder / "sweep.csv", newline="") as file:
        return list(csv.DictReader(file))


def stamps(folder: Path) -> dict[str, int]:
    """When each cell's results were written."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns
        for name in (FILE, "summary.json", "DONE")
        for path in folder.glob(f"*/{name}")
    }


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    return sweep(*GRID, cwd=tmp_path_factory.mktemp("grid"))[0]


# What a sweep leaves


def test_a_cell_is_a_whole_run_with_a_mark(grid):
    cells, said = found(grid)["cells"], found(grid)["columns"]
    assert len({cell["run"] for cell in cells}) == 4
    for cell in cells:
        files = set(cli.contents(grid / cell["run"]))
        assert {"DONE", "summary.json", FILE, "model.safetensors", ".hydra/config.yaml"} <= files
        assert cell["run"] == (grid / cell["run"] / "DONE").read_text().strip()
        # What the numbers are is said once for all cells.
        assert cell["summary"] | {"columns": said} == cli.summary(grid / cell["run"])


def test_settings_and_results_stand_side_by_side(grid):
    rows, cells = lines(grid), found(grid)["cells"]
    asked = [(float(row["unlearner.lam"]), float(row["unlearner.std"])) for row in rows]
    assert asked == [(1e-2, 10), (1e-2, 100), (1e-1, 10), (1e-1, 100)]
    for row, cell in zip(rows, cells, strict=True):
        assert (row["run"], row["status"], row["error"]) == (cell["run"], "done", "")
        assert cell["settings"]["unlearner.lam"] == float(row["unlearner.lam"])
        for key in ("test_accuracy_after", "removals_supported", "residual_bound", "epsilon"):
            assert float(row[key]) == cell["summary"][key]
    assert not [key for key in rows[0] if "seconds" in key or "memory" in key or key == "versions"]


def test_the_same_sweep_elsewhere_gives_the_same_bytes(grid, tmp_path):
    again, _ = sweep(*reversed(GRID[3:]), *GRID[:3], cwd=tmp_path)  # in another order of cells
    assert sorted(row["run"] for row in lines(again)) == sorted(row["run"] for row in lines(grid))
    once_more, _ = sweep(*GRID, cwd=tmp_path)
    assert (once_more / "sweep.csv").read_bytes() == (grid / "sweep.csv").read_bytes()


def test_table_and_counts_are_shown(tmp_path):
    _, ended = sweep(*GRID, cwd=tmp_path)
    assert ended.err == ""
    assert "newton_corrected (lam 0.01, std" in ended.out
    *_, count, folder, after = ended.out.splitlines()
    place = folder.removeprefix("Sweep folder: ")
    assert count == "4 of 4 cells done"
    assert tmp_path / place == tmp_path / "sweep"
    assert after == f"Next: expunge-report {place}"


def test_figures_of_a_sweep_are_its_own_unless_all_are_asked_for(tmp_path):
    values = ("dataset=digits_3v8", "threads=1", "unlearner.lam=1e-2,1e-1", "unlearner.std=10,100")
    folder, _ = sweep(*values, "removal.count=2", cwd=tmp_path)
    assert list((folder / "figures").glob("*.png"))
    assert not list(folder.glob("*/figures"))
    one, _ = sweep(*SMALL[::2], "figures=all", "removal.count=2", cwd=tmp_path)
    assert len(list(one.glob("*/figures/*.png"))) >= 2


# Repeated, extended, killed


def test_a_repeated_sweep_runs_nothing(grid):
    before, table = stamps(grid), (grid / "sweep.csv").read_bytes()
    _, ended = sweep(*GRID, cwd=grid.parent)
    assert ended.out.count("is complete") == 4
    assert stamps(grid) == before
    assert (grid / "sweep.csv").read_bytes() == table


def test_a_larger_grid_takes_over_the_cells_that_are_there(grid, tmp_path):
    folder, _ = sweep(*GRID, cwd=tmp_path)
    before = stamps(folder)
    values = ("unlearner.lam=1e-2,1e-1,1", *GRID[4:])
    _, ended = sweep(*SMALL, *values, cwd=tmp_path)
    assert ended.out.count("is complete") == 4
    assert {name: stamp for name, stamp in stamps(folder).items() if name in before} == before
    assert len(lines(folder)) == 6


def test_force_runs_every_cell_again(tmp_path):
    values = (*SMALL, "unlearner.lam=1e-2,1e-1", "removal.count=2")
    folder, _ = sweep(*values, cwd=tmp_path)
    before = stamps(folder)
    sweep(*values, "force=true", cwd=tmp_path)
    after = stamps(folder)
    assert after.keys() == before.keys()
    assert all(after[name] > before[name] for name in before)
    assert [row["status"] for row in lines(folder)] == ["done", "done"]


def test_a_command_that_names_no_folder_finds_its_own(tmp_path):
    values = (*SMALL, "unlearner.lam=1e-2,1e-1", "removal.count=1")
    assert cli.expunge("-m", *values, cwd=tmp_path).code == 0
    (folder,) = (tmp_path / "multirun").iterdir()
    before = stamps(folder)
    assert cli.expunge(*values, "-m", "progress=false", cwd=tmp_path).code == 0
    assert stamps(folder) == before
    assert [path.name for path in (tmp_path / "multirun").iterdir()] == [folder.name]


def test_killed_again_and_again_it_ends_the_same(tmp_path):
    arguments = (*SMALL, "unlearner.lam=1e-2,1e-1", "unlearner.std=30,100", "removal.count=120")
    values = (*arguments, "checkpoint_every=40")
    (tmp_path / "whole").mkdir()
    whole, _ = sweep(*values, cwd=tmp_path / "whole")
    rng, finished = random.Random(6), {}
    for _ in range(3):
        process = cli.start("-m", *values, "hydra.sweep.dir=sweep", cwd=tmp_path)
        while process.poll() is None and not list((tmp_path / "sweep").glob(f"*/{FILE}")):
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.6))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        now = stamps(tmp_path / "sweep")
        done = {name.partition("/")[0] for name in now if name.endswith("DONE")}
        assert {name: now[name] for name in finished} == finished, "nothing is done twice"
        finished = {name: stamp for name, stamp in now.items() if name.partition("/")[0] in done}
    folder, _ = sweep(*values, cwd=tmp_path)
    assert {name: stamps(folder)[name] for name in finished} == finished
    assert (folder / "sweep.csv").read_bytes() == (whole / "sweep.csv").read_bytes()
    for cell in found(folder)["cells"]:
        assert cli.ledger(folder / cell["run"]) == cli.ledger(whole / cell["run"])


# What fails


def test_a_failed_cell_is_listed_and_does_not_stop_the_others(tmp_path):
    folder, ended = sweep(*SMALL, "unlearner.lam=-1,1e-3", "removal.count=2", cwd=tmp_path, code=2)
    (line,) = ended.err.splitlines()
    assert line.startswith("expunge: cell 1 (")
    assert line.endswith("unlearner.lam: got -1, allowed: a finite number > 0")
    assert "1 of 2 cells done, 1 failed" in ended.out
    failed, done = found(folder)["cells"]
    assert (failed["status"], failed["error"]) == (
        "failed",
        "unlearner.lam: got -1, allowed: a finite number > 0",
    )
    assert failed["summary"] is None
    assert not (folder / failed["run"]).exists()
    assert (done["status"], done["summary"]["requests"]) == ("done", 2)
    assert [row["status"] for row in lines(folder)] == ["failed", "done"]


def test_an_error_of_the_program_is_told_from_bad_input(tmp_path, monkeypatch):
    whole = digits_3v8.load

    @wraps(whole)  # what stands in for a part of ours is one
    def broken(**kwargs):
        raise ZeroDivisionError("no rows today")

    monkeypatch.setattr(digits_3v8, "load", broken)
    folder, ended = sweep(*SMALL, "removal.count=1,2", cwd=tmp_path, code=1)
    assert ended.err.count("ZeroDivisionError: no rows today") == 2
    assert "Traceback" in ended.out
    monkeypatch.setattr(digits_3v8, "load", whole)
    folder, ended = sweep(*SMALL, "removal.count=1,2", cwd=tmp_path)
    assert [cell["status"] for cell in found(folder)["cells"]] == ["done", "done"]


def test_a_folder_belongs_to_one_sweep_at_a_time(tmp_path):
    (tmp_path / "sweep").mkdir()
    with exclusive(tmp_path / "sweep"):
        ended = cli.expunge("-m", *GRID, "hydra.sweep.dir=sweep", cwd=tmp_path)
    assert ended.code == 2
    assert "another process is running a sweep" in ended.err
    assert not (tmp_path / "sweep" / "sweep.csv").exists()


def test_a_run_folder_belongs_to_one_process_at_a_time(tmp_path):
    (tmp_path / "run").mkdir()
    with exclusive(tmp_path / "run"):
        ended = cli.expunge(*SMALL, "hydra.run.dir=run", cwd=tmp_path)
    assert ended.code == 2
    assert "another process is writing" in ended.err


def test_a_cell_asked_for_twice_is_run_once(tmp_path):
    folder, ended = sweep(*SMALL, "removal.count=2,2", cwd=tmp_path)
    assert ended.out.count("fitted in") == 1
    first, second = lines(folder)
    assert first == second


def test_force_repeats_a_single_run(tmp_path):
    run = cli.completed(*SMALL, "removal.count=2", folder=tmp_path / "run")
    ended = cli.expunge(*SMALL, "removal.count=3", "hydra.run.dir=run", cwd=tmp_path)
    assert ended.code == 2
    assert "force=true" in ended.err
    cli.completed(*SMALL, "removal.count=3", "force=true", folder=run)
    assert cli.summary(run)["requests"] == 3


def test_force_deletes_nothing_before_the_new_run_is_known_to_be_valid(tmp_path):
    run = cli.completed(*SMALL, "removal.count=2", folder=tmp_path / "run")
    before = cli.contents(run)
    bad = cli.expunge(*SMALL, "unlearner.lam=-1", "force=true", "hydra.run.dir=run", cwd=tmp_path)
    assert (bad.code, cli.contents(run)) == (2, before)


def test_force_deletes_no_folder_that_is_not_a_run(tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "one.txt").write_text("dear")
    ended = cli.expunge(*SMALL, "force=true", "hydra.run.dir=letters", cwd=tmp_path)
    assert ended.code == 2
    assert "force: " in ended.err
    assert (tmp_path / "letters" / "one.txt").read_text() == "dear"


def test_a_cell_cannot_be_the_sweep_itself(tmp_path):
    _, ended = sweep(*SMALL, "removal.count=1", "hydra.sweep.subdir=.", cwd=tmp_path, code=2)
    assert "hydra.sweep.subdir: got the sweep's own folder" in ended.err


@pytest.mark.parametrize("place", ["../out/${hydra.job.num}", "a/../../out", "/nowhere"])
def test_a_cell_outside_of_its_sweep_is_refused_before_a_folder_is_made(place, tmp_path):
    ended = cli.expunge(
        "-m", "seed=0,1", "hydra.sweep.dir=sweep", f"hydra.sweep.subdir={place}", cwd=tmp_path
    )
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(
        f"expunge: hydra.sweep.subdir: got {place.replace('${hydra.job.num}', '0')!r}"
    )
    assert ended.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


# Seeds


def test_seeds_give_means_and_intervals_over_the_same_requests(tmp_path):
    values = ("unlearner=newton,newton_corrected", "removal.count=3", "unlearner.std=100")
    ended = cli.expunge(*SMALL, *values, "seeds=3", "hydra.sweep.dir=sweep", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    cells = found(tmp_path / "sweep")["cells"]
    asked = {}
    for cell in cells:
        rows = [record["rows"] for record in cli.records(tmp_path / "sweep" / cell["run"])]
        asked.setdefault(cell["settings"]["seed"], []).append(rows)
    assert sorted(asked) == [0, 1, 2]
    assert all(one == other for one, other in asked.values()), "paired by seed"
    groups = found(tmp_path / "sweep")["over_seeds"]
    assert [group["settings"]["unlearner"] for group in groups] == ["newton", "newton_corrected"]
    for group in groups:
        assert group["seeds"] == [0, 1, 2]
        own = [c for c in cells if c["settings"]["unlearner"] == group["settings"]["unlearner"]]
        values = [cell["summary"]["test_accuracy_after"] for cell in own]
        said = group["values"]["test_accuracy_after"]
        assert said["mean"] == pytest.approx(np.mean(values), abs=1e-12)
        assert min(values) - 1e-12 <= said["low"] <= said["mean"] <= said["high"] <= max(values) + 1e-12


def test_failed_cells_are_in_no_mean():
    def cell(seed, status, accuracy):
        summary = {"seed": seed, "test_accuracy_after": accuracy} if status == "done" else None
        return {
            "run": f"r{seed}",
            "status": status,
            "error": None,
            "settings": {"seed": seed},
            "summary": summary,
        }

    cells = [cell(0, "done", 0.5), cell(1, "failed", None), cell(2, "done", 0.7)]
    (group,) = over_seeds(cells)
    assert (group["seeds"], group["values"]["test_accuracy_after"]["mean"]) == ([0, 2], pytest.approx(0.6))
    assert over_seeds(cells[:2]) == []


@pytest.mark.parametrize("value", ["x", "0", "2.5", "", "-1"])
def test_seeds_must_be_a_count(value):
    with pytest.raises(InvalidValue, match="seeds: got"):
        prepared([f"seeds={value}"])


def test_seeds_and_seed_exclude_each_other(tmp_path):
    ended = cli.expunge(*SMALL, "seeds=2", "seed=3", cwd=tmp_path)
    assert (ended.code, len(ended.err.splitlines())) == (2, 1)


# Names


@given(st.permutations(["unlearner.lam=1,2", "unlearner.std=3", "removal.count=9"]))
def test_a_name_does_not_depend_on_the_order_or_on_how_it_is_run(order):
    ways = [
        "progress=false",
        "resume=true",
        "tracker=wandb",
        "tracker.mode=offline",
        "hydra/launcher=joblib",
    ]
    plain = name_of(["unlearner.lam=1,2", "unlearner.std=3", "removal.count=9"])
    assert name_of([*order, *ways]) == plain
    assert name_of([*order, "seed=1"]) != plain
    assert name_of([*order, "data_dir=elsewhere"]) != plain


def test_a_name_begins_with_the_experiment():
    assert name_of(["+experiment=icml2020/mnist_grid"]).startswith("mnist_grid-")


def test_flags_may_stand_among_the_overrides():
    flags, overrides = parted(["a=1", "-cd", "there=1", "b=2", "-m", "c=3"])
    assert (flags.config_dir, flags.multirun, overrides) == ("there=1", True, ["a=1", "b=2", "c=3"])
    arguments = prepared(["a=1", "-m", "b=2", "hydra.sweep.dir=here"])
    assert arguments == ["--multirun", "a=1", "b=2", "hydra.sweep.dir=here"]


def test_what_results_do_not_depend_on_does_not_name_a_run():
    settings = {"seed": 1, "unlearner": {"lam": 1e-3}, "progress": True, "data_dir": None}
    assert fingerprint(settings) == fingerprint({**settings, "progress": False, "resume": True})
    assert fingerprint(settings) != fingerprint({**settings, "seed": 2})
    assert fingerprint(settings) != fingerprint({**settings, "data_dir": "other"})


# What cells share


def test_data_and_features_are_made_once_for_all_cells(tmp_path, monkeypatch):
    calls, load = [], digits_3v8.load
    counted = wraps(load)(lambda **kwargs: calls.append(kwargs) or load(**kwargs))
    monkeypatch.setattr(digits_3v8, "load", counted)
    sweep(*GRID, cwd=tmp_path)
    assert len(calls) == 1


def test_what_is_shared_is_made_anew_for_other_settings():
    shared, made = JobCache(), []
    for key in (1, 1, 2, 2, 1):
        part = shared.get("data", {"key": key}, lambda key=key: made.append(key) or [key])
        assert part == [key]
    assert made == [1, 2, 1]


def test_an_extractor_that_extracts_once_says_what_its_own_says():
    class Own:
        count = 0

        def extract(self, dataset):
            self.count += 1
            return "train", "test"

        def facts(self):
            return {"extractor_x": 1}

    once = Once(Own())
    assert once.extract(None) == once.extract(None) == ("train", "test")
    assert (once.count, once.facts(), hasattr(once, "upstream")) == (1, {"extractor_x": 1}, False)


def test_data_that_change_from_cell_to_cell_are_told(tmp_path):
    def cell(digest, **settings):
        inputs = {"expunge": "1", "dataset.path, training labels": digest, "source of x": digest}
        return {"run": "run", "settings": settings, "summary": {"inputs": inputs}}

    labels, lam = ["dataset.path, training labels"], {"unlearner.lam": 1}
    failed = {"run": None, "settings": {}, "summary": None}
    assert mixed([cell("a", **lam), cell("b", model="mlp"), failed], tmp_path) == labels
    others = [cell("a", model="mlp"), cell("a"), cell("b", **{"dataset.path": "other"})]
    assert mixed(others, tmp_path) == []
    recorded = tmp_path / "run" / ".hydra" / "config.yaml"
    recorded.parent.mkdir(parents=True)
    for split, found in (("0", labels), ("${seed}", [])):
        recorded.write_text(f"seed: 1\ndataset:\n  split_seed: {split}\n")
        assert mixed([cell("a", seed=0), cell("b", seed=1)], tmp_path) == found


def test_csv_has_a_blank_where_a_cell_has_no_value():
    cells = [
        {
            "run": "a",
            "status": "done",
            "error": None,
            "settings": {"x": 1},
            "summary": {"p": 0.5, "t_seconds": 3},
        },
        {"run": None, "status": "unfinished", "error": None, "settings": {}, "summary": None},
    ]
    assert as_csv(cells) == "run,status,error,x,p\na,done,,1,0.5\n,unfinished,,,\n"


# Ending at the limit

LIMITED = ("unlearner=newton", "unlearner.lam=1e-2", "unlearner.std=30", "removal.count=60")


def test_a_run_can_end_at_its_first_retrain_and_is_evaluated_there(tmp_path):
    arguments = (*SMALL, *LIMITED, "unlearner.at_limit=refuse")
    whole = cli.completed(*arguments, folder=tmp_path / "whole")
    supported = cli.summary(whole)["removals_supported"]
    assert 0 < supported < 59
    every = ("metrics.accuracy.every=1000", "stop_at_limit=true", f"checkpoint_every={supported + 1}")
    ended = cli.completed(*arguments, *every, folder=tmp_path / "ended")
    records = cli.records(ended)
    assert [record["outcome"] for record in records] == ["removed"] * supported + ["refused"]
    assert records[-1]["test_accuracy"] is not None
    summary = cli.summary(ended)
    assert (summary["removals_supported"], summary["requests"]) == (supported, supported + 1)
    assert summary["budget_exhausted"] is True
    longer = cli.completed(*SMALL, "stop_at_limit=true", "removal.count=3", folder=tmp_path / "longer")
    assert (cli.summary(longer)["requests"], cli.summary(longer)["budget_exhausted"]) == (3, False)


def test_a_run_that_ends_at_its_limit_is_resumed_to_the_same_end(tmp_path):
    arguments = (*SMALL, *LIMITED, "stop_at_limit=true")
    whole = cli.completed(*arguments, folder=tmp_path / "whole")
    for left in (1, 3, len(cli.records(whole))):
        folder = shutil.copytree(whole, tmp_path / f"cut{left}")
        (folder / "summary.json").unlink()
        lines = (folder / FILE).read_bytes().splitlines(keepends=True)
        (folder / FILE).write_bytes(b"".join(lines[:left]))
        cli.completed(*arguments, "resume=true", folder=folder)
        assert cli.ledger(folder) == cli.ledger(whole)
