"""Deep unlearning from the command line: what a run leaves, how a killed one goes on, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file

from expunge.datasets import digits_3v8
from tests import cli
from tests.cli import SMALL

FAST = ("model=mlp", "model.hidden=[8]", "training.epochs=2", "training.batch_size=32")
SCRUB = ("unlearner.n_perturbations=60", "unlearner.noise_epsilon=null", "unlearner.val_gap=null")
SETTINGS = {
    "lcodec": SCRUB,
    "kfac": ("unlearner.curvature_rows=100", "unlearner.val_gap=null"),
    "finetune": ("unlearner.max_batches=2", "unlearner.val_gap=null"),
    "gradient_ascent": ("unlearner.val_gap=null",),
    "retrain": (),
    "none": (),
}


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path_factory):
    """Trained networks are kept apart from the user's."""
    monkeypatch.setenv("EXPUNGE_CACHE", str(tmp_path_factory.getbasetemp() / "trained"))


def arguments(method: str, *more: str) -> tuple[str, ...]:
    return *SMALL, *FAST, f"unlearner={method}", *SETTINGS[method], *more


@pytest.mark.parametrize("method", SETTINGS)
def test_a_run_accounts_for_every_request(method, tmp_path):
    folder = cli.completed(
        *arguments(method, "removal.count=4", "removal.batch_size=2"), folder=tmp_path / "r"
    )
    records, summary = cli.records(folder), cli.summary(folder)
    assert [record["request"] for record in records] == [1, 2, 3, 4]
    counts = [summary[outcome] for outcome in ("removed", "retrained", "refused")]
    assert sum(counts) == summary["requests"] == 4
    assert summary[{"retrain": "retrained", "none": "refused"}.get(method, "removed")] == 4
    assert records[-1]["retained"] == 286 - (0 if method == "none" else 8)
    for record in records:
        assert record["residual_bound"] is record["budget"] is record["epsilon_spent"] is None
        assert record["sample_gradient_before"] > 0
        assert (record["sample_loss_before"] == record["sample_loss_after"]) == (method == "none")
    assert records[-1]["retain_loss"] > 0
    assert summary["retain_gradient_norm"] == records[-1]["retain_gradient_norm"]
    means = [record["sample_loss_after"] for record in records]
    assert summary["sample_loss_after"] == pytest.approx(np.mean(means))
    assert ("validation_accuracy" in summary) == (method not in ("retrain", "none"))
    model = load_file(folder / "model.safetensors")
    assert {name: array.shape for name, array in model.items()} == {
        "1.weight": (8, 64),
        "1.bias": (8,),
        "3.weight": (2, 8),
        "3.bias": (2,),
    }


def test_the_distance_to_the_retrained_network(tmp_path):
    """Where the rows of one request are all there are, `retrain` itself is the reference."""
    metrics = "metrics=[network,retrained]"
    exact, idle = (
        cli.summary(cli.completed(*arguments(m, metrics, "removal.count=1"), folder=tmp_path / m))
        for m in ("retrain", "none")
    )
    assert exact["retrain_weight_distance"] == exact["retrain_disagreement"] == 0
    assert idle["retrain_weight_distance"] > 0
    assert exact["retrain_test_accuracy"] == exact["test_accuracy_after"] == idle["retrain_test_accuracy"]


def test_the_network_is_trained_once_for_all_unlearners(tmp_path, caplog):
    first = cli.completed(*arguments("none", "seed=77", "removal.count=1"), folder=tmp_path / "a")
    second = cli.completed(*arguments("lcodec", "seed=77", "removal.count=1"), folder=tmp_path / "b")
    assert cli.summary(first)["seconds_fit"] == cli.summary(second)["seconds_fit"]
    before = "test_accuracy_before"
    assert cli.summary(first)[before] == cli.summary(second)[before]


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_a_class_can_be_removed(share, tmp_path):
    values = ("removal=class", "removal.class=8", f"removal.share={share}", "removal.batch_size=30")
    folder = cli.completed(*arguments("retrain", *values, "training.epochs=10"), folder=tmp_path / "r")
    rows = [row for record in cli.records(folder) for row in record["rows"]]
    of_class = np.flatnonzero(digits_3v8.load().y_train == -1)
    assert len(rows) == len(set(rows)) == round(share * len(of_class))
    assert set(rows) <= set(of_class.tolist())
    accuracy = cli.records(folder)[-1]["forget_accuracy"]
    assert accuracy == 0 if share == 1.0 else accuracy > 0.8


REFUSING = ("unlearner.val_gap=0.02", "unlearner.mode=ascent", "unlearner.lr=3", "unlearner.selector=random")


@pytest.fixture(scope="module")
def long():
    """A stream with removed and refused requests, and noise."""
    return arguments(
        "lcodec", *REFUSING, "removal.count=60", "checkpoint_every=10", "unlearner.noise_epsilon=1e4"
    )


