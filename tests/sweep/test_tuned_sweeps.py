"""Equal tuning, really run: what trials may see, that each is done once, also where the command is killed."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from expunge.core.files import load_state
from expunge.datasets.digits import load
from expunge.unlearners.neggrad import Neggrad
from tests import cli

COMMON = (
    *("dataset=digits", "model=mlp", "model.hidden=[20]", "training.epochs=1", "removal.count=1"),
    *("removal.batch_size=40", "metrics=[tow]", "threads=1", "figures=false", "tuning=equal"),
)
TWO = (*COMMON, "unlearner=none,neggrad", "seed=0,1", "tuning.trials=2")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Networks are trained once for all tests here, and known to nobody else."""
    monkeypatch.setenv("EXPUNGE_CACHE", str(tmp_path_factory.getbasetemp() / "trained"))


def sweep(*arguments: str, cwd: Path, code: int = 0) -> tuple[Path, cli.Ended]:
    ended = cli.expunge("-m", *arguments, "hydra.sweep.dir=sweep", cwd=cwd)
    assert ended.code == code, ended.err
    return cwd / "sweep", ended


def choices(folder: Path) -> dict[str, dict]:
    """What was chosen, by method."""
    found = [json.loads(path.read_text()) for path in folder.glob(".tuning/*/choice.json")]
    return {one["method"]: one for one in found}


def config(folder: Path) -> dict:
    return OmegaConf.to_container(OmegaConf.load(folder / ".hydra" / "config.yaml"), resolve=True)


def stamps(folder: Path) -> dict[str, int]:
    """When each trial was over."""
    return {str(path): path.stat().st_mtime_ns for path in folder.glob(".tuning/*/trial-*.json")}


def without_times(choice: dict) -> dict:
    return {**choice, "trials": [{**one, "seconds": None} for one in choice["trials"]]}


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPUNGE_CACHE", str(tmp_path_factory.getbasetemp() / "trained"))
        return sweep(*TWO, cwd=tmp_path_factory.mktemp("tuned"))


def test_every_seed_runs_with_what_was_chosen_once(tuned):
    folder, ended = tuned
    found = choices(folder)
    assert found.keys() == {"neggrad"}
    cells = json.loads((folder / "sweep.json").read_text())["cells"]
    for cell in cells:
        summary, found_in = cell["summary"], config(folder / cell["run"])
        if summary["unlearner"] == "none":
            assert (summary["tuning_trials"], summary["tuning_seconds"]) == (0, None)
            continue
        choice = found[summary["unlearner"]]
        best = choice["trials"][choice["chosen"]]
        assert best["score"] == max(one["score"] for one in choice["trials"])
        assert found_in["unlearner"] == found_in["unlearner"] | best["settings"]
        assert found_in["tuning"]["chosen"] == {"trial": best["number"], "score": best["score"]}
        assert summary["tuning_trials"] == 2
        assert summary["tuning_seconds"] == pytest.approx(sum(one["seconds"] for one in choice["trials"]))
    for choice in found.values():
        assert choice["trials"][0]["settings"] == {}, "the first is the YAML's own"
        assert ended.out.count(f"tuning {choice['method']}: 2 trials") == 2
    assert ended.out.count("trial 2 of 2") == 1, "a trial is done once for all seeds"


def test_trials_hold_rows_out_of_training_and_have_no_test_rows(tuned):
    folder, _ = tuned
    for summary in (cli.summary(path.parent) for path in folder.glob(".tuning/*/trial-*/summary.json")):
        assert (summary["n_train"], summary["n_test"], summary["seed"]) == (1294, 144, 10000)
    cell = next(cell for cell in json.loads((folder / "sweep.json").read_text())["cells"])
    assert (cell["summary"]["n_train"], cell["summary"]["n_test"]) == (1438, 359)


def test_the_table_says_trials_time_and_rule(tuned):
    assert "trials, time" in tuned[1].out
    said = json.loads((tuned[0] / "sweep.json").read_text())["columns"]["tuning_seconds"]["definition"]
    assert "highest ToW" in said
    assert "no trial sees" in said


