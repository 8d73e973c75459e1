"""The studies ``residual_bounds`` and ``outliers``: beside naive computations, and their reduced runs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread

from expunge.certificate import Account, Guarantee
from expunge.core.errors import UserError
from expunge.linear.rows import spectral_norm, weighted_gram
from expunge.linear.solver import train
from expunge.studies import two_digits
from expunge.studies.outliers import Outliers, removal_norms
from expunge.studies.residual_bounds import BOUNDS, Model, ResidualBounds, facts_of, published_step
from expunge.unlearners.newton import Newton
from tests import cli
from tests.charts.sound import sound
from tests.oracles import logistic
from tests.problems import method, problems

BOUNDS_RUN = ("+experiment=icml2020/mnist_bounds_reduced", "threads=1")
OUTLIERS_RUN = ("+experiment=icml2020/mnist_outliers_reduced", "threads=1")


def arrays(problem):
    return problem.rows.dense(), problem.y, problem.lam, problem.b


def model_at(problem, w):
    return Model(problem, w, problem.gradient(w))


# -- bounds on the residual -----------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(problem=problems, scale=st.sampled_from([0.0, 1.0, 30.0]), seed=st.integers(0, 99))
def test_step_is_the_published_one_and_every_bound_holds(problem, scale, seed):
    """Wherever the model stands, and however many rows leave at once."""
    rng = np.random.default_rng(seed)
    w = scale * rng.normal(size=problem.rows.dim)
    gone = rng.permutation(problem.n)[: rng.integers(1, problem.n)]
    before = model_at(problem, w)
    after = published_step(before, gone)
    expected, stay = logistic.remove_fresh(*arrays(problem), w, gone)
    np.testing.assert_allclose(after.w, expected, rtol=1e-6, atol=1e-9 * (1 + np.abs(w).max()))
    x, y, lam, b = arrays(problem)
    residual = np.linalg.norm(logistic.gradient(x[stay], y[stay], lam, b, after.w))
    assert after.residual == pytest.approx(residual, rel=1e-6, abs=1e-9 * (1 + before.residual))
    spectral = spectral_norm(weighted_gram(problem.rows), problem.n)
    facts = facts_of(before, after, spectral)
    opened = before.residual + problem.rounding(w)
    guarantee = Guarantee(1.0, 1e-4, 1.0, problem.rows.dim)
    worst, dependent, third = (Account(guarantee, bound, opened).after(facts).beta for bound in BOUNDS)
    assert after.residual <= third <= dependent
    assert dependent <= worst * (1 + 1e-12)


def test_facts_are_those_of_the_unlearner():
    """The sum of third_order is what a run with that certificate is charged for the same removals."""
    study = ResidualBounds("digits_3v8", lam=1e-2, std=1.0, removals=12, batch_sizes=[3], points=4)
    record = study.run_cell({"batch_size": 3, "update": "fresh"}, 0)
    unlearner = method(Newton, lam=1e-2, std=1.0, certificate="third_order", at_limit="refuse")
    unlearner.fit(study.rows, study.dataset.y_train, 0)
    order = study.order(0)
    bounds = {3 * k + 3: unlearner.remove(order[3 * k : 3 * k + 3]).residual_bound for k in range(4)}
    assert record["third_order"] == pytest.approx([bounds[n] for n in record["removed"]], rel=0.02)
    assert record["removed"] == [3, 6, 12]


@pytest.fixture(scope="module")
def bounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bounds")
    ended = cli.expunge(*BOUNDS_RUN, "hydra.run.dir=run", cwd=folder)
    assert (ended.code, ended.err) == (0, "")
    lines = (folder / "run" / "results.jsonl").read_text().splitlines()
    records = {(r["batch_size"], r["update"]): r for r in map(json.loads, lines)}
    return folder / "run", records, cli.summary(folder / "run"), ended.out


def test_bounds_are_ordered_at_every_removal(bounds):
    _, records, summary, _ = bounds
    sizes = (1, 10, "all")
    assert list(records) == [(size, update) for size in sizes for update in ("fresh", "corrected")]
    for size in sizes:
        record, own = records[size, "fresh"], summary[f"batch{size}"]
        assert record["ordered"] is own["ordered_everywhere"] is True
        curves = np.array([record[key] for key in ("true", *reversed(BOUNDS))])
        assert np.all(np.diff(curves, axis=0) >= 0)
        assert own["removals"] == record["removed"][-1] == 60
        assert own["data_dependent_over_true"] > own["third_order_over_true"] > 1
        assert own["worst_case_over_data_dependent"] > 1
    for bound in BOUNDS:
        curves = np.array(records[1, "fresh"][bound])
        assert np.all(np.diff(curves) > 0), "what one removal costs is added to what the others cost"


def test_removals_that_would_leave_one_class_are_named():
    study = ResidualBounds("digits_3v8", removals=len(two_digits.load("digits_3v8")[1]) - 1)
    with pytest.raises(UserError, match=r"removals: got \d+, allowed: fewer: rows of two classes must stay"):
        study.run_cell({"batch_size": 1, "update": "corrected"}, 0)


def test_removals_within_the_budget_are_what_a_run_supports(bounds):
    _, records, summary, _ = bounds
    unlearner = method(Newton, lam=1e-2, std=1.0, at_limit="refuse")
    study = ResidualBounds("digits_3v8", lam=1e-2, std=1.0, removals=60)
    unlearner.fit(study.rows, study.dataset.y_train, 0)
    served = 0
    while unlearner.remove([study.order(0)[served]]).outcome == "removed":
        served += 1
    assert records[1, "fresh"]["supported"]["data_dependent"] == served
    assert summary["batch1"]["supported"]["third_order"] > served > 0
    assert summary["budget"] == unlearner.guarantee.budget


def test_corrected_updates_do_not_accumulate(bounds):
    _, records, summary, _ = bounds
    largest = max(records[size, "corrected"]["largest"] for size in (1, 10, "all"))
    assert summary["corrected"]["largest_residual"] == largest < 0.01 * summary["budget"] * 1.0001
    assert summary["batch1"]["corrected"] < summary["batch1"]["true"]
    first = [records[1, update]["true"][0] for update in ("fresh", "corrected")]
    assert first[0] == pytest.approx(first[1], rel=0.5), "the first step is the same but for its factor"


def test_one_batch_and_single_removals_begin_alike(bounds):
    _, records, _, _ = bounds
    for column in ("true", *BOUNDS):
        assert records["all", "fresh"][column][0] == records[1, "fresh"][column][0]


def test_bounds_are_shown(bounds):
    folder, _, _, out = bounds
    assert "60, one by one: data-dependent" in out
    assert "corrected updates (ours)" in out
    sound((folder / "figures" / "residual_bounds.svg").read_text(), "residual of corrected updates (ours)")
    pixels = imread(folder / "figures" / "residual_bounds.png")[..., :3]
    assert pixels.shape[1] > pixels.shape[0] > 300
    assert pixels.std() > 0.05


# -- outliers -------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(problem=problems, scale=st.sampled_from([0.0, 1.0, 10.0]), seed=st.integers(0, 99))
def test_norms_are_those_of_steps_made_one_by_one(problem, scale, seed):
    rng = np.random.default_rng(seed)
    w = scale * rng.normal(size=problem.rows.dim)
    rows = rng.permutation(problem.n)[:8]
    steps = [logistic.remove_fresh(*arrays(problem), w, [row])[0] - w for row in rows]
    np.testing.assert_allclose(
        removal_norms(problem, w, rows), np.linalg.norm(steps, axis=1), rtol=1e-6, atol=1e-9 * scale
    )


def test_norms_do_not_depend_on_the_size_of_a_block(monkeypatch):
    study = Outliers("digits_3v8", show=2)
    trained = method(Newton, lam=1e-2, std=1.0)
    trained.fit(study.rows, study.dataset.y_train, 0)
    rows = np.arange(7, 107)
    whole = removal_norms(trained.predictor.problem, trained.predictor.w, rows)
    monkeypatch.setattr("expunge.studies.outliers.BLOCK_ROWS", 9)
    np.testing.assert_allclose(
        removal_norms(trained.predictor.problem, trained.predictor.w, rows), whole, rtol=1e-12
    )


@pytest.fixture(scope="module")
def outliers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outliers")
    ended = cli.expunge(*OUTLIERS_RUN, "hydra.run.dir=run", cwd=folder)
    assert (ended.code, ended.err) == (0, "")
    lines = (folder / "run" / "results.jsonl").read_text().splitlines()
    return folder / "run", [json.loads(line) for line in lines], cli.summary(folder / "run"), ended.out


def test_atypical_digits_come_first(outliers):
    _, records, summary, _ = outliers
    assert [record["class"] for record in records] == ["3", "8"]
    most, least = summary["influence"]["most"], summary["influence"]["least"]
    assert len(set(most["rows"])) == len(set(least["rows"])) == 12
    assert not set(most["rows"]) & set(least["rows"])
    assert summary["ratio"] == most["mean_norm"] / least["mean_norm"] > 3
    assert most["mean_loss"] > 3 * least["mean_loss"]
    assert most["mean_margin"] < least["mean_margin"]
    assert most["misclassified"] > summary["misclassified"] >= least["misclassified"] == 0
    for record in records:
        norms = record["most"]["norm"], record["least"]["norm"]
        assert norms[0] == sorted(norms[0], reverse=True)
        assert norms[1] == sorted(norms[1])
        assert norms[0][-1] > record["median"]["norm"] > norms[1][-1]


def test_the_retrained_model_moves_as_far_as_they_say(outliers):
    _, records, _, _ = outliers
    study = Outliers("digits_3v8", lam=1e-2, std=1.0, show=6)
    trained = method(Newton, lam=1e-2, std=1.0)
    trained.fit(study.rows, study.dataset.y_train, 0)
    problem, w = trained.predictor.problem, trained.predictor.w
    for record in records:
        moved = {}
        for end in ("most", "least"):
            row, norm = record[end]["row"][0], record[end]["norm"][0]
            moved[end] = np.linalg.norm(train(problem.without([row])).w - w)
            assert moved[end] == pytest.approx(norm, rel=0.05)
        typical = np.flatnonzero(study.dataset.y_train == study.dataset.label_of(record["class"]))[:5]
        usual = np.median([np.linalg.norm(train(problem.without([row])).w - w) for row in typical])
        assert moved["most"] > 1.5 * usual > moved["least"]


def test_outliers_are_shown(outliers):
    folder, _, _, out = outliers
    assert "median of class 8" in out
    pixels = imread(folder / "figures" / "outliers.png")[..., :3]
    assert pixels.shape[0] > 300
    assert pixels.std() > 0.05


# -- bad input ------------------------------------------------------------------------------------------


BAD = [
    (ResidualBounds, {"dataset": "mnist"}, "dataset: got 'mnist', allowed: one of mnist_3v8, digits_3v8"),
    (ResidualBounds, {"removals": 286}, "removals: got 286, allowed: at most 285, so that a row is left"),
    (ResidualBounds, {"batch_sizes": [1, 1]}, "batch_sizes: got [1, 1], allowed: a list of one or more"),
    (ResidualBounds, {"batch_sizes": [61]}, "batch_sizes: got [61], allowed: a list of one or more"),
    (ResidualBounds, {"batch_sizes": 1}, "batch_sizes: got 1, allowed: a list of one or more"),
    (ResidualBounds, {"points": 1}, "points: got 1, allowed: a whole number from 2 to 10000"),
    (ResidualBounds, {"epsilon": 9}, "epsilon: got 9, allowed: at most 8.3"),
    (ResidualBounds, {"lam": 0}, "lam: got 0, allowed: a finite number > 0"),
    (Outliers, {"show": 0}, "show: got 0, allowed: a whole number >= 1"),
    (Outliers, {"show": 69}, "show: got 69, allowed: at most 68, half of the rows of a class"),
    (Outliers, {"std": -1}, "std: got -1, allowed: a finite number >= 0"),
]


@pytest.mark.parametrize(("study", "values", "said"), BAD, ids=[f"{s.__name__}-{v}" for s, v, _ in BAD])
def test_bad_settings_are_refused_at_once(study, values, said):
    small = {"dataset": "digits_3v8"} | ({"removals": 60} if study is ResidualBounds else {})
    with pytest.raises(UserError) as refused:
        study(**(small | values))
    assert str(refused.value).startswith(said)


def test_bad_keys_are_named_as_the_user_calls_them(tmp_path):
    ended = cli.expunge(*OUTLIERS_RUN, "study.show=69", "hydra.run.dir=run", cwd=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "expunge: study.show: got 69, allowed: at most 68, half of the rows of a class\n"
    assert not (tmp_path / "run").exists()
