"""The benchmark times what it says it times, and its JSON is complete. Nothing here depends on the clock."""

import json
import shutil
from dataclasses import replace
from math import inf

import numpy as np
import pytest
import torch
from experiments.benchmarks.codec.program import BENCHMARK as CODEC
from experiments.benchmarks.harness import BEGIN, END
from experiments.benchmarks.head.program import BENCHMARK as HEAD
from experiments.benchmarks.one_vs_rest.program import BENCHMARK as ONE_VS_REST
from experiments.benchmarks.removal import growth, program
from experiments.benchmarks.removal.contenders import take_turns
from experiments.benchmarks.removal.published import PublishedRecipe
from experiments.benchmarks.rowless.program import BENCHMARK as ROWLESS
from experiments.benchmarks.scrub.program import BENCHMARK as SCRUB
from experiments.benchmarks.sweep.program import BENCHMARK as SWEEP

from expunge.core.errors import DataError
from expunge.linear.logistic import LogisticProblem
from expunge.linear.rows import Rows
from expunge.linear.solver import train
from tests.charts.sound import sound
from tests.oracles import logistic as oracle

BENCHMARK = program.BENCHMARK
README = BENCHMARK.folder / "README.md"


@pytest.mark.parametrize("lam", [1e-3, 1e-1])
def test_published_recipe_equals_the_float64_oracle(lam):
    rng = np.random.default_rng(7)
    rows, b = Rows.normalised(rng.normal(size=(90, 8)) + 1), rng.normal(size=8)
    x, y = rows.dense(), np.where(rng.random(90) < 0.4, 1.0, -1.0)
    recipe = PublishedRecipe(x, y, lam, train(LogisticProblem(rows, y, lam, b)).w)
    stay, bound = np.arange(len(x)), 0.0
    for row in (89, 0, 41, 88, 1):  # the last row, the one moved into its place, and others
        w = recipe.w.numpy().astype(np.float64)
        taken = recipe.take_out(row)
        np.testing.assert_allclose(taken[0], x[row], rtol=1e-6)
        assert float(taken[1]) == y[row]
        recipe.update(*taken)
        place = int(np.flatnonzero(stay == row)[0])
        expected, _ = oracle.remove_fresh(x[stay], y[stay], lam, b, w, [place])
        stay, step = np.delete(stay, place), expected - w
        assert recipe.n == len(stay)
        np.testing.assert_array_equal(sorted(recipe.rows[:, 0]), sorted(x[stay, 0].astype(np.float32)))
        error = np.linalg.norm(recipe.w.numpy() - expected)
        assert error <= 1e-4 * np.linalg.norm(step) + 2e-7 * np.linalg.norm(w)
        spectral = np.linalg.norm(x[stay], 2)
        assert recipe.spectral_norm() == pytest.approx(spectral, rel=1e-5)
        bound += spectral * np.linalg.norm(step) * np.linalg.norm(x[stay] @ step) / 4
        assert recipe.bound == pytest.approx(bound, rel=1e-4)


class Recorder:
    def __init__(self, key, batch, per_repeat, log):
        self.key, self.what, self.batch, self.per_repeat, self.log = key, key, batch, per_repeat, log

    def serve(self, rows, clock):
        self.log.append((self.key, tuple(rows)))
        return 6.0

    def facts(self):
        return {}


def test_turns_interleave_and_go_on_with_the_stream():
    log = []
    seconds = take_turns([Recorder("a", 1, 2, log), Recorder("b", 3, 1, log)], range(20), repeats=2)
    assert [key for key, _ in log] == list("ab" + "aab" * 2)
    assert [row for key, rows in log if key == "a" for row in rows] == list(range(5))
    assert [row for key, rows in log if key == "b" for row in rows] == list(range(9))
    assert seconds == {"a": [[6.0, 6.0]] * 2, "b": [[2.0]] * 2}


