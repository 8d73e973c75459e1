"""``expunge-verify``: what it prints, writes and returns."""

from __future__ import annotations

import json
import shutil

import pytest
from rich.cells import cell_len

from expunge.verify.app import main
from tests.verify.runs import at, ulp_up


def test_an_accepted_run(copy, capsys):
    folder = copy("exact").folder
    assert main([str(folder)]) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert (lines[0], shown.err) == (f"✓ {folder}: accepted, 19 lines hold", "")
    for about in ("claim", "how often", "rows", "public", "not covered", "on trust"):
        assert sum(line.startswith(f"  {about}  ") for line in lines) == 1
    assert "Whoever sees all of up to 1000 releases" in shown.out
    found = json.loads((folder / "verified.json").read_text())
    assert (found["format"], found["accepted"], found["first"]) == (1, True, None)
    assert {*found["lines"][0]} == {"name", "holds", "claimed", "recomputed", "note"}
    assert {*found["files"]} >= {"summary.json", "removals.jsonl", "model.safetensors", ".hydra/config.yaml"}
    assert "state.safetensors" not in found["files"]


@pytest.mark.parametrize("columns", [30, 80])
def test_nothing_is_wider_than_the_screen(copy, columns, monkeypatch, capsys):
    folder = copy("exact").records(at(1, budget=ulp_up)).folder
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.chdir(folder.parent)
    assert main([folder.name, "--no-write"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert max(map(cell_len, lines)) <= columns
    words = " ".join(" ".join(lines).split())
    assert "columns of the model, of the classes that have rows left" in words
    monkeypatch.setenv("COLUMNS", "400")
    main([folder.name, "--no-write"])
    every = capsys.readouterr().out.split()
    assert sorted(every) == sorted(words.split()), "the same words, however narrow"


def test_a_rejected_run_says_first_what_does_not_hold(copy, capsys):
    changed = copy("exact").records(at(1, budget=ulp_up, residual_bound=ulp_up))
    assert main([str(changed.folder)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"✗ {changed.folder}: rejected"
    assert lines[2].startswith("✗ budget: line 2: budget: claimed ")
    said = " ".join(lines[2 : lines.index("What is claimed")])
    claimed, right = (said.partition(f"{what} ")[2].partition(",")[0] for what in ("claimed", "recomputed"))
    assert float(claimed) == ulp_up(float(right))
    assert json.loads((changed.folder / "verified.json").read_text())["first"] == "budget"


def test_a_folder_that_is_not_ones_own(copy, tmp_path, capsys):
    folder = copy("figures").folder
    assert main([str(folder), "--no-write"]) == 0
    assert main([str(folder), "-o", str(tmp_path / "checked.json")]) == 0
    assert not (folder / "verified.json").exists()
    assert json.loads((tmp_path / "checked.json").read_text())["run"] == str(folder)
    assert main([str(folder), "-o", str(tmp_path / "nowhere" / "checked.json")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_sweep_has_a_table(runs, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    sweep = tmp_path / "sweep"
    for name in ("figures", "published", "none"):
        shutil.copytree(runs(name), sweep / name)
    for name, gone in (("unfinished", "summary.json"), ("unreadable", "removals.jsonl")):
        shutil.copytree(runs("figures"), sweep / name)
        (sweep / name / gone).unlink()
    (sweep / "study").mkdir()
    (sweep / "study" / "results.jsonl").touch()
    assert main([str(sweep)]) == 2
    told = {}
    for line in capsys.readouterr().out.split("\n\n")[-1].splitlines()[1:]:
        mark, folder, what = line.split(maxsplit=2)
        told[folder.rpartition("/")[2]] = mark, what
    assert told["figures"] == told["published"] == told["none"] == ("✓", "accepted")
    assert told["unfinished"] == ("–", "not checked: an unfinished run, it has no summary.json")
    assert told["study"] == ("–", "not checked: a study, which removes nothing")
    assert told["unreadable"][1].endswith("removals.jsonl: missing from the run folder")
    assert (sweep / "published" / "verified.json").exists()
    path = sweep / "none" / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "epsilon_total": 1.0}))
    assert main([str(sweep), "-o", str(tmp_path / "all.json")]) == 1
    out = capsys.readouterr().out
    assert "\n2 of 3 runs accepted\n" in out
    assert f"✗ {sweep / 'none'}" in out
    assert len(json.loads((tmp_path / "all.json").read_text())["runs"]) == 3


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda run: shutil.rmtree(run), "no such folder"),
        (lambda run: (run / "summary.json").unlink(), "an unfinished run"),
        (lambda run: (run / "summary.json").write_text("{"), "not JSON"),
        (lambda run: (run / "summary.json").write_text("[]"), "must be a JSON object"),
        (lambda run: (run / "model.safetensors").unlink(), "missing from the run folder"),
        (lambda run: (run / ".hydra" / "config.yaml").unlink(), "missing from the run folder"),
        (lambda run: (run / ".hydra" / "config.yaml").write_text("a: [1"), "not YAML"),
        (lambda run: (run / ".hydra" / "config.yaml").write_text("- 1"), "must be a mapping"),
        (lambda run: (run / ".hydra" / "config.yaml").write_text("seed: 0"), "dataset"),
    ],
)
def test_what_cannot_be_read_is_one_line(break_it, says, copy, capsys):
    folder = copy("figures").folder
    break_it(folder)
    assert main([str(folder)]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert told.err.startswith("expunge-verify: ")
    assert says in told.err


@pytest.mark.parametrize("key", ["inputs", "released", "std", "epsilon", "guarantee", "n_train"])
@pytest.mark.parametrize("value", [None, "x", [], 1e308])
def test_a_summary_of_nonsense_is_rejected_and_no_crash(key, value, copy):
    assert copy("figures").summary(**{key: value}).verified().first is not None


@pytest.mark.parametrize("key", ["ratio", "grid", "sensitivity"])
def test_numbers_at_the_ends_of_float64_are_rejected_and_no_crash(key, copy):
    for value in (5e-324, 1e308, -1.0, 0.0):
        said = copy("exact").summary(**{key: value}).verified().first
        assert said is not None or (key, value) == ("sensitivity", 5e-324)


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert "0 accepted, 1 rejected" in shown
    assert "state.safetensors is a secret" in shown
