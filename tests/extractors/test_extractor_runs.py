"""Extractors and heads of many classes from the command line: one guarantee, caches, and what is refused."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from expunge.datasets import digits
from expunge.extractors.accounting import Accounting
from expunge.linear.rows import Rows
from tests import cli

BASE = ("dataset=digits", "figures=false", "threads=1", "unlearner=newton_corrected", "removal.count=3")
DP = ("extractor=dp", "extractor.filters=[6]", "extractor.kernel=3", "extractor.epochs=2")
DP = (*DP, "extractor.batch_size=200")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    """Trained extractors and features are kept apart from the user's, and from those of other tests."""
    monkeypatch.setenv("EXPUNGE_CACHE", str(tmp_path / "cache"))


def refused(*arguments: str, folder: Path) -> str:
    """The one line of a command that must fail, and leave nothing."""
    ended = cli.expunge(*arguments, "hydra.run.dir=run", cwd=folder)
    assert ended.code == 2
    assert ended.err.startswith("expunge: ")
    assert ended.err.count("\n") == 1
    assert not (folder / "run").exists()
    return ended.err


# -- one guarantee --------------------------------------------------------------------------------------


def test_the_guarantee_of_a_private_extractor_and_its_head_is_the_sum(tmp_path):
    folder = cli.completed(*BASE, *DP, "unlearner.noise=lattice", folder=tmp_path / "run")
    summary = cli.summary(folder)
    spent = Accounting(1438, 200, 1e-5).epsilon(6.0, 2 * 8)
    assert summary["extractor_steps"] == 16
    assert summary["extractor_epsilon"] == pytest.approx(spent)
    assert summary["epsilon_total"] == pytest.approx(spent + 1.0)
    assert summary["delta_total"] == pytest.approx(1e-5 + 1e-4)
    assert summary["not_covered"] is None
    assert summary["extractor"] == "dp"
    assert 0 < summary["extractor_test_accuracy"] < summary["test_accuracy_after"]
    keys = list(summary)
    assert keys[keys.index("delta") + 1 :][:3] == ["epsilon_total", "delta_total", "not_covered"]
    assert keys[-1] == "versions"


def test_epsilon_is_that_of_the_steps_taken(tmp_path):
    stopped = (*BASE, *DP, "extractor.max_batches=3", "extractor.accountant=rdp_wide")
    summary = cli.summary(cli.completed(*stopped, folder=tmp_path / "run"))
    assert summary["extractor_steps"] == 6
    spent = Accounting(1438, 200, 1e-5, accountant="rdp_wide").epsilon(6.0, 6)
    assert summary["extractor_epsilon"] == pytest.approx(spent)


@pytest.mark.parametrize("mode", ["full_private", "private", "none"])
def test_an_extractor_that_was_not_trained_costs_nothing(tmp_path, mode):
    arguments = (*BASE, *DP, "extractor.epochs=0", f"extractor.mode={mode}")
    summary = cli.summary(cli.completed(*arguments, folder=tmp_path / "run"))
    assert summary["extractor_steps"] == 0
    assert (summary["epsilon_total"], summary["delta_total"]) == (1.0, 1e-4)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((*DP, "extractor.mode=private"), "as published"),
        ((*DP, "extractor.mode=none"), "without differential privacy"),
        ((*DP, "extractor.scaling=dataset"), "statistics of the training set"),
        (("extractor.scaling=dataset",), "statistics of the training set"),
        (("unlearner=retrain",), "no certificate"),
    ],
)
def test_what_is_not_covered_has_no_total(tmp_path, arguments, reason):
    summary = cli.summary(cli.completed(*BASE, *arguments, folder=tmp_path / "run"))
    assert summary["epsilon_total"] is summary["delta_total"] is None
    assert reason in summary["not_covered"]
    assert summary.get("extractor_epsilon") is None or "scaling" in arguments[-1]


