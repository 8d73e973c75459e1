"""The benchmark of sweeps: what it counts as a cell's own computation, and its JSON and page."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import pytest
from experiments.benchmarks.sweep import program as benchmark

from expunge.core.errors import DataError
from tests import cli
from tests.cli import SMALL

README = benchmark.BENCHMARK.folder / "README.md"


def test_overhead_is_what_lies_between_the_cells_own_computations(tmp_path):
    began = 1_000_000_000
    cells = {"b": (3, 10, 11), "a": (12, 20, 20.5)}  # configuration, summary, DONE: seconds since the start
    for run, moments in cells.items():
        names = (".hydra/overrides.yaml", "summary.json", "DONE")
        for name, moment in zip(names, moments, strict=True):
            (tmp_path / run / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / run / name).touch()
            os.utime(tmp_path / run / name, (began + moment, began + moment))
    twice = [{"run": run} for run in ("b", "a", "a")]  # cells with the same settings share a run
    (tmp_path / "sweep.json").write_text(json.dumps({"cells": twice}))
    assert benchmark.overheads(tmp_path, began) == pytest.approx([3 + 1, 1 + 0.5])


def test_json_and_page_of_a_tiny_run(tmp_path, monkeypatch, capsys):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")

    def run(arguments, folder):
        ended = cli.expunge("-m", *arguments, f"hydra.sweep.dir={folder}", cwd=tmp_path)
        assert ended.code == 0
        return 6.0

    monkeypatch.setattr(benchmark, "_run", run)  # in this process: starting others takes seconds
    shutil.copy(README, tmp_path)
    out = tmp_path / "made" / "sweep.json"
    tiny = (*SMALL, "removal.count=1", "unlearner.lam=1e-3,1e-2,1e-1")
    run = replace(benchmark.BENCHMARK, folder=tmp_path).main
    assert run([*tiny, "--workers", "1", "--repeats", "2", "--out", str(out), "--write"]) == 0
    report = json.loads(out.read_text())
    assert (report["cells"], report["workers"], report["ratio_by_repeat"]) == (3, 1, [1, 1])
    assert (report["first_ms"]["count"], report["overhead_ms"]["count"]) == (2, 4)
    assert report["overhead_ms"]["p10"] > 0
    assert (report["met"]["sweep"], report["met"]["ratio"]) == (True, False)
    page = (tmp_path / "README.md").read_text()
    for text in (page, capsys.readouterr().out):
        assert "| one process | 6 (6-6)" in text
        assert "at least 1.6x: missed" in text
    assert str(tmp_path) not in page + out.read_text(), "no path of this machine in a committed file"


def test_a_sweep_that_fails(tmp_path):
    with pytest.raises(DataError, match=r"^dataset=digits_3v8 seed=-1: expunge: .*seed: got -1"):
        benchmark._run(["dataset=digits_3v8", "seed=-1"], tmp_path / "s")
