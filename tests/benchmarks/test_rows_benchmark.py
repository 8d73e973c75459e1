"""The benchmark of sparse rows: its corpus, and a tiny run."""

import json
import shutil
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
from experiments.benchmarks.rows import columns
from experiments.benchmarks.rows import program as benchmark
from experiments.benchmarks.rows.corpus import corpus

PAGE = Path(benchmark.__file__).parent / "README.md"


def test_the_corpus_is_what_it_says():
    x, y = corpus(5000, rows=4000)
    again = corpus(5000, rows=4000)
    np.testing.assert_array_equal(x.data, again[0].data)
    np.testing.assert_array_equal(y, again[1])
    np.testing.assert_allclose(x.multiply(x).sum(axis=1), 1)
    assert 8 < x.nnz / 4000 < 10
    assert np.diff(x.indptr).min() >= 1
    assert 0.3 < y.mean() < 0.7


def test_json_and_page_of_a_tiny_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "in_own_process", lambda module, job: {"peak_mib": 100.0})
    shutil.copy(PAGE, tmp_path)
    out = tmp_path / "made" / "rows.json"
    tiny = ["--rows", "600", "--terms", "1500", "--removals", "3", "--repeats", "2", "--threads", "1"]
    run = replace(benchmark.BENCHMARK, folder=tmp_path).main
    assert run([*tiny, "--out", str(out), "--write"]) == 0
    (size,) = json.loads(out.read_text())["sparse"]["sizes"]
    assert size["residual"] <= size["bound"] <= size["budget"]
    assert size["gradient_norms"]["ours"] < 1e-8
    assert all(0 < size[key]["ratio"] < inf for key in ("fit_over_theirs", "theirs_over_removal"))
    assert {name: len(of) for name, of in size["seconds"].items()} == {
        **{"theirs": 2, "fit": 2, "batch": 2},
        "removal": 6,
    }
    page = (tmp_path / "README.md").read_text()
    for text in (page, capsys.readouterr().out):
        assert "600 x 1,500" in text
        assert "less than 1 GiB: met." in text
    assert str(tmp_path) not in page + out.read_text()


def test_parts_of_many_classes_and_of_rows_on_disk(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(columns, "in_own_process", lambda module, job: {"peak_mib": 100.0})
    shutil.copy(PAGE, tmp_path)
    out = tmp_path / "made" / "rows.json"
    tiny = ["--rows", "400", "--classes", "5", "--mapped-rows", "3000", "--removals", "2", "--repeats", "2"]
    run = replace(benchmark.BENCHMARK, folder=tmp_path).main
    assert run([*tiny, "--columns", "--mapped", "--threads", "1", "--out", str(out), "--write"]) == 0
    held = json.loads(out.read_text())
    (size,) = held["columns"]["sizes"]
    assert {name: len(of) for name, of in size["cpu_seconds"].items()} == {
        **{"direct fit": 2, "iterative fit": 2},
        **{"direct removal": 4, "iterative removal": 4},
    }
    for found in (size, held["mapped"]):
        assert found["residual"] <= found["bound"] <= found["budget"]
    text = capsys.readouterr().out
    assert "400 x 256, 5" in text
    assert "less than 3 GB: met." in text
    assert str(tmp_path) not in (tmp_path / "README.md").read_text() + out.read_text()


def test_ranks_and_one_process(tmp_path, capsys):
    shutil.copy(PAGE, tmp_path)
    out = tmp_path / "rows.json"
    tiny = ["--ranks", "--rank-rows", "3000", "--removals", "2", "--repeats", "2", "--threads", "1"]
    run = replace(benchmark.BENCHMARK, folder=tmp_path).main
    assert run([*tiny, "--out", str(out), "--write"]) == 0
    (size,) = json.loads(out.read_text())["ranks"]["sizes"]
    assert len(size["removal"]["alone"]) == len(size["removal"]["cpu_busiest"]) == 4
    assert "two ranks sum at least 1.7 times as much as one" in capsys.readouterr().out
