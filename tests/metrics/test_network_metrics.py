"""Losses, gradients and retrained references along a run: when they are taken, and what the files hold."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.columns import Column
from expunge.core.files import State
from expunge.datasets import Dataset
from expunge.metrics.residual import Residual
from expunge.predictors import Differentiable
from expunge.predictors.linear import LinearModel
from expunge.record.columns import MEMORY, SIZES, STORED
from expunge.record.ledger import KEYS
from expunge.record.requests import Request
from expunge.record.summary import summarise
from expunge.run.experiment import Experiment
from expunge.run.runner import run
from expunge.tracking.none import NoTracker
from expunge.unlearners import Outcome
from tests import cli
from tests.oracles import logistic as oracle
from tests.problems import labels, make, problems

SAMPLE = ["sample_loss_before", "sample_loss_after", "sample_gradient_before", "sample_gradient_after"]
RETAINED = ["retain_loss", "retain_gradient_norm"]
RETRAINED = [
    *("retrain_weight_distance", "retrain_disagreement", "retrain_test_accuracy"),
    *("retrain_forget_accuracy", "retrain_retain_accuracy", "retrain_retain_gradient_norm"),
]
METRICS = "metrics=[accuracy,residual,sample,retained,retrained]"


# The linear model


def fitted(problem):
    model = LinearModel(lam=problem.lam, std=1.0)
    model.fit(problem.rows, labels(problem), 0)
    return model


@given(problems, st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_losses_and_gradient_of_chosen_rows(problem, m):
    model, y = LinearModel(lam=problem.lam, std=1.0), labels(problem)
    model.fit(problem.rows, y, 0)
    rows = np.random.default_rng(m).choice(problem.n, m, replace=False)
    x, zero = problem.rows.dense()[rows], np.zeros(problem.rows.dim)
    each = [oracle.loss(x[[i]], problem.y[rows[[i]]], 0.0, zero, model.w) for i in range(m)]
    np.testing.assert_allclose(model.losses(problem.rows, y, rows), each, rtol=1e-12)
    gradient = oracle.gradient(x, problem.y[rows], 0.0, zero, model.w) / m
    assert model.gradient_norm(problem.rows, y, rows) == pytest.approx(np.linalg.norm(gradient), rel=1e-10)


def test_gradient_is_that_of_the_losses():
    """Central differences of the mean of ``losses``, over more rows than one block holds."""
    problem = make(3, n=2500, d=4)
    model, y, rows = fitted(problem), labels(problem), np.arange(2400)
    w, gradient = model.w, np.zeros(4)
    for j in range(4):
        step = 1e-5 * np.eye(4)[j]
        ends = []
        for point in (w + step, w - step):
            model.columns = [replace(model.columns[0], w=point)]
            ends.append(model.losses(problem.rows, y, rows).mean())
        gradient[j] = (ends[0] - ends[1]) / 2e-5
    model.columns = [replace(model.columns[0], w=w)]
    assert model.gradient_norm(problem.rows, y, rows) == pytest.approx(np.linalg.norm(gradient), rel=1e-6)


def test_removed_rows_still_have_a_loss():
    problem, y = make(4, n=60), labels(make(4, n=60))
    model = LinearModel(lam=problem.lam, std=1.0)
    model.fit(problem.rows, y, 0)
    before = model.losses(problem.rows, y, np.array([5]))
    model.refit(np.array([5]))
    after = model.losses(problem.rows, y, np.array([5]))
    assert after[0] > before[0]
    assert after[0] == pytest.approx(
        np.logaddexp(0, -problem.y[5] * (problem.rows.dense()[5] @ model.w)), 1e-14
    )


@pytest.mark.parametrize("kind", ["float64", "uint8"])
def test_retrained_is_the_minimiser_over_the_rows_given(kind):
    problem = make(5, n=80, d=4, kind=kind)
    model, y = fitted(problem), labels(problem)
    model.refit(np.array([1, 2]))
    before, kept = model.w.copy(), np.arange(3, 80)
    reference = model.retrained(problem.rows, y, kept)
    x = problem.rows.dense()[kept]
    best = oracle.minimise(x, problem.y[kept], problem.lam, model.problem.b)
    np.testing.assert_allclose(reference.w, best, atol=1e-7)
    np.testing.assert_array_equal(reference.model()["perturbation"], model.problem.b)
    np.testing.assert_array_equal(model.w, before)
    assert model.problem.n == 78, "the model itself is left as it was"


def test_linear_models_are_differentiable_and_simple_plugins_need_not_be():
    assert isinstance(LinearModel(), Differentiable)
    assert not isinstance(Slow(), Differentiable)


# A run by the command


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "run"
    values = ("removal.count=7", "removal.batch_size=3", "metrics.retained.every=3")
    return cli.completed(*cli.SMALL, METRICS, *values, folder=folder)


def test_columns_follow_those_of_the_contract(served):
    records = cli.records(served)
    assert [list(record) for record in records] == [[*KEYS, MEMORY, *SAMPLE, *RETAINED, *RETRAINED]] * 7
    assert all(record[name] is not None for record in records for name in SAMPLE)
    assert [record["retain_loss"] is not None for record in records] == [False, False, True] * 2 + [True]
    assert [record["retrain_disagreement"] is not None for record in records] == [False] * 6 + [True]


def test_forgetting_raises_the_loss_of_the_sample(tmp_path):
    common = (*cli.SMALL, "metrics=[sample]", "removal.count=5", "unlearner.std=0")
    for record in cli.records(cli.completed(*common, "unlearner=retrain", folder=tmp_path / "retrain")):
        assert record["sample_loss_after"] > record["sample_loss_before"]
        assert record["sample_gradient_after"] > record["sample_gradient_before"] > 0
    for record in cli.records(cli.completed(*common, "unlearner=none", folder=tmp_path / "none")):
        assert record["sample_loss_after"] == record["sample_loss_before"]
        assert record["sample_gradient_after"] == record["sample_gradient_before"]


def test_summary_has_them_at_its_end(served):
    records, summary = cli.records(served), cli.summary(served)
    described = [STORED, "role", "inputs", "guarantee", "columns", "versions"]
    assert list(summary)[-18:] == [*SAMPLE, *RETAINED, *RETRAINED, *described]
    assert {*SAMPLE, *RETAINED, *RETRAINED} <= set(summary["columns"])
    for name in SAMPLE:
        assert summary[name] == pytest.approx(np.mean([record[name] for record in records]), rel=1e-12)
    for name in RETAINED + RETRAINED:
        assert summary[name] == records[-1][name]
    assert 0 < summary["retrain_weight_distance"] < 1
    assert 0 <= summary["retrain_disagreement"] < 0.1


def test_without_them_the_summary_is_as_it_was(tmp_path, served):
    plain = cli.completed(*cli.SMALL, "removal.count=1", folder=tmp_path / "plain")
    assert set(cli.summary(served)) - set(cli.summary(plain)) == {*SAMPLE, *RETAINED, *RETRAINED}
    assert list(cli.records(plain)[0]) == [*KEYS, MEMORY]


def test_exact_methods_are_their_own_reference(tmp_path):
    common = (*cli.SMALL, "metrics=[retrained]", "removal.count=4")
    retrain = cli.completed(*common, "unlearner=retrain", folder=tmp_path / "retrain")
    assert cli.summary(retrain)["retrain_weight_distance"] < 1e-9
    assert cli.summary(retrain)["retrain_disagreement"] == 0
    none = cli.completed(*common, "unlearner=none", folder=tmp_path / "none")
    assert cli.summary(none)["retrain_weight_distance"] > 1e-6
    assert cli.summary(none)["retrain_test_accuracy"] == cli.summary(retrain)["retrain_test_accuracy"]


def test_metrics_of_a_network_compose(tmp_path):
    folder = cli.completed(*cli.SMALL, "metrics=[network]", "removal.count=2", folder=tmp_path / "run")
    assert list(cli.records(folder)[1]) == [*KEYS, MEMORY, *SAMPLE, *RETAINED]
    assert cli.records(folder)[0]["test_accuracy"] is None
    assert cli.summary(folder)["test_accuracy_before"] is not None


def test_bad_interval_gives_one_line(tmp_path):
    ended = cli.expunge(*cli.SMALL, "metrics=[retrained]", "metrics.retrained.every=0", cwd=tmp_path)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "metrics.retrained.every: got 0, allowed: a whole number >= 1, or null" in ended.err


def test_killed_run_ends_like_an_unbroken_one(tmp_path):
    values = (*cli.SMALL, METRICS, "unlearner=newton_corrected", "removal.count=150", "checkpoint_every=40")
    unbroken = cli.completed(*values, folder=tmp_path / "unbroken")
    begun = cli.killed(*values, folder=tmp_path, lines=50)
    assert cli.served(begun) >= 40
    cli.completed(*values, "resume=true", folder=begun)
    assert cli.ledger(begun) == cli.ledger(unbroken)
    ours, theirs = cli.summary(begun), cli.summary(unbroken)
    assert list(ours) == list(theirs)
    assert all(ours[name] == theirs[name] for name in SAMPLE + RETAINED + RETRAINED)


# The runner's part


class Slow:
    """Forgets nothing, notes what happens to it, and can be told to stop at a request."""

    name = "slow"

    def __init__(self, notes=None, stop_at=None, figures=dict):
        self.notes, self.stop_at, self.figures = [] if notes is None else notes, stop_at, figures
        self.served = 0

    def fit(self, x, y, seed):
        self.notes.append("fit")

    def validate_on(self, x, y):
        self.notes.append(f"validate on {len(y)}")

    def remove(self, rows):
        if self.served == self.stop_at:
            raise KeyboardInterrupt
        self.served += 1
        self.notes.append(f"remove {list(rows)}")
        return Outcome("removed", tuple(rows), figures=self.figures())

    def predict(self, x):
        return np.zeros(len(x), dtype=np.int64)

    def residual(self):
        return None

    def model(self):
        return {"w": np.zeros(1)}

    def state(self):
        return State({"served": np.array([self.served])})

    def load_state(self, state, x, y):
        self.served = int(state.arrays["served"][0])
        self.notes.append("load")


class Noting:
    """Notes when it is asked and what it is shown."""

    columns = ("noted",)

    def __init__(self, notes, every=1, value=1.0):
        self.notes, self.every, self.value = notes, every, value

    def before(self, view):
        time.sleep(0.02)
        self.notes.append(f"before {list(view.rows)}, {view.requested.sum()} requested")

    def __call__(self, view):
        self.notes.append(f"after {list(view.rows)}, {view.requested.sum()} requested")
        return {"noted": self.value}


class Raw:
    def extract(self, dataset):
        return dataset.x_train, dataset.x_test


def experiment(unlearner, metrics, count=3, checkpoint_every=100):
    y = np.arange(10) % 2
    return Experiment(
        settings={},
        dataset=Dataset("toy", np.zeros((10, 1)), y, np.zeros((2, 1)), y[:2], {0: "a", 1: "b"}),
        extractor=Raw(),
        unlearner=unlearner,
        requests=[Request(k + 1, (2 * k, 2 * k + 1)) for k in range(count)],
        metrics=metrics,
        tracker=NoTracker(),
        seed=0,
        checkpoint_every=checkpoint_every,
        progress=False,
        facts=dict.fromkeys(("dataset", "extractor", "model", "unlearner")),
    )


def test_a_metric_sees_the_model_before_and_after_each_request(tmp_path):
    notes = []
    run(experiment(Slow(notes), [Noting(notes)], count=2), tmp_path)
    assert notes == [
        *("fit", "validate on 2"),
        *("before [0, 1], 0 requested", "remove [0, 1]", "after [0, 1], 2 requested"),
        *("before [2, 3], 2 requested", "remove [2, 3]", "after [2, 3], 4 requested"),
    ]
    assert all(record["seconds"] < 0.02 for record in cli.records(tmp_path)), "its time is not the removal's"


@pytest.mark.parametrize(("every", "asked"), [(None, [3]), (2, [2, 3]), (1, [1, 2, 3])])
def test_a_metric_is_asked_where_it_is_due(tmp_path, every, asked):
    notes = []
    run(experiment(Slow(), [Noting(notes, every)]), tmp_path)
    rows = [f"[{2 * k - 2}, {2 * k - 1}]" for k in asked]
    expected = [f"{when} {which}" for which in rows for when in ("before", "after")]
    assert [note.rpartition(",")[0] for note in notes] == expected
    assert [k for k, record in enumerate(cli.records(tmp_path), 1) if record["noted"] is not None] == asked


def test_requests_served_again_are_not_looked_at_again(tmp_path):
    notes = []
    begun = experiment(Slow(notes, stop_at=3), [Noting(notes)], count=4, checkpoint_every=2)
    with pytest.raises(KeyboardInterrupt):
        run(begun, tmp_path)
    notes.clear()
    run(experiment(Slow(notes), [Noting(notes)], count=4, checkpoint_every=2), tmp_path)
    assert notes == [
        *("load", "validate on 2", "remove [4, 5]"),
        *("before [6, 7], 6 requested", "remove [6, 7]", "after [6, 7], 8 requested"),
    ]
    assert [record["noted"] for record in cli.records(tmp_path)] == [1.0] * 4


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float64("-inf"), None])
def test_what_json_has_no_number_for_is_null(tmp_path, value):
    run(experiment(Slow(figures=lambda: {"units": value}), [Noting([], value=value)]), tmp_path)
    assert [(record["noted"], record["units"]) for record in cli.records(tmp_path)] == [(None, None)] * 3
    assert (cli.summary(tmp_path)["noted"], cli.summary(tmp_path)["units"]) == (None, None)


def test_figures_of_the_method_follow_the_metrics(tmp_path):
    counted = iter(range(5, 9))
    unlearner = Slow(figures=lambda: {"units": next(counted), "step_norm": 0.5})
    run(experiment(unlearner, [Noting([]), Residual()]), tmp_path)
    assert list(cli.records(tmp_path)[0])[len(KEYS) :] == [MEMORY, "noted", "units", "step_norm"]
    assert [record["units"] for record in cli.records(tmp_path)] == [5, 6, 7]
    summary = cli.summary(tmp_path)
    own = [key for key in summary if key not in ("role", "not_measured", "columns")]
    assert own[-5:] == ["noted", "units", "step_norm", STORED, "versions"]
    assert set(summary["columns"]) == {"noted", "residual_measured", *SIZES}
    assert cli.summary(tmp_path)["units"] == 7


@pytest.mark.parametrize("known", [None, 123.5])
def test_time_of_a_training_that_was_done_before(tmp_path, known):
    unlearner = Slow()
    unlearner.seconds_fit = known
    run(experiment(unlearner, []), tmp_path)
    found = cli.summary(tmp_path)["seconds_fit"]
    assert found == 123.5 if known else found < 1


def records(**columns):
    """A record for each entry of the columns, which are of one length."""
    length = len(next(iter(columns.values())))
    plain = dict.fromkeys(KEYS) | {"outcome": "removed", "seconds": 1.0}
    return [plain | {name: values[k] for name, values in columns.items()} for k in range(length)]


HOW = ("mean", "last", "mean")


def test_summary_takes_the_mean_or_the_last_value_defined_or_not():
    facts = dict.fromkeys(("dataset", "extractor", "model", "unlearner", "seed", "n_train", "n_test"))
    facts["seconds_fit"] = 1.0
    found = records(a=[1.0, None, 3.0], b=[None, 2.0, None], c=[None] * 3, test_accuracy=[1.0] * 3)
    del found[0]["b"]  # a figure that this request never came to
    summary = summarise(found, facts, {k: Column(k, over_run=how) for k, how in zip("abc", HOW, strict=True)})
    assert {name: summary[name] for name in "abc"} == {"a": 2.0, "b": None, "c": None}
    assert "test_accuracy" not in summary
    assert json.loads(json.dumps(summary, allow_nan=False))["a"] == 2.0
    assert summarise(records(removed=[5.0]), facts)["removed"] == 1, "what the contract lists stays"


def test_summary_leaves_out_figures_of_updates_that_were_taken_back():
    facts = dict.fromkeys(("dataset", "extractor", "model", "unlearner", "seed", "n_train", "n_test"))
    facts["seconds_fit"] = 1.0
    found = records(units=[3.0, 4.0, 9.0], loss=[0.5, 0.6, 0.7])
    found[2]["outcome"] = "refused"
    summary = summarise(found, facts, {"loss": Column("loss")})
    assert (summary["units"], summary["loss"]) == (4.0, 0.7)
