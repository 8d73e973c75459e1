"""In what two runs differ, by ``expunge-report --diff`` and ``Result.diff``."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import expunge
from expunge.record.folders.differences import ABSENT, Differences, differing
from expunge.report import app
from expunge.results import Result
from tests import cli
from tests.report.test_report import make_run

FEW = (*cli.SMALL, "removal.count=6")
TIMES = {"seconds_fit", "seconds_removal_median", "seconds_removal_p95", "peak_memory_mb", "memory_mb"}


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Four runs: one, the same again, one of another lam, and one with fewer requests."""
    folder = tmp_path_factory.mktemp("runs")
    asked = {"one": (), "again": (), "lam": ("unlearner.lam=0.01",), "fewer": ("removal.count=4",)}
    return {name: cli.completed(*FEW, *more, folder=folder / name) for name, more in asked.items()}


def told(capsys, *arguments) -> cli.Ended:
    try:
        code = app.main([str(one) for one in arguments])
    except SystemExit as end:
        code = end.code
    return cli.Ended(code, *capsys.readouterr())


def test_the_same_run_again_differs_in_times_alone(real, capsys):
    found = Differences.of(real["one"], real["again"])
    assert not found
    assert found.costs.keys() <= TIMES
    ended = told(capsys, "--diff", real["one"], real["again"])
    assert (ended.code, ended.err) == (0, "")
    for line in ("Settings: none differ", "Inputs: none differ", "Records: all alike, but for times"):
        assert line in ended.out.splitlines()


def test_another_setting_is_found_with_all_that_comes_of_it(real, capsys):
    found = Differences.of(real["one"], real["lam"])
    assert found.settings == {"unlearner.lam": (0.001, 0.01)}
    assert (found.inputs, found.versions, found.record) == ({}, {}, 1)
    summaries = [cli.summary(real[name]) for name in ("one", "lam")]
    for key, pair in found.numbers.items():
        assert pair == tuple(of[key] for of in summaries)
        assert pair[0] != pair[1]
    assert "residual_bound" in found.numbers
    assert "residual_bound" in found.fields
    assert "seconds" not in found.fields
    ended = told(capsys, "--diff", real["one"], real["lam"])
    assert (ended.code, ended.err) == (0, "")
    assert "  unlearner.lam  1e-3 | 0.01\n" in ended.out
    before, after = (of["test_accuracy_after"] for of in summaries)
    (line,) = [line for line in ended.out.splitlines() if line.startswith("  test_accuracy_after ")]
    assert line.split() == ["test_accuracy_after", "1", "|", f"{after:.6g}", f"({after - before:.3g})"]


def test_fewer_requests_are_another_input_and_the_first_that_is_missing_is_named(real):
    found = Differences.of(real["one"], real["fewer"])
    assert found.settings == {"removal.count": (6, 4)}
    assert found.inputs.keys() == {"requests"}
    assert found.numbers["requests"] == (6, 4)
    assert found.record == 5
    assert found.fields["request"] == (5, ABSENT)


def test_it_says_the_same_of_a_result(real):
    one = Result.of(real["one"])
    assert one.diff(real["lam"]) == one.diff(expunge.results.Result.of(real["lam"]))
    assert "unlearner.lam  1e-3 | 0.01" in str(one.diff(str(real["lam"])))