def test_the_same_command_repeats_nothing_and_elsewhere_it_comes_to_the_same(tuned, tmp_path):
    folder, _ = tuned
    before, table = stamps(folder), (folder / "sweep.csv").read_bytes()
    again, ended = sweep(*TWO, cwd=folder.parent)
    assert stamps(again) == before
    assert (again / "sweep.csv").read_bytes() == table
    assert "trial 1 of" not in ended.out
    other, _ = sweep(*COMMON, "unlearner=neggrad", "seed=0", "tuning.trials=2", cwd=tmp_path)
    run = next(path.parent for path in other.glob("*/DONE"))
    assert cli.ledger(run) == cli.ledger(folder / run.name)
    assert {k: without_times(c) for k, c in choices(other).items()} == {
        k: without_times(c) for k, c in choices(folder).items()
    }


def test_more_trials_go_on_from_those_that_are_there(tuned):
    folder, _ = tuned
    before = stamps(folder)
    more, _ = sweep(*COMMON, "unlearner=neggrad", "tuning.trials=3", cwd=folder.parent)
    after = stamps(more)
    assert before.items() <= after.items()
    assert len(after) == len(before) + 1


def test_a_killed_sweep_goes_on_with_the_trial_that_was_under_way(tmp_path):
    asked = (*COMMON, "unlearner=neggrad", "seed=0,1", "tuning.trials=3")
    process = cli.start("-m", *asked, "hydra.sweep.dir=sweep", cwd=tmp_path)
    while process.poll() is None and not stamps(tmp_path / "sweep"):
        time.sleep(0.005)
    assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before = stamps(tmp_path / "sweep")
    folder, _ = sweep(*asked, cwd=tmp_path)
    assert before, "the first trial was over"
    assert before.items() <= stamps(folder).items(), "nothing is done twice"
    assert len(stamps(folder)) == 3
    (tmp_path / "whole").mkdir()
    whole, _ = sweep(*asked, cwd=tmp_path / "whole")
    assert (folder / "sweep.csv").read_bytes() == (whole / "sweep.csv").read_bytes()


def test_two_workers_share_the_trials_of_one_method(tmp_path):
    two = ("hydra/launcher=parallel", "hydra.launcher.n_jobs=2")
    asked = (*COMMON, "unlearner=neggrad", "seed=0,1", "tuning.trials=3")
    ended = cli.wait(cli.start("-m", *asked, *two, "hydra.sweep.dir=sweep", cwd=tmp_path))
    assert ended.code == 0, ended.err
    for number in range(1, 4):
        assert (ended.out + ended.err).count(f"trial {number} of 3:") == 1
    cells = json.loads((tmp_path / "sweep" / "sweep.json").read_text())["cells"]
    assert len({cell["summary"]["tuning_trial"] for cell in cells}) == 1


def test_one_run_keeps_its_trials_in_its_own_folder_and_goes_on(tmp_path):
    asked = (*COMMON, "unlearner=neggrad", "tuning.trials=2", "hydra.run.dir=one")
    assert cli.expunge(*asked, cwd=tmp_path).code == 0
    before, ledger = stamps(tmp_path / "one"), cli.ledger(tmp_path / "one")
    assert len(before) == 2
    assert cli.summary(tmp_path / "one")["tuning_trials"] == 2
    refused = cli.expunge(*asked, cwd=tmp_path)
    assert refused.code == 2
    assert "already holds a run" in refused.err
    assert cli.expunge(*asked, "resume=true", cwd=tmp_path).code == 0
    assert stamps(tmp_path / "one") == before
    assert cli.expunge(*asked, "force=true", cwd=tmp_path).code == 0
    assert cli.ledger(tmp_path / "one") == ledger
    assert stamps(tmp_path / "one").keys() == before.keys()
    assert stamps(tmp_path / "one") != before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tuning.trials=0",), "tuning.trials: got 0, allowed: a whole number from 1 to"),
        (
            ("seed=10001",),
            "tuning.seed: got '10000 (and 10001) beside seed=10001', allowed: seeds that no run",
        ),
        (("unlearner.lr=0.1",), "unlearner.lr: got 'a value', allowed: nothing beside tuning=equal"),
        (("tuning.validation=0.00001",), "tuning.validation: got 1e-05, allowed: a share"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, arguments, said):
    ended = cli.expunge(*COMMON, "unlearner=neggrad", *arguments, "hydra.run.dir=one", cwd=tmp_path)
    assert ended.code == 2
    assert ended.err.startswith(f"expunge: {said}"), ended.err
    assert ended.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_trials_that_fail_count_and_are_not_repeated(tmp_path, monkeypatch):
    monkeypatch.setattr(Neggrad, "search_space", {"lr": (-1.0, 0.02)})
    asked = (*COMMON, "unlearner=neggrad", "tuning.trials=4", "seed=0")
    folder, _ = sweep(*asked, cwd=tmp_path)
    (choice,) = choices(folder).values()
    failed = [one for one in choice["trials"] if one["status"] == "failed"]
    assert len(choice["trials"]) == 4
    assert 0 < len(failed) < 3
    for one in failed:
        assert (one["settings"], one["score"]) == ({"lr": -1.0}, None)
        assert one["error"].startswith("unlearner.lr: got -1.0, allowed: a finite number > 0")
    before = stamps(folder)
    assert stamps(sweep(*asked, cwd=tmp_path)[0]) == before

    monkeypatch.setattr(Neggrad, "search_space", {"lr": (-1.0,)})
    folder, ended = sweep(*asked, cwd=tmp_path, code=2)
    assert "tuning: all trials of the search space failed (unlearner.lr: got -1.0" in ended.err


