"""The codec benchmark's baselines compute what the equations say, and its scaling adds up."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from experiments.benchmarks.codec import growth, limits, program
from experiments.benchmarks.codec.contenders import (
    Exact,
    Published,
    PublishedNoise,
    PublishedTies,
    activations,
    attributes,
    greedy,
    seconds_along,
)
from experiments.benchmarks.harness import BEGIN, END

from expunge.codec import foci
from tests.oracles import codec as oracle


@pytest.fixture(scope="module")
def untied():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5))
    return x, x[:, 1] + 0.3 * rng.normal(size=60)


@pytest.mark.parametrize("make", [Published, Exact, PublishedTies])
@pytest.mark.parametrize("chosen", [[], [3], [0, 2]])
def test_baselines_equal_the_oracle_without_ties(untied, make, chosen):
    x, y = untied
    left = [j for j in range(5) if j not in chosen]
    given = x[:, chosen] if chosen else None
    expected = [float(oracle.statistic(y, x[:, j], given, None)) for j in left]
    assert make(x, y).scores(left, chosen) == pytest.approx(expected, abs=1e-5)


def test_exact_has_the_tie_rule_of_ours():
    x, y = activations(80, 12, 1)
    place = np.random.default_rng(0).permutation(80)
    columns, history = greedy(Exact(x, y, place), x)
    found = foci(x, y, rng=0)
    assert columns == found.columns.tolist()
    best = [scores.max() for scores in history[: len(columns)]]
    np.testing.assert_allclose(found.scores, best, rtol=1e-12)


def test_noise_leaves_no_ties():
    x, _ = attributes(200, 4, 0)
    distances = PublishedNoise.distances(torch.tensor(x, dtype=torch.float32))
    assert (distances == distances.min(dim=1, keepdim=True).values).sum() > 1_000
    y = np.random.default_rng(0).normal(size=200)
    assert len(set(PublishedNoise(x, y).neighbours([0]).tolist())) > 100
    assert len(set(Published(x, y).neighbours([0]).tolist())) < 5  # one row stands in for all its equals


def test_the_share_is_scaled_to_all(monkeypatch):
    now = iter(range(1_000))
    monkeypatch.setattr("experiments.benchmarks.codec.contenders.perf_counter", lambda: float(next(now)))

    class OneSecond:
        shared = 0

        def scores(self, candidates, chosen):
            assert not set(candidates) & set(chosen)
            return [0.0] * len(candidates)

    # Steps with 10, 9 and 8 candidates left, of which 4, 4 and 4 take a second together.
    seconds = seconds_along(OneSecond(), [7, 2], 10, 4, np.random.default_rng(0))
    assert seconds == pytest.approx((10 + 9 + 8) / 4)


def test_data_have_what_they_promise():
    x, y = activations(400, 100, 0)
    assert (np.ptp(x, axis=0) == 0).sum() == 3
    assert 40 <= ((x == 0).any(axis=0)).sum() <= 60
    again, _ = activations(400, 100, 0)
    np.testing.assert_array_equal(x, again)
    assert len(foci(x, y).columns) > 3
    bits, target = attributes(400, 9, 0)
    assert set(np.unique(bits)) == {0.0, 1.0} == set(np.unique(target))


@pytest.mark.parametrize("task", ["foci", "codec"])
def test_a_job_in_a_process_of_its_own(task, monkeypatch):
    monkeypatch.setattr(limits, "SMALL", {"foci": 50, "codec": 50})
    data = {"foci": "attributes", "codec": "two decimals"}[task]
    job = {"task": task, "data": data, "n": 300, "p": 3, "ties": "random", "threads": 1}
    found = limits.with_limits(job)
    assert found["met"]
    assert found["peak_mib"] > found["call_mib"] >= 0
    assert found["seconds"] > 0


def test_writes_tables_and_pictures(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(program, "ROWS", 40)
    monkeypatch.setattr(growth, "TIES_ROWS", (40,))
    monkeypatch.setattr(limits, "LIMITS", limits.LIMITS[:1])
    monkeypatch.setattr(limits, "with_limits", lambda job: {**job, **_measured})
    monkeypatch.setattr(limits, "measured_apart", lambda job: _measured)
    small = {"rows": (30, 40), "columns": (5, 9), "features": (1, 2)}
    whole = growth.measure
    monkeypatch.setattr(growth, "measure", lambda repeats, threads: whole(repeats, threads, **small))
    out, page = tmp_path / "codec.json", tmp_path / "README.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    common = ["--out", str(out), "--repeats", "1", "--threads", "1", "--columns", "6"]
    for option in ([], ["--check"], ["--growth", "--write"]):
        assert replace(program.BENCHMARK, folder=tmp_path).main([*common, *option]) == 0
    report = json.loads(out.read_text())
    assert set(report) == {"selection", "check", "growth", "limits", "ties"}
    assert report["check"]["sizes"][0]["same"] is True
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    for part in program.BENCHMARK.parts.values():
        assert f"### {part.heading}" in text
    assert (tmp_path / "codec.png").stat().st_size > 10_000
    assert "Load before" in capsys.readouterr().out


_measured = {
    "seconds": 1.0,
    "peak_mib": 2.0,
    "call_mib": 1.0,
    "columns": 3,
    "at_most": {"seconds": 60.0, "mib": 2048.0},
    "met": True,
}
