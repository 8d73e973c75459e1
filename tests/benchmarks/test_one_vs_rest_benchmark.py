"""The one-vs-rest benchmark's baseline is the published one, and it times what it says it times."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from math import hypot, inf

import numpy as np
import pytest
from experiments.benchmarks.one_vs_rest import program as benchmark
from experiments.benchmarks.one_vs_rest import tables
from experiments.benchmarks.removal.contenders import Published, trained
from experiments.benchmarks.removal.published import PublishedRecipe

from expunge.core.errors import InvalidValue
from expunge.linear.rows import Rows
from tests.oracles import logistic as oracle

PAGE = benchmark.BENCHMARK.folder / "README.md"
SETTING = {**benchmark.SETTING, "lam": 1e-2, "std": 1.0}


def digits(n, d=8, classes=4):
    """Rows of norm one and labels 0..classes-1, each of which occurs."""
    rng = np.random.default_rng([n, d])
    rows = Rows.normalised(rng.normal(size=(n, d)) + 0.5)
    y = ((rows.dense() - 0.3) @ rng.normal(size=(d, classes))).argmax(axis=1)
    y[:classes] = np.arange(classes)
    return rows, y


@pytest.fixture(scope="module")
def model():
    return trained(*digits(120), SETTING, 0, update="corrected", certificate="measured")


def signs(model):
    return np.stack([column.problem.y for column in model.columns], axis=1)


def test_published_recipe_of_all_classes_equals_one_recipe_a_class(model):
    x, y, w, lam = digits(120)[0].dense(), signs(model), model.predictor.weights, SETTING["lam"]
    together = PublishedRecipe(x, y, lam, w)
    apart = [PublishedRecipe(x, y[:, k], lam, w[:, k]) for k in range(4)]
    for row in (119, 0, 118, 7):  # the last row, the one moved into its place, and others
        taken = together.take_out(row)
        np.testing.assert_array_equal(taken[1], y[row])
        together.update(*taken)
        for recipe in apart:
            recipe.update(*recipe.take_out(row))
        alone = np.stack([recipe.w for recipe in apart], axis=1)
        np.testing.assert_allclose(together.w, alone, rtol=1e-5, atol=1e-6)
        assert together.bound == pytest.approx(hypot(*(recipe.bound for recipe in apart)), rel=1e-4)
    assert together.n == apart[0].n == 116


def test_published_step_of_every_class_equals_the_float64_oracle(model):
    x, y, lam = digits(120)[0].dense(), signs(model), SETTING["lam"]
    recipe = PublishedRecipe(x, y, lam, model.predictor.weights)
    stay, bounds = np.arange(120), np.zeros(4)
    for row in (119, 0, 118):
        w = recipe.w.numpy().astype(np.float64)
        recipe.update(*recipe.take_out(row))
        place = int(np.flatnonzero(stay == row)[0])
        left = np.delete(stay, place)
        for k in range(4):
            b = model.columns[k].problem.b
            expected, _ = oracle.remove_fresh(x[stay], y[stay, k], lam, b, w[:, k], [place])
            step = expected - w[:, k]
            error = np.linalg.norm(recipe.w[:, k].numpy() - expected)
            assert error <= 1e-4 * np.linalg.norm(step) + 2e-7 * np.linalg.norm(w[:, k])
            spectral = np.linalg.norm(x[left], 2)
            bounds[k] += spectral * np.linalg.norm(step) * np.linalg.norm(x[left] @ step) / 4
        stay = left
        assert recipe.bound == pytest.approx(np.linalg.norm(bounds), rel=1e-4)


def test_published_facts_are_of_all_classes(model):
    contender = Published([c.problem for c in model.columns], model.predictor.weights, 1e-9, per_repeat=1)
    contender.serve([3])
    contender.serve([50])
    facts, (rows, _) = contender.facts(), digits(120)
    stay = np.setdiff1d(np.arange(120), [3, 50])
    x, w = rows.dense()[stay], contender._recipe.w.numpy().astype(np.float64)
    norms = [
        np.linalg.norm(oracle.gradient(x, c.problem.y[stay], c.problem.lam, c.problem.b, w[:, k]))
        for k, c in enumerate(model.columns)
    ]
    assert facts["residual"] == pytest.approx(hypot(*norms), rel=1e-6)
    assert (facts["served"], facts["over_budget"]) == (2, 2)


def test_classes_use_the_rows_that_they_are_told_to():
    rows, y = digits(300)
    used = np.ones((300, 4), dtype=bool)
    used[5], used[9] = np.eye(4)[2], np.eye(4)[0]
    how = {"update": "corrected", "certificate": "measured"}
    model = trained(rows, y, SETTING, 0, kind=partial(benchmark.PartlyUsed, used), **how)
    assert [column.problem.n for column in model.columns] == [299, 298, 299, 298]
    before = model.columns
    model.remove([5])
    assert [now is then for now, then in zip(model.columns, before, strict=True)] == [True, True, False, True]
    for k, column in enumerate(model.columns):
        stay = np.setdiff1d(np.flatnonzero(used[:, k]), [5])
        part = (rows.dense()[stay], np.where(y[stay] == k, 1.0, -1.0), model.predictor.lam, column.problem.b)
        assert np.linalg.norm(oracle.gradient(*part, column.w)) <= model.account.beta


def test_requests_are_taken_by_how_many_classes_use_their_row():
    uses = np.array([[1, 4, 1], [1, 1, 4]])
    base = [[10.0, 10.0], [20.0]]
    alone, whole = benchmark.by_uses("e", [[1.0, 8.0, 3.0], [2.0, 2.0, 16.0]], uses, base, 4)
    assert (alone["classes"], alone["ms"]["median"], alone["ms"]["count"]) == (1, 2_000, 4)
    assert alone["of_base"] == {"ratio": 0.2, "ratio_by_repeat": [0.2, 0.1]}
    assert alone["of_all"] == {"ratio": pytest.approx(2 / 12), "ratio_by_repeat": [0.25, 0.125]}
    assert (whole["classes"], whole["of_all"]["ratio"]) == (4, 1)
    (partly, most) = benchmark.by_uses("d", [[1.0], [2.0]], np.array([[1], [3]]), base, 4)
    assert partly["of_all"] is None
    assert most["of_base"]["ratio_by_repeat"] == [0.1], "no request of this kind in the first repeat"


def test_json_and_page_of_a_tiny_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "load", lambda data_dir, count: digits(count, 12, 10))
    shutil.copy(PAGE, tmp_path)
    out = tmp_path / "made" / "one_vs_rest.json"
    tiny = ["--removals", "6", "--published", "1", "--repeats", "2", "--rows", "600", "--threads", "2"]
    run = replace(benchmark.BENCHMARK, folder=tmp_path).main
    assert run([*tiny, "--data-dir", "none", "--out", str(out), "--write"]) == 0
    report = json.loads(out.read_text())
    assert report["environment"]["row_threads"] == 2
    assert report["environment"]["load_before"] >= 0
    assert report["setting"]["classes"] == 10
    assert [row["key"] for row in report["removal"]] == list("abcdef")
    for row in report["removal"]:
        assert all(0 < ratio < inf for ratio in [row["ratio"], *row["ratio_by_repeat"]])
        assert row["served"] == row["ms"]["count"] + 1, "all but the first request are timed"
        if row["key"] != "a":
            assert row["residual"] <= row["bound"] <= report["setting"]["budget"]
    counts = {(row["key"], row["classes"]): row["ms"]["count"] for row in report["uses"]}
    assert counts["b", 10] == 12
    assert counts["e", 1] == counts["e", 10] == 6
    assert sum(count for (key, _), count in counts.items() if key == "d") == 12
    page = (tmp_path / "README.md").read_text()
    for text in (page, capsys.readouterr().out):
        assert "(f) as (b), 50 rows share a release" in text
        assert "(e) Removing a row that 9 of 10 classes do not use costs " in text
        assert "bound within the budget: in every model of ours." in text
    assert "Not measured yet" not in page
    assert str(tmp_path) not in page + out.read_text(), "no path of this machine in a committed file"


def test_a_bound_that_does_not_hold_is_told():
    row = {"key": "b", "residual": 2.0, "bound": 1.0}
    (line,) = tables._within([row, {**row, "key": "a"}], 3.0)
    assert line.endswith("NOT in (b).")


def test_too_few_rows_are_named():
    with pytest.raises(InvalidValue, match="rows: got 300, allowed: at least 351"):
        benchmark.compare(*digits(300), removals=30, published=1, repeats=2)
