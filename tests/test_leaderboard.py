"""The leaderboard: files that keep to their schema, say what committed tables say, and come of a folder."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from experiments.leaderboard.__main__ import entry, main
from experiments.leaderboard.tables import read

import expunge
from expunge.core.intervals import interval
from tests import cli
from tests.cli import SMALL
from tests.readme.pages import ROOT

jsonschema = pytest.importorskip("jsonschema")
FOLDER = ROOT / "experiments" / "leaderboard"
TABLES = {
    "mnist_networks": "networks",
    "cifar10_features": "networks_features",
    "mnist_class": "methods",
    "mnist_rows": "methods_rows",
    "heads": "evaluations",
}
ENTRIES = sorted(file.stem for file in FOLDER.glob("*.json") if file.stem != "schema")
WHO = {"by": "A. Nobody", "machine": "one core", "command": "expunge -m"}


@pytest.fixture(scope="module")
def check():
    schema = json.loads((FOLDER / "schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("name", ENTRIES)
def test_entries_keep_to_the_schema(name, check):
    made = json.loads((FOLDER / f"{name}.json").read_text())
    check.validate(made)
    assert made["sort"] in made["metrics"]
    assert {"retrain", "none"} <= {re.split(r"\W", method["method"])[0] for method in made["methods"]}
    for method in made["methods"]:
        assert set(method["values"]) <= set(made["metrics"]), method["method"]
        for key, value in method["values"].items():
            assert value.get("low", value["mean"]) <= value["mean"] <= value.get("high", value["mean"]), key


@pytest.mark.parametrize(("name", "folder"), TABLES.items())
def test_numbers_are_those_of_the_committed_tables(name, folder):
    made = json.loads((FOLDER / f"{name}.json").read_text())
    text = (ROOT / "experiments" / "compare" / folder / "table.md").read_text()
    table = read(text)
    assert {m["method"]: m["values"] for m in made["methods"]} == {
        label.partition(" · ")[0]: values for label, values in table.rows.items()
    }
    for method in made["methods"]:  # not by our own reading: each number stands in the method's line
        (first, *_) = (
            line
            for line in text.splitlines()
            if line.startswith(
                f"| {method['method'].split(',')[0]} "
                if "," not in method["method"]
                else "| " + " | ".join(method["method"].rsplit(", ", 1)) + " "
            )
        )
        standing = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", first)]
        scales = {"min": 60.0, "ms": 1e-3}
        units = re.findall(r"(\d+(?:\.\d+)?) (min|ms)\b", first)
        standing += [float(number) * scales[unit] for number, unit in units]
        for value in method["values"].values():
            assert all(any(abs(x - s) <= 1e-9 * abs(s) for s in standing) for x in value.values()), method[
                "method"
            ]


def test_a_table_is_read_as_it_is_written():
    table = read(
        "| unlearner | accuracy ↑ (before → after) | against retraining ↑ (accuracy, paired) "
        "| time ↓ (median, p95) | attack (unlearned / retrained) | tuning (trials, time) |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: |\n"
        "| a (x 1) · 3 seeds | 0.5 [0.4, 0.6] → **0.25** | -0.1 [-0.2, +0.0] | 1.5 ms [1 ms, 2 s], 3 s "
        "| 0.4 [0.3, 0.5] / 1 | 12, 1.5 min |\n"
        "| b | 0.5 → 1,000 | – | – | 1 / 1 | 0, – |\n\n"
        "- **accuracy ↑**: Share, \\|x\\|.\n\n## Single runs\n\n| c | 1 |\n"
    )
    assert [(m.name, m.better, m.definition) for m in table.metrics] == [
        ("accuracy, before", "", "Share, |x|."),
        ("accuracy, after", "higher", "Share, |x|."),
        ("against retraining", "higher", ""),
        ("time, median", "lower", ""),
        ("time, p95", "lower", ""),
        ("attack, unlearned", "", ""),
        ("attack, retrained", "", ""),
        ("tuning, trials", "", ""),
        ("tuning, time", "", ""),
    ]
    assert table.rows == {
        "a (x 1) · 3 seeds": {
            "accuracy, before": {"mean": 0.5, "low": 0.4, "high": 0.6},
            "accuracy, after": {"mean": 0.25},
            "against retraining": {"mean": -0.1, "low": -0.2, "high": 0.0},
            "time, median": {"mean": 0.0015, "low": 0.001, "high": 2.0},
            "time, p95": {"mean": 3.0},
            "attack, unlearned": {"mean": 0.4, "low": 0.3, "high": 0.5},
            "attack, retrained": {"mean": 1.0},
            "tuning, trials": {"mean": 12.0},
            "tuning, time": {"mean": 90.0},
        },
        "b": {
            "accuracy, before": {"mean": 0.5},
            "accuracy, after": {"mean": 1000.0},
            "attack, unlearned": {"mean": 1.0},
            "attack, retrained": {"mean": 1.0},
            "tuning, trials": {"mean": 0.0},
        },
    }
    for broken in ("", "| a | b |\n|---|---|\n| c | word |\n"):
        with pytest.raises((ValueError, StopIteration)):
            read(broken)


def test_an_entry_is_made_of_a_sweep_s_folder(tmp_path, check, capsys):
    folder = tmp_path / "sweep"
    program = (*SMALL, "unlearner=newton_corrected,none", "seed=0,1,2", "removal.count=3")
    ended = cli.expunge("-m", *program, f"hydra.sweep.dir={folder}", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    out = tmp_path / "entry.json"
    told = [word for key, value in WHO.items() for word in (f"--{key}", value)]
    assert main([str(folder), *told, "--commit", "0123abc", "--out", str(out)]) == 0
    made = json.loads(out.read_text())
    check.validate(made)
    assert made["data"] == "digits_3v8, 286 training, 71 test rows"
    assert made["forget_set"].startswith("3 requests (count 3")
    assert (made["version"], made["sort"]) == (expunge.__version__, "test accuracy, after")
    first = made["methods"][0]
    assert (first["method"], first["seeds"], first["settings"]["lam"]) == ("newton_corrected", 3, 0.001)
    runs = expunge.load(folder)
    after = interval(list(runs[runs["unlearner"].str.startswith("newton_corrected")]["test_accuracy_after"]))
    assert first["values"]["test accuracy, after"]["mean"] == pytest.approx(after.mean, abs=5e-5)

    assert main([str(folder), *told, "--sort", "nonsense"]) == 2
    assert "leaderboard: --sort: got 'nonsense', allowed: " in capsys.readouterr().err
    assert main([str(folder), *told, "--better", "ToW=up"]) == 2
    assert main([str(ROOT / "experiments/compare/methods/table.md"), *told]) == 2
    assert (
        "does not say --title, --data, --model, --forget-set, --version: give it" in capsys.readouterr().err
    )
    assert main([str(tmp_path / "nowhere"), *told]) == 2


def test_a_study_s_entry_is_told_which_way_is_better():
    table = ROOT / "experiments/compare/evaluations/table.md"
    facts = {fact: "x" for fact in ("title", "data", "model", "forget_set", "version")}
    made = entry(Path(table), {**WHO, **facts, "better": ["KLOM, forget=lower"], "sort": "KLOM, forget"})
    assert made["metrics"]["KLOM, forget"]["better"] == "lower"
    assert made["metrics"]["KLOM, test"]["better"] == ""
