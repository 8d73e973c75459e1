"""The benchmark of removals without the rows counts what it says; nothing here depends on the clock."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from experiments.benchmarks.rowless import between, program, tasks, timing
from experiments.benchmarks.rowless.engines import another, releasing
from experiments.benchmarks.rowless.tasks import Task, synthetic

from expunge.linear.rows import Rows


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return synthetic(800, tmp_path_factory.mktemp("rows"), dim=6)


def test_rows_are_those_of_the_file_and_of_norm_1(tmp_path):
    n = tasks._BLOCK + 5  # two blocks
    task = synthetic(n, tmp_path, dim=3)
    again = synthetic(n, tmp_path, dim=3)
    assert isinstance(task.rows.raw, np.memmap)
    np.testing.assert_array_equal(task.rows.raw, again.rows.raw)
    np.testing.assert_array_equal(task.y, again.y)
    np.testing.assert_allclose(np.linalg.norm(task.rows.dense(), axis=1), 1, rtol=1e-12)
    assert 0.3 < task.y.mean() < 0.7
    assert not np.array_equal(task.x_test[:100], task.rows.dense(np.arange(100)))


def test_the_cost_of_noise_is_that_of_many_draws(small):
    model = releasing(small.rows, small.y, 1e-3, std=0.05)
    w = model.columns[0].w
    margins = np.where(small.y_test == 1, 1, -1) * (small.x_test @ w) / np.linalg.norm(small.x_test, axis=1)
    accuracy = float(np.mean(margins > 0))
    for std in (0.1, 1.0):
        drawn = between.cost_of_draws(small, w, accuracy, std)
        assert between.cost(margins, accuracy, std) == pytest.approx(drawn, abs=0.01)
    std = between.largest_std(margins, accuracy)
    assert between.cost(margins, accuracy, std) <= between.COST < between.cost(margins, accuracy, 2 * std)


@pytest.mark.parametrize("order", between.ORDERS)
def test_orders(small, order):
    w = np.arange(6.0)
    rows = between.ordered(small, w, order)
    assert sorted(rows) == list(range(800))
    if order == "one class first":
        assert np.all(np.diff(small.y[rows]) <= 0)
    if order == "heaviest first":
        signs = np.where(small.y == 1, 1, -1)
        weights = 1 / (1 + np.exp(signs * (small.rows.dense() @ w)))
        assert np.all(np.diff(weights[rows]) <= 1e-12)


def test_a_model_with_other_noise_is_the_one_that_would_have_been_trained(small):
    model = releasing(small.rows, small.y, 1e-3, std=0.05)
    trained, made = releasing(small.rows, small.y, 1e-3, std=0.2), another(model, std=0.2)
    assert made.guarantee == trained.guarantee
    np.testing.assert_array_equal(made.columns[0].w, trained.columns[0].w)
    for one in (trained, made):
        one.remove([3])
    np.testing.assert_array_equal(made.columns[0].w, trained.columns[0].w)
    np.testing.assert_array_equal(made.predictor.weights, trained.predictor.weights)
    assert another(model, "lattice", 0.2).guarantee.grid > 0
    assert model.predictor.kept.all(), "what one serves is nothing to the others"
    assert model.released == 1


def test_json_page_and_picture_of_a_tiny_run(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 5))
    plain = Task("digits", Rows.normalised(x), (x[:, 0] > 0).astype(np.int64), x, (x[:, 0] > 0).astype(int))
    monkeypatch.setattr(between, "digits", lambda *given: plain)
    for where in (between, timing):
        monkeypatch.setattr(where, "synthetic", lambda n, folder, dim=5: synthetic(n, folder, dim))
    monkeypatch.setattr(timing, "at", lambda *given, own=timing.at: own(*given, dim=5))
    for where, name, value in (
        (timing, "SIZES", (200, 300)),
        (timing, "LARGEST", 400),
        (between, "SIZES", (100, 300)),
        (between, "MANY", 400),
        (between, "TARGETS", {300: 1, 400: 2}),
        (between, "LAMS", (1e-3, 1e-2)),
        (between, "STDS", (0.01, 0.1)),
        (between, "RELEASES", 9),
        (between, "DRAWS", 50),
        (tasks, "_TEST_ROWS", 100),
    ):
        monkeypatch.setattr(where, name, value)
    folder = tmp_path / "rowless"
    folder.mkdir()
    shutil.copy(program.BENCHMARK.folder / "README.md", folder)
    run = replace(program.BENCHMARK, folder=folder).main
    out = folder / "rowless.json"
    assert run(["--removals", "20", "--repeats", "2", "--ten-million", "--out", str(out)]) == 0
    assert run(["--between", "--out", str(out), "--write"]) == 0
    report = json.loads(out.read_text())
    assert [one["n"] for one in report["time"]["found"]] == [200, 300, 400]
    for one in report["time"]["found"]:
        assert set(timing.METHODS) - set(one) == (set() if one["n"] < 400 else {"fresh", "corrected", "pass"})
        for key in set(timing.METHODS) & set(one):
            assert one[key]["residual"] <= one[key]["bound"]
        assert [one[key]["timed"] for key in timing.TARGETS] == [40, 40]
        assert all(one[key]["count"] + one[key]["passes"] >= 40 for key in timing.TARGETS)
    counted = report["between"]
    assert [run["n"] for run in counted["runs"][::3]] == [100, 300, 300, 100, 300, 400]
    for run in (*counted["runs"], *counted["by_lam"], *counted["by_std"]):
        assert 0 < run["residual / bound"] <= 1
        assert len(run["passed_at"]) == between.ENOUGH or run["requests"] == 8
        assert run["between"] == (
            np.median(np.diff([0, *run["passed_at"]])) if run["passed_at"] else run["requests"]
        )
    text = (folder / "README.md").read_text()
    assert "Not measured yet" not in text
    assert "Removals between two passes" in text
    assert str(tmp_path) not in text + out.read_text()
    assert out.with_suffix(".png").read_bytes()[:4] == b"\x89PNG"