def test_nothing_is_written(real, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = cli.every(real["one"].parent)
    told(capsys, "--diff", real["one"], real["lam"])
    assert list(tmp_path.iterdir()) == []
    assert cli.every(real["one"].parent) == before


# -- known answers ---------------------------------------------------------------------------------


def changed(folder: Path, name: str, change) -> None:
    path = folder / name
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def pair(tmp_path):
    return [make_run(tmp_path / name, "newton", 12) for name in ("a", "b")]


def test_the_first_record_that_differs_and_its_fields(pair):
    ledger = pair[1] / "removals.jsonl"
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    for line in lines[6:]:
        line |= {"rows": [line["rows"][0] + 1], "reason": "another", "seconds": 17.0}
    lines[2]["seconds"] = 99.0
    ledger.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    found = Differences.of(*pair)
    assert found.record == 7
    assert found.fields.keys() == {"rows", "reason"}
    assert found.fields["rows"][1] == lines[6]["rows"]


def test_true_is_not_1_and_nan_is_itself(pair):
    for folder, of in zip(pair, (1, True), strict=True):
        changed(folder, ".hydra/config.yaml", lambda kept, of=of: kept.update(own={"x": of}))
        path = folder / ".hydra" / "config.yaml"
        path.write_text(path.read_text()[:-1] + ', "nan": .nan, "one": 1.0}')
    assert Differences.of(*pair).settings == {"own.x": (1, True)}


def test_inputs_are_compared_by_name_and_settings_from_elsewhere_are_said(pair):
    for folder, data in zip(pair, ("a" * 64, "b" * 64), strict=True):
        digests = {"settings": data, "dataset, test inputs": data, "expunge": "0.1.0"}
        (folder / "inputs.json").write_text(json.dumps({"digests": digests}))
    assert Differences.of(*pair).inputs.keys() == {"settings", "dataset, test inputs"}
    assert f"dataset, test inputs  {'a' * 12} | {'b' * 12}\n" in str(Differences.of(*pair))
    changed(pair[1], ".hydra/config.yaml", lambda kept: kept.update(progress=False))  # of no consequence
    assert "settings" in Differences.of(*pair).inputs
    changed(pair[1], ".hydra/config.yaml", lambda kept: kept.update(threads=3))
    assert Differences.of(*pair).inputs.keys() == {"dataset, test inputs"}


def test_where_inputs_cannot_be_read_one_line_says_so_and_the_summary_stands_in(pair):
    for folder, digest in zip(pair, "ab", strict=True):
        changed(folder, "summary.json", lambda kept, d=digest: kept.update(inputs={"dataset, rows": d}))
    found = Differences.of(*pair)
    assert found.inputs == {"dataset, rows": ("a", "b")}
    assert [note.partition(": ")[0] for note in found.notes] == [str(of / "inputs.json") for of in pair]
    assert str(found).count("\n") == len(str(found).splitlines())


def test_a_file_that_is_its_owners_alone_is_one_line(real, tmp_path):
    """Another user may read the rest, where the owner has allowed it."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("no other user can be taken on: not root, or no setpriv")
    folders = [shutil.copytree(real[name], tmp_path / name) for name in ("one", "lam")]
    for folder in (*tmp_path.parents, tmp_path):
        if folder.stat().st_uid == 0 and stat.S_IMODE(folder.stat().st_mode) == 0o700:
            folder.chmod(0o755)
    for file in (file for folder in folders for file in folder.rglob("*") if file.name != "inputs.json"):
        file.chmod(0o755)
    [folder.chmod(0o755) for folder in folders]
    stranger = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable]
    if subprocess.run([*stranger, "-c", "pass"], capture_output=True, cwd="/").returncode:
        pytest.skip("another user cannot run this Python: the folder of its library is closed to others")
    done = subprocess.run(
        [*stranger, "-m", "expunge.report.app", "--diff", *folders], capture_output=True, text=True, cwd="/"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("cannot be read (Permission denied)") == 2
    for folder in folders:
        (folder / "summary.json").chmod(0o600)
    done = subprocess.run(
        [*stranger, "-m", "expunge.report.app", "--diff", *folders], capture_output=True, text=True, cwd="/"
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


leaves = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3) | st.lists(st.integers(0, 3))
keys = st.text("abcd", min_size=1, max_size=3)
trees = st.recursive(leaves, lambda below: st.dictionaries(keys, below, max_size=3), max_leaves=8)


def paths(tree, above="") -> dict:
    """Naive: every leaf by its dotted key, as its JSON."""
    if not isinstance(tree, dict) or not tree:
        return {above: json.dumps(tree)}
    return {
        k: v for key, of in tree.items() for k, v in paths(of, f"{above}.{key}" if above else key).items()
    }


@given(st.dictionaries(keys, trees, max_size=4), st.dictionaries(keys, trees, max_size=4))
def test_settings_differ_where_a_leaf_does(one, other):
    first, second = (
        {k: v for key, of in tree.items() for k, v in paths(of, key).items()} for tree in (one, other)
    )
    assert differing(one, other).keys() == {k for k in first | second if first.get(k) != second.get(k)}
    assert differing(one, one) == {}


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", ["absent", "empty", "summary", "ledger", "config"])
def test_what_is_no_run_is_one_line(pair, capsys, broken):
    first, second = pair
    if broken == "absent":
        second = second / "absent"
    elif broken == "empty":
        second = second / ".hydra"
    else:
        name = {"summary": "summary.json", "ledger": "removals.jsonl", "config": ".hydra/config.yaml"}[broken]
        (second / name).write_text("{")
    ended = told(capsys, "--diff", first, second)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert str(second) in ended.err


@pytest.mark.parametrize("beside", [["x"], ["--legend"], ["--privacy"], ["--rows", "3"]], ids=" ".join)
def test_it_stands_alone(pair, capsys, beside):
    ended = told(capsys, "--diff", *pair, *beside)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith("expunge-report: --diff")


def test_names_of_others_do_not_steer_the_terminal(pair):
    changed(pair[0], ".hydra/config.yaml", lambda kept: kept.update({"\x1b[31m": "\x1b[2J\u202e" * 90}))
    shown = str(Differences.of(*pair))
    assert not {"\x1b", "\u202e"} & set(shown)
    assert max(map(len, shown.splitlines())) <= 80