def test_pixels_cost_nothing(tmp_path):
    summary = cli.summary(cli.completed(*BASE, folder=tmp_path / "run"))
    assert (summary["epsilon_total"], summary["delta_total"]) == (summary["epsilon"], summary["delta"])


def test_weights_that_have_seen_the_rows_are_not_covered(tmp_path):
    how = (
        "extractor=pretrained",
        "extractor.weights=null",
        "extractor.image_size=32",
        "dataset.train_rows=100",
    )
    fresh = cli.summary(cli.completed(*BASE, *how, folder=tmp_path / "fresh"))
    assert fresh["epsilon_total"] == 1.0
    seen = (*BASE, *how, "extractor.trained_on_dataset=true")
    summary = cli.summary(cli.completed(*seen, folder=tmp_path / "seen"))
    assert summary["epsilon_total"] is None
    assert "have seen the training rows" in summary["not_covered"]


# -- what a run leaves ----------------------------------------------------------------------------------


def test_the_residual_of_ten_classes_can_be_recomputed_from_the_files(tmp_path):
    how = ("unlearner.subsample_ratio=1", "unlearner.perturbation=gaussian")
    folder = cli.completed(*BASE, *how, folder=tmp_path / "run")
    model, summary = load_file(folder / "model.safetensors"), cli.summary(folder)
    assert {name: a.shape for name, a in model.items()} == {"weight": (64, 10), "perturbation": (64, 10)}
    data = digits.load()
    kept = np.ones(len(data.y_train), dtype=bool)
    for record in cli.records(folder):
        kept[record["rows"]] = False
    x = Rows.normalised(data.x_train.reshape(len(kept), -1), data.raw_offset).dense()[kept]
    y = np.where(data.y_train[kept, None] == np.arange(10), 1.0, -1.0)
    gradient = x.T @ (-y / (1 + np.exp(y * (x @ model["weight"]))))
    gradient += 1e-3 * kept.sum() * model["weight"] + model["perturbation"]
    assert np.linalg.norm(gradient) == pytest.approx(summary["residual_measured"], rel=1e-6, abs=1e-10)
    assert np.linalg.norm(gradient) <= summary["residual_bound"]