# Test rows by which another trial would be chosen

OWN = (
    *("dataset=arrays", "dataset.path=rows.npz", "dataset.test_path=test.npz", "dataset.unit=16"),
    *("model=mlp", "model.hidden=[20]", "training.epochs=2", "removal=class", "removal.class=3"),
    *("removal.count=null", "removal.batch_size=null", "metrics=[tow]", "threads=1", "figures=false"),
)


def predicted(folder: Path, x: np.ndarray) -> np.ndarray:
    """What the network of a run says of rows, by hand."""
    arrays = load_state(folder / "model.safetensors").arrays
    layers = [
        (arrays[key], arrays[key.replace("weight", "bias")]) for key in sorted(arrays) if "weight" in key
    ]
    for place, (weight, bias) in enumerate(layers):
        x = x @ weight.T + bias
        x = np.maximum(x, 0) if place < len(layers) - 1 else x
    return x.argmax(axis=1)


def plain(cwd: Path, folder: str, *settings: str) -> Path:
    ended = cli.expunge(*OWN, *settings, f"hydra.run.dir={folder}", cwd=cwd)
    assert ended.code == 0, ended.err
    return cwd / folder


def test_no_test_row_has_a_say_in_the_choice(tmp_path):
    digits = load()
    x, y = digits.x_train.reshape(len(digits.x_train), -1), digits.y_train
    pool, truth = digits.x_test.reshape(len(digits.x_test), -1), digits.y_test
    np.savez(tmp_path / "rows.npz", x=x, y=y)
    np.savez(tmp_path / "test.npz", x=pool, y=truth)
    method = ("unlearner=neggrad", "unlearner.val_gap=null")  # a guard would look at these rows, and refuse
    how = (*OWN, *method, "tuning=equal", "tuning.trials=4", "seed=0")
    (choice,) = choices(sweep(*how, cwd=tmp_path)[0]).values()
    every = [one["settings"] for one in choice["trials"]]
    best = every.pop(choice["chosen"])

    def settings(one: dict) -> tuple[str, ...]:
        return (*method, *(f"unlearner.{key}={value}" for key, value in one.items()))

    retrained = predicted(plain(tmp_path, "retrained", "unlearner=retrain"), pool / 16)
    of_best = predicted(plain(tmp_path, "best", *settings(best)), pool / 16)
    # Rows by which the chosen settings look as bad as can be.
    against = (retrained == truth) & (of_best != truth)
    assert against.any()
    np.savez(tmp_path / "test.npz", x=pool[against], y=truth[against])
    tow = [
        cli.summary(plain(tmp_path, f"on-{k}", *settings(one)))["tow"] for k, one in enumerate((best, *every))
    ]
    assert tow[0] < max(tow[1:]), "by the test rows another would be chosen"
    before = stamps(tmp_path / "sweep")
    folder, ended = sweep(*how, cwd=tmp_path)
    assert stamps(folder) == before, "the inputs of the trials are the same"
    assert "trial 1 of" not in ended.out
    (again,) = choices(folder).values()
    assert again == choice
    assert json.loads((folder / "sweep.json").read_text())["cells"][0]["summary"]["tow"] == pytest.approx(
        tow[0]
    )