def test_json_and_readme_of_a_tiny_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(program, "load", lambda count: growth.synthetic(count, 12))
    shutil.copy(README, tmp_path)
    before = torch.get_num_threads()
    out = tmp_path / "made" / "removal.json"
    tiny = ["--removals", "2", "--repeats", "2", "--rows", "400", "--threads", "2", "--out", str(out)]
    assert replace(BENCHMARK, folder=tmp_path).main([*tiny, "--write"]) == 0
    report = json.loads(out.read_text())
    assert torch.get_num_threads() == before
    assert report["removal"]["environment"]["torch_threads"] == 2
    assert report["removal"]["environment"]["row_threads"] == 2
    assert [found["setting"]["lam"] for found in report["removal"]["settings"]] == [1e-3, 1e-4]
    for found in report["removal"]["settings"]:
        assert [row["key"] for row in found["removal"]] == list("abcdegh")
        for row in found["removal"]:
            assert all(0 < ratio < inf for ratio in [row["ratio"], *row["ratio_by_repeat"]])
            assert 0 < row["ms"]["p10"] <= row["ms"]["median"] <= row["ms"]["p90"] < inf
            assert row["served"] == row["ms"]["count"] + 1, "all but the first request are timed"
            if row["key"] != "a":
                assert row["residual"] <= row["bound"] <= found["setting"]["budget"]
        assert found["removal"][0]["ratio"] == 1
        assert [row["key"] for row in found["removal"] if row["met"] is not None] == list("bcgh")
        for row in found["removal"][-2:]:
            assert row["met"] == (0 < row["of_b"]["ratio"] <= 2.5)
            assert (row["at_most"], row["retrained"]) == (2.5, 0)
        theirs, ours = found["training"]
        assert 0 < ours["ratio"] < inf
        assert ours["gradient_norm"] < 1e-8 < theirs["gradient_norm"] < inf
        assert ours["met"] == (ours["ratio"] <= 3)
    readme = (tmp_path / "README.md").read_text()
    assert "Not measured yet" not in readme
    assert "(c) as (b), 50 requests share a release" in readme
    assert "(c) as (b), 50 requests share a release" in capsys.readouterr().out
    assert str(tmp_path) not in readme + out.read_text(), "no path of this machine in a committed file"


def test_growth_and_its_figure(tmp_path):
    measured = growth.measure(removals=2, repeats=1, rows=(60, 120), dims=(3, 6), dim=4, count=80)
    for part, sizes in (("by_rows", [60, 120]), ("by_dim", [3, 6])):
        series = measured[part]
        assert list(series["seconds"]) == list("aebgh")
        release, published = (np.array(series["seconds"][key]) for key in "gb")
        np.testing.assert_allclose(series["ratio"], release / published)
        assert series["sizes"] == sizes
        assert all(0 < ratio < inf for ratio in series["ratio"])
        assert all(abs(slope) < inf for slope in series["exponent"].values())
    assert measured["by_rows"]["d"] == 4
    assert measured["by_dim"]["n"] == 80
    png, svg = growth.draw(measured, "removal").save(tmp_path)
    assert png.read_bytes()[:4] == b"\x89PNG"
    sound(svg.read_text(), "ms per removal", *growth.METHODS.values())
    assert "fitted exponent" in "\n".join(growth.lines(measured))


@pytest.mark.parametrize(
    "benchmark", [BENCHMARK, ONE_VS_REST, HEAD, CODEC, SCRUB, SWEEP, ROWLESS], ids=lambda b: b.folder.name
)
def test_every_page_is_what_its_json_says(benchmark, tmp_path):
    folder = tmp_path / benchmark.folder.name
    folder.mkdir()
    page = benchmark.folder / "README.md"
    text = page.read_text(encoding="utf-8")
    emptied = text[: text.index(BEGIN)] + BEGIN + "old" + END + text[text.index(END) + len(END) :]
    (folder / "README.md").write_text(emptied, encoding="utf-8")
    report = benchmark.read(benchmark.folder / f"{folder.name}.json")
    replace(benchmark, folder=folder).write_page(report)
    assert (folder / "README.md").read_text(encoding="utf-8") == text
    (folder / "README.md").write_text(text.replace(END, ""), encoding="utf-8")
    with pytest.raises(DataError, match=rf"^{folder.name}/README.md: the marks"):
        replace(benchmark, folder=folder).write_page(report)