def test_a_grid_trains_and_extracts_once(tmp_path, caplog):
    cells = ("unlearner.std=1,10", "unlearner.lam=1e-3,1e-2", "hydra.sweep.dir=sweep")
    ended = cli.expunge("-m", *BASE, *DP, *cells, cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert ended.out.count("the extractor will be") == 1
    assert "taken from" not in ended.out  # the cells share what the first one has in memory
    kinds = sorted(path.name.partition(".")[2] for path in (tmp_path / "cache").iterdir())
    assert kinds == ["features.safetensors", "safetensors"]


@pytest.mark.parametrize("cut", [100, -1])
def test_a_damaged_cache_is_rebuilt_and_never_read(tmp_path, cut):
    first = cli.completed(*BASE, *DP, folder=tmp_path / "first")
    for file in (tmp_path / "cache").iterdir():
        content = file.read_bytes()
        file.write_bytes(content[:cut] if cut > 0 else content[:-1] + bytes([content[-1] ^ 1]))
        file.with_suffix(".lock").touch()  # as a kill leaves it
    ended = cli.expunge(*BASE, *DP, "hydra.run.dir=again", cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert "the features are extracted again" in ended.out
    assert not list((tmp_path / "cache").glob("*.lock"))
    assert "trained again" in ended.out
    assert cli.ledger(tmp_path / "again") == cli.ledger(first)


def test_a_run_on_features_goes_on_where_it_was_killed(tmp_path):
    arguments = (*BASE, *DP, "removal.count=60", "checkpoint_every=7", "unlearner.subsample_ratio=0.3")
    unbroken = cli.completed(*arguments, folder=tmp_path / "unbroken")
    cut = cli.killed(*arguments, folder=tmp_path, lines=15)
    shutil.rmtree(tmp_path / "cache")  # the extractor is trained again, to the same bytes
    ended = cli.expunge(*arguments, "resume=true", f"hydra.run.dir={cut}", cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert cli.ledger(cut) == cli.ledger(unbroken)
    assert (cut / "model.safetensors").read_bytes() == (unbroken / "model.safetensors").read_bytes()


def test_a_training_goes_on_where_it_was_killed_and_costs_the_same(tmp_path, monkeypatch):
    arguments = (*BASE, *DP, "extractor.epochs=30")
    process = cli.start(*arguments, "hydra.run.dir=killed", cwd=tmp_path)
    cache, deadline = tmp_path / "cache", time.monotonic() + 120
    while not list(cache.glob("*.part.safetensors")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    cli.wait(process)
    assert not list(cache.glob("*.features.safetensors"))
    ended = cli.expunge(*arguments, "hydra.run.dir=again", cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert "training goes on after epoch" in ended.out
    monkeypatch.setenv("EXPUNGE_CACHE", str(tmp_path / "other"))
    unbroken = cli.completed(*arguments, folder=tmp_path / "unbroken")
    assert cli.ledger(tmp_path / "again") == cli.ledger(unbroken)
    same = ("extractor_steps", "extractor_epsilon", "extractor_train_accuracy", "epsilon_total")
    one, two = cli.summary(tmp_path / "again"), cli.summary(unbroken)
    assert {key: one[key] for key in same} == {key: two[key] for key in same}
    assert one["extractor_steps"] == 30 * 8


# -- bad input ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "named", "allowed"),
    [
        ((*DP, "extractor.lr=1e30", "extractor.mode=none"), "extractor.lr: got 1e+30", "from 1e-15 to 1e+15"),
        ((*DP, "extractor.noise_multiplier=1e-9"), "extractor.noise_multiplier: got 1e-09", "more noise"),
        ((*DP, "extractor.norm=batch"), "extractor.norm: got 'batch'", "none or group"),
        ((*DP, "extractor.mode=privat"), "extractor.mode: got 'privat'", "full_private"),
        ((*DP, "extractor.noise_multiplier=null"), "extractor.noise_multiplier: got None", "target_epsilon"),
        (
            (*DP, "extractor.noise_multiplier=null", "extractor.target_epsilon=1e-9"),
            "extractor.target_epsilon: got 1e-09",
            "at least",
        ),
        ((*DP, "extractor.batch_size=2000"), "extractor.batch_size: got 2000", "1438"),
        ((*DP, "extractor.filters=[4,4,4]"), "extractor.filters: got", "1"),
        ((*DP, "extractor.delta=1"), "extractor.delta: got 1", "between 0 and 1"),
        ((*DP, "model=softmax", "unlearner=retrain"), "extractor: got 'dp'", "none with a network"),
        (("extractor.scaling=rows",), "extractor.scaling: got 'rows'", "row, declared, dp, dataset"),
        (("unlearner.subsample_ratio=0",), "unlearner.subsample_ratio: got 0", "at most 1"),
        (
            ("dataset=digits_3v8", "unlearner.subsample_ratio=0.5"),
            "unlearner.subsample_ratio: got 0.5",
            "1 with",
        ),
        (
            ("extractor=pretrained", "extractor.architecture=resnet19"),
            "extractor.architecture: got",
            "resnet18",
        ),
        (
            ("extractor=pretrained", "extractor.weights=gone.safetensors"),
            "extractor.weights",
            "gone.safetensors",
        ),
        (("unlearner=lcodec",), "labels: got 10 classes", "allowed: two"),
    ],
)
def test_bad_input_is_one_line_that_names_the_key(tmp_path, arguments, named, allowed):
    line = refused(*BASE, *arguments, folder=tmp_path)
    assert named in line
    assert allowed in line


def test_weights_that_cannot_be_downloaded_are_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    line = refused(*BASE, "extractor=pretrained", folder=tmp_path)
    assert line.startswith("expunge: extractor.weights: ")
    assert "resnet18" in line
