"""The benchmark of long streams, in a small form: what it sees and checks of a run, whole and killed."""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace

import pytest
from experiments.benchmarks.stream import program as benchmark
from experiments.benchmarks.stream.checking import counts, same_but_for_times
from experiments.benchmarks.stream.watching import Look

from expunge.core.errors import DataError
from expunge.record.ledger import Ledger
from tests import cli

README = benchmark.BENCHMARK.folder / "README.md"
REQUESTS = 300


class Killed(BaseException):
    """The run ends here."""


def served(arguments, ledger, kill_at):
    """In this process: starting others takes seconds. Between a sum and its line it ends, or after both."""
    append = Ledger.append

    def ended(self, record):
        if kill_at is None or record["request"] <= kill_at:
            return append(self, record)
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "append", ended)
        try:
            found = cli.expunge(*arguments, cwd=ledger.parent)
            assert found.code == 0, found.err
        except Killed:
            assert kill_at is not None
    done = REQUESTS if kill_at is None else kill_at
    return [Look(k, k / 100, 100.0) for k in range(done + 1)], kill_at is not None


def test_json_and_page_of_a_small_stream(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "watched", served)
    shutil.copy(README, tmp_path)
    out = tmp_path / "made" / "stream.json"
    sizes = ("--requests", f"{REQUESTS}", "--rows", "700", "--every", "40", "--kills", "2")
    assert replace(benchmark.BENCHMARK, folder=tmp_path).main([*sizes, "--out", str(out), "--write"]) == 0
    report = json.loads(out.read_text())
    assert report["same"]
    for run in report["runs"].values():
        assert (run["served"], run["refused"], run["released"]) == (REQUESTS, 0, REQUESTS + 1)
        assert [part["memory"] for part in run["parts"]] == [100] * 10
    assert [run["kills"] for run in report["runs"].values()] == [0, 2, 2]
    page = (tmp_path / "README.md").read_text()
    for text in (page, capsys.readouterr().out):
        assert "killed and whole ledger are the same but for times" in text
        assert "1.000x: met" in text
    assert str(tmp_path) not in page + out.read_text(), "no path of this machine in a committed file"


def test_a_tenth_is_what_was_seen_of_it():
    looks = [Look(0, 0.0, 5.0), Look(50, 1.0, 6.0), Look(90, 2.0, 7.0), Look(100, 3.0, 9.0), Look(100, 4, 8)]
    found = benchmark.parts([*looks, Look(1000, 10.0, 11.0)], [0.001] * 1000, 1000)
    assert found[0] == {"wall_ms": pytest.approx(2e3 / 90), "removal_ms": 1.0, "memory": 7.0}
    assert found[1]["memory"] == 9.0
    assert benchmark.end([*looks, Look(1000, 10.0, 11.0), Look(1000, 12.5, 12.0)], 1000) == {
        "seconds": 2.5,
        "memory": 12.0,
    }


def test_what_does_not_add_up_is_found(tmp_path):
    options = argparse.Namespace(requests=4, rows=60, every=2, seed=0)
    data = benchmark.synthetic(tmp_path / "data.npz", 60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "watched", lambda *given: (served(*given)[0][:5], False))
        folder = tmp_path / "run"
        assert benchmark.stream(data, folder, "float", options, 0)["served"] == 4
    ledger, summary = folder / "removals.jsonl", folder / "summary.json"
    shutil.copy(ledger, tmp_path / "other.jsonl")
    assert same_but_for_times(ledger, tmp_path / "other.jsonl")
    first, second, *rest = ledger.read_bytes().splitlines(keepends=True)
    (tmp_path / "other.jsonl").write_bytes(
        first + second.replace(b"removed", b"retrained", 1) + b"".join(rest)
    )
    assert not same_but_for_times(ledger, tmp_path / "other.jsonl")
    told = json.loads(summary.read_text())
    for change, said in ({"released": 4}, "releases"), ({"requests": 5}, "requests are lost"):
        summary.write_text(json.dumps(told | change))
        with pytest.raises(DataError, match=said):
            counts(folder, 4)
    summary.write_text(json.dumps(told))
    ledger.write_bytes(b"".join([first, second.replace(b'"request": 2', b'"request": 2 '), *rest]))
    with pytest.raises(ValueError, match=r"removals\.jsonl:2: damaged"):
        counts(folder, 4)