@pytest.fixture(scope="module")
def unbroken(long, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPUNGE_CACHE", str(tmp_path_factory.getbasetemp() / "trained"))
        return cli.completed(*long, folder=tmp_path_factory.mktemp("unbroken") / "run")


def test_a_refused_request_leaves_its_rows(unbroken):
    records = cli.records(unbroken)
    outcomes = [record["outcome"] for record in records]
    assert {"removed", "refused"} == set(outcomes)
    removed = 0
    for record in records:
        removed += record["outcome"] == "removed"
        assert (record["removed_total"], record["retained"]) == (removed, 286 - removed)
        if record["outcome"] == "refused":
            assert record["reason"].startswith("validation accuracy fell from ")
            assert record["sample_loss_before"] == record["sample_loss_after"]


def test_a_killed_run_ends_like_an_unbroken_one(long, unbroken, tmp_path):
    begun = cli.killed(*long, folder=tmp_path, lines=25)
    assert cli.served(begun) >= 20
    ended = cli.expunge(*long, "resume=true", f"hydra.run.dir={begun}", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert cli.ledger(begun) == cli.ledger(unbroken)
    assert (begun / "model.safetensors").read_bytes() == (unbroken / "model.safetensors").read_bytes()


def test_both_papers_meet_in_one_table(tmp_path):
    """The scrub on the certified model: the same data, the same b, the residual measured."""
    exact = ("unlearner.curvature=exact", "unlearner.curvature_tol=1e-12", "unlearner.selector=all")
    scrub = ("unlearner=lcodec", "unlearner.l2=1e-3", *exact, *SCRUB)  # l2 = lam: the penalty itself
    methods = {
        "newton": ("unlearner=newton",),
        "lcodec": scrub,
        "fd": ("unlearner=lcodec_published", *SCRUB),
    }
    found = {
        name: cli.summary(
            cli.completed(*SMALL, *method, "unlearner.std=1", "removal.count=3", folder=tmp_path / name)
        )
        for name, method in methods.items()
    }
    assert {run["removed"] for run in found.values()} == {3}
    assert found["newton"]["test_accuracy_before"] == found["lcodec"]["test_accuracy_before"]
    assert found["lcodec"]["budget"] is None
    assert found["lcodec"]["residual_measured"] < found["newton"]["residual_bound"]
    assert found["fd"]["residual_measured"] > 10 * found["lcodec"]["residual_measured"]


BAD = {
    "unlearner=newton": ("model: got 'mlp'", "logistic with unlearner=newton"),
    "training=newton": ("training: got 'newton'", "sgd or adam for a network"),
    "model=logistic": ("training: got 'sgd'", "newton with model=logistic"),
    "unlearner.lam=1": ("unlearner.lam: got 1", "null for a network"),
    "unlearner.selector=foci": ("unlearner.selector: got 'foci'", "lfoci, cheap, random, one, all"),
    "unlearner.curvature=hessian": ("unlearner.curvature: got 'hessian'", "fd, fisher, exact, ggn, kfac"),
    "unlearner.mode=newton": ("unlearner.mode: got 'newton'", "sekhari, cr, ascent"),
    "unlearner.val_gap=2": ("unlearner.val_gap: got 2", "strictly between 0 and 1"),
    "unlearner.l2=0": ("unlearner.l2: got 0", "a finite number > 0"),
    "unlearner.penalty=-1": ("unlearner.penalty: got -1", "a finite number >= 0"),
    "training.epochs=0": ("unlearner.curvature: got 'fd'", "where training.epochs is 0"),
    "training.epochs=-1": ("training.epochs: got -1", "a whole number >= 0"),
    "training.lr=1e9": ("training.lr: got 1000000000.0", "a smaller value"),
    "model.hidden=[0]": ("model.hidden", "whole numbers >= 1"),
    "model.weights=/nowhere/at.safetensors": ("model.weights: /nowhere/at.safetensors: no such file", ""),
    "model=vgg11": ("model: got 'vgg11 on images of 8 x 8 pixels'", "at least 32 x 32"),
    "cache_dir=3": ("cache_dir: got 3", "the path of a folder"),
    "+unlearner.nope=1": (
        "unlearner: got 'nope'",
        "name, val_gap, refit, refit_epochs, refit_lr, refit_weight, selector",
    ),
}


@pytest.mark.parametrize("argument", BAD)
def test_bad_input_is_one_line_that_names_the_key(argument, tmp_path):
    named, allowed = BAD[argument]
    first = [a for a in FAST if not argument.startswith("model=") or not a.startswith("model")]
    training = ("training=sgd", *first) if argument == "model=logistic" else first
    training = [a for a in training if argument != "training=newton" or not a.startswith("training.")]
    scrub = "lcodec_published" if argument == "training.epochs=0" else "lcodec"
    method = () if argument.startswith("unlearner=") else (f"unlearner={scrub}",)
    ended = cli.expunge(*SMALL, *training, *method, argument, "hydra.run.dir=run", cwd=tmp_path)
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert line.startswith(f"expunge: {named}")
    assert allowed in line
    assert not (tmp_path / "run").exists()


def test_methods_for_networks_say_so(tmp_path):
    ended = cli.expunge(*SMALL, "unlearner=finetune", cwd=tmp_path)
    assert ended.code == 2
    assert ended.err == "expunge: model: got 'logistic', allowed: a network with unlearner=finetune\n"


def test_weights_of_a_run_can_be_begun_from(tmp_path):
    first = cli.completed(*arguments("none", "removal.count=1"), folder=tmp_path / "a")
    weights = f"model.weights={first / 'model.safetensors'}"
    again = (
        "training.epochs=0",
        weights,
        "removal.count=1",
        "unlearner.curvature=ggn",
        "unlearner.penalty=0.01",
    )
    second = cli.completed(*arguments("lcodec", *again), folder=tmp_path / "b")
    before = "test_accuracy_before"
    assert cli.summary(first)[before] == cli.summary(second)[before]
    other = ("training.epochs=0", weights, "model.hidden=[9]", "unlearner.curvature=ggn")
    ended = cli.expunge(*arguments("lcodec", *other), "hydra.run.dir=c", cwd=tmp_path)
    assert ended.code == 2
    assert "1.bias has shape (8,)" in ended.err or "1.weight has shape (8, 64)" in ended.err
    assert not (tmp_path / "c").exists()
