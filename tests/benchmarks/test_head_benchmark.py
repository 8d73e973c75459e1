"""The benchmark of the wide head times what it says, and its JSON is complete; whatever the clock says."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from math import inf
from unittest.mock import patch

import numpy as np
import pytest
from experiments.benchmarks.head import program, tables

from expunge.core.errors import InvalidValue
from expunge.linear import shared_passes
from expunge.unlearners import updated

PAGE = program.BENCHMARK.folder / "README.md"


def test_rows_are_features_of_norm_one_and_the_same_each_time():
    rows, y = program.features(300, 20, 4)
    assert rows.raw.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows.dense(), axis=1), 1, atol=1e-12)
    assert rows.raw.min() == 0
    assert set(y) == {0, 1, 2, 3}
    again, _ = program.features(300, 20, 4)
    np.testing.assert_array_equal(rows.raw, again.raw)


def test_json_and_page_of_a_tiny_run(tmp_path, capsys):
    shutil.copy(PAGE, tmp_path)
    out = tmp_path / "made" / "head.json"
    tiny = ["--removals", "3", "--batch", "20", "--repeats", "2", "--rows", "200", "--features", "12"]
    asked = [*tiny, "--classes", "3", "--threads", "2", "--out", str(out), "--write"]
    shared = []

    def noted(*given):
        shared.append(len(given[2]))
        return shared_passes.removed_by_shared_passes(*given)

    with patch.object(updated, "removed_by_shared_passes", noted):
        assert replace(program.BENCHMARK, folder=tmp_path).main(asked) == 0
    assert sorted(shared) == [1] * 7 + [20] * 3  # (b) and (d), and the first request of each
    report = json.loads(out.read_text())
    assert [row["key"] for row in report["removal"]] == list("abcd")
    for row, count in zip(report["removal"], (6, 6, 2, 2), strict=True):
        assert row["residual"] <= row["bound"] <= row["budget"]
        assert row["served"] == count + 1
        for clock in program.CLOCKS:
            assert row["ms"][clock]["count"] == count
            assert 0 <= row[f"faster_{clock}"]["ratio"] < inf
    page = (tmp_path / "README.md").read_text()
    for text in (page, capsys.readouterr().out):
        assert "(d) 20 rows, a pass for all classes" in text
        assert "bound within the budget: in each." in text
    assert "Not measured yet" not in page
    assert str(tmp_path) not in page + out.read_text(), "no path of this machine in a committed file"


def test_a_bound_that_does_not_hold_is_told():
    row = {"key": "c", "method": "", "batch": 2, "residual": 2.0, "bound": 1.0, "budget": 3.0}
    ms = {clock: {"median": 1, "p10": 1, "p90": 1} for clock in program.CLOCKS}
    setting = {**program.SETTING, "n": 1, "d": 1, "classes": 3}
    found = {"setting": setting, "repeats": 1, "removals": 1, "removal": [{**row, "ms": ms}]}
    assert tables.lines(found)[-1].endswith("NOT in each.")


def test_too_few_rows_are_named():
    rows, y = program.features(60, 5, 3)
    with pytest.raises(InvalidValue, match="rows: got 60, allowed: at least 81"):
        program.compare(rows, y, removals=5, batch=20, repeats=3)
