"""Reports: from synthetic run folders to table, figures and page."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from expunge.core import text
from expunge.core.columns import Column
from expunge.core.errors import RunFolderError
from expunge.record.columns import merged
from expunge.report import app, find_runs, read_run, write_report
from expunge.report.figures.draw import draw_all, write_run_figures
from expunge.report.read import names
from expunge.report.tables import table
from expunge.report.tables.contents import Contents
from expunge.report.tables.notes import warnings
from expunge.report.tables.table_rows import ordered, rows
from tests.report.printing import printed

BUDGET = 2.28
CERTIFIED = {"lam": 1e-3, "std": 10.0, "epsilon": 1.0, "delta": 1e-4}


def _noise(i: int) -> float:
    """Return something in [-1, 1] that looks random and never changes."""
    return math.sin(12.9898 * i) * math.cos(78.233 * i)


def _newton(i: int) -> dict:
    in_cycle = (i - 1) % 231
    retrained = i > 1 and in_cycle == 0
    return {
        "outcome": "retrained" if retrained else "removed",
        "reason": "budget" if retrained else "",
        "residual_bound": 1e-6 if retrained else 0.00986 * (in_cycle + 1),
        "residual_measured": None,
        "budget": BUDGET,
        "seconds": 0.48 if retrained else 0.0095 * (1 + 0.1 * _noise(i)),
    }


def _corrected(i: int) -> dict:
    bound = 0.004 * (1.1 + _noise(i)) + 0.001
    return {
        "outcome": "removed",
        "residual_bound": bound,
        "residual_measured": bound,
        "budget": BUDGET,
        "seconds": 0.0082 * (1 + 0.15 * _noise(i)),
    }


def _retrain(i: int) -> dict:
    return {"outcome": "retrained", "seconds": 0.5 * (1 + 0.06 * _noise(i))}


def _none(i: int) -> dict:
    return {"outcome": "refused", "reason": "this method does nothing", "seconds": 1e-7}


METHODS = {"newton": _newton, "newton_corrected": _corrected, "retrain": _retrain, "none": _none}


def _fill(record: dict, i: int, unlearner: str) -> dict:
    empty = ("residual_bound", "residual_measured", "budget", "epsilon_spent", "retain_accuracy")
    record = {**dict.fromkeys(empty), "request": i, "rows": [(i * 7919) % 11982], "reason": "", **record}
    if record["residual_bound"] is not None:
        record["epsilon_spent"] = record["residual_bound"] / record["budget"]
    evaluated = i % 10 == 0
    record["test_accuracy"] = 0.9521 + 0.0012 * _noise(i + len(unlearner)) if evaluated else None
    record["forget_accuracy"] = (
        0.945 + 0.02 * _noise(i // 50) - (unlearner != "none") * 0.01 if evaluated else None
    )
    return record


def end_as(records: list[dict], summary: dict) -> None:
    """Give the records the outcomes that a summary is to count, if it says so."""
    counted = [name for name in ("removed", "retrained", "refused") for _ in range(summary.get(name, 0))]
    for record, outcome in zip(records, counted, strict=False):
        record["outcome"] = outcome


def make_run(folder: Path, unlearner: str, requests: int = 60, config: dict | None = None, **summary) -> Path:
    """Write a run folder with realistic numbers."""
    records = [_fill(METHODS[unlearner](i), i, unlearner) for i in range(1, requests + 1)]
    end_as(records, summary)
    total = 0
    for record in records:
        total += record["outcome"] != "refused"
        record.update(removed_total=total, retained=11982 - total)
    settings = {
        "name": unlearner,
        **(CERTIFIED if "newton" in unlearner else {"lam": 1e-3}),
        **(config or {}),
    }
    outcomes = [r["outcome"] for r in records]
    served = next((i for i, o in enumerate(outcomes) if o != "removed"), requests)
    last = records[-1] if records else {}
    times = sorted(r["seconds"] for r in records) or [None]
    middle, p95 = times[len(times) // 2], times[int(len(times) * 0.95)]
    summary = {
        **{"dataset": "mnist_3v8", "extractor": "none", "model": None, "unlearner": unlearner, "seed": 0},
        **{"n_train": 11982, "n_test": 1984, "requests": requests},
        **{o: outcomes.count(o) for o in ("removed", "retrained", "refused")},
        **{"removals_supported": served, "budget_exhausted": served < requests},
        **{"test_accuracy_before": 0.9521, "test_accuracy_after": 0.9516},
        **{key: last.get(key) for key in ("residual_bound", "residual_measured", "budget")},
        **{"epsilon": settings.get("epsilon"), "delta": settings.get("delta"), "seconds_fit": 0.61},
        **{
            "seconds_removal_median": middle,
            "seconds_removal_p95": p95,
        },
        **{"peak_memory_mb": 412.5, "versions": {"python": "3.12.1", "torch": "2.6.0", "expunge": "0.1.0"}},
        **summary,
    }
    config = {
        **{"seed": summary["seed"], "device": "cpu", "data_dir": "/home/somebody/.cache/expunge"},
        **{"dataset": {"name": "mnist_3v8", "seed": "${seed}", "folder": "/home/somebody/faces"}},
        **{"extractor": {"name": "none"}, "removal": {"count": requests, "key": "${oc.env:HOME}"}},
        **{"unlearner": settings},
    }
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(json.dumps(config))
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "removals.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    return folder


def make_sweep(folder: Path, requests: int = 60) -> Path:
    """Write one run of every method into a multirun folder."""
    for place, unlearner in enumerate(("none", "retrain", "newton", "newton_corrected")):
        make_run(folder / str(place), unlearner, requests)
    return folder


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    return make_sweep(tmp_path_factory.mktemp("base") / "sweep", requests=300)


@pytest.fixture(scope="module")
def report(sweep, tmp_path_factory) -> Path:
    return write_report([sweep], tmp_path_factory.mktemp("out")).parent


def _cells(folder: Path) -> list[dict[str, str]]:
    found = rows(ordered(find_runs([folder]).runs))
    return [{c.head: c.cell(row) for c in table.columns(found)} for row in found]


def test_cells_of_the_table(sweep):
    newton, corrected, retrain, none = _cells(sweep)
    assert newton["unlearner"] == "newton"
    assert newton["test accuracy"] == "0.9521 → 0.9516"
    assert newton["supported"] == "231 of 300"
    assert (newton["retrained"], newton["refused"]) == ("1", "0")
    assert newton["residual"] == text.NONE
    assert corrected["residual"] == text.number(_corrected(300)["residual_measured"])
    assert newton["budget used"] == "30%"
    assert newton["ε spent"] == "0.298 of 1"
    assert corrected["supported"] == "all 300"
    assert re.fullmatch(r"0\.\d+%", corrected["budget used"])
    assert re.fullmatch(r"8\.\d+ ms, 9\.\d+ ms", corrected["time / removal"])
    assert corrected["retraining time"] == retrain["retraining time"] == "500 ms"
    assert corrected["speed-up"] == "61×"
    assert retrain["speed-up"] == "1×"
    assert none["refused"] == "300"
    assert {none[k] for k in ("residual", "budget used", "ε spent", "time / removal", "speed-up")} == {
        text.NONE
    }


def _edited(folder: Path, change: Callable[[dict], Any]) -> Path:
    """Change the configuration of a run."""
    path = folder / ".hydra" / "config.yaml"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))
    return folder


OTHERS = {
    "data": {"dataset": "svhn"},
    "features": {"extractor": "dp"},
    "model": {"model": "mlp"},
}
CHANGES = {
    "lam": lambda config: config["unlearner"].update(lam=0.5),
    "device": lambda config: config.update(device="cuda"),
    "threads": lambda config: config.update(threads=8),
    "training": lambda config: config.update(training={"max_iter": 1}),
    "extractor": lambda config: config["extractor"].update(scaling="row"),
}


@pytest.mark.parametrize("other", [*OTHERS, *CHANGES])
def test_there_is_no_speed_up_without_a_measured_retraining_of_the_same_problem(tmp_path, other):
    make_run(tmp_path / "a", "newton")
    _edited(make_run(tmp_path / "b", "retrain", **OTHERS.get(other, {})), CHANGES.get(other, lambda _: None))
    newton = rows(ordered(find_runs([tmp_path]).runs))[0]
    assert (newton.seconds_retrain, newton.retrain_from, newton.speed_up) == (None, "", None)
    assert "the speed of" not in write_report([tmp_path], tmp_path / "out").read_text(encoding="utf-8")
    make_run(tmp_path / "c", "retrain", seed=1)
    newton = rows(ordered(find_runs([tmp_path]).runs))[0]
    assert newton.retrain_from.endswith("/c")
    assert newton.speed_up == pytest.approx(0.5 / 0.0095, rel=0.1)
    make_run(tmp_path / "d", "retrain")
    assert rows(ordered(find_runs([tmp_path]).runs))[0].retrain_from.endswith("/d"), "of the same seed"


def _timed(folder: Path, unlearner: str, times: list[tuple[str, float | None]], **more) -> Path:
    """Write a run with these outcomes and seconds."""
    make_run(folder, unlearner, len(times), **more)
    path = folder / "removals.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    gone = 0
    for record, (outcome, seconds) in zip(records, times, strict=True):
        gone += outcome != "refused"
        record |= {"outcome": outcome, "seconds": seconds, "removed_total": gone, "retained": 11982 - gone}
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    summary = json.loads((folder / "summary.json").read_text())
    summary |= {o: sum(outcome == o for outcome, _ in times) for o in ("removed", "retrained", "refused")}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def test_the_time_of_a_removal_is_that_of_updates_after_the_first(tmp_path):
    again, refused, cold = ("retrained", 9.0), ("refused", 0.0), ("removed", 5.0)
    _timed(tmp_path / "a", "newton", [cold, again, ("removed", 0.1), refused, ("removed", 0.3)])
    _timed(tmp_path / "b", "newton", [again] * 5, seed=1)
    _timed(tmp_path / "c", "newton", [refused, cold, refused, again, again], seed=2)
    _timed(tmp_path / "d", "retrain", [("retrained", 70.0), ("retrained", 1.0), ("retrained", 3.0)])
    one, only_retrained, once, reference = rows(ordered(find_runs([tmp_path]).runs))
    assert (one.seconds_removal_median, one.seconds_retrain) == (pytest.approx(0.2), 2.0)
    assert one.speed_up == pytest.approx(10)
    assert (only_retrained.seconds_removal_median, only_retrained.speed_up) == (None, None)
    assert once.seconds_removal_median == 5.0, "there is no other"
    assert (reference.seconds_removal_median, reference.speed_up) == (2.0, 1.0)


def test_a_method_is_what_its_role_says_whatever_its_name(tmp_path):
    roles = {
        "none": ("idle", "baseline"),
        "retrain": ("gold", "reference"),
        "newton": ("retrain", "certified"),
    }
    for method, (name, role) in roles.items():
        path = make_run(tmp_path / method, method, 20) / "summary.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "unlearner": name, "role": role}))
    newton, gold, _ = found = rows(ordered(find_runs([tmp_path]).runs))
    assert [row.unlearner for row in found] == ["retrain", "gold", "idle"]
    assert [row.role for row in found] == ["certified", "reference", "baseline"]
    assert newton.retrain_from == gold.retrain_from == "run " + gold.run
    assert newton.seconds_retrain == gold.seconds_removal_median
    assert newton.speed_up == pytest.approx(0.5 / 0.0095, rel=0.1)


def test_columns_of_several_runs_keep_their_order():
    first, second = (dict.fromkeys(keys, Column(keys)) for keys in ("adf", "zabdeg"))
    found = merged([first, second])
    assert "".join(found) == "zabdegf"
    assert (found["a"].head, found["e"].head) == ("adf", "zabdeg")


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ({"head": "x", "format": "roman"}, "format 'roman'"),
        ({"head": "x", "arrow": "→"}, "arrow '→'"),
        ({"head": "x", "plot": {"colour": "red"}}, "colour"),
        ({"head": "x", "plot": {"figure": "f", "kind": "spiral"}}, "kind 'spiral'"),
    ],
)
def test_columns_that_cannot_be_read_are_one_line(tmp_path, said, what):
    folder = make_run(tmp_path, "newton", 3, columns={"toy": said})
    with pytest.raises(RunFolderError, match=rf"summary\.json:1: 'columns' cannot be read \(.*{what}"):
        read_run(folder)


def test_words_of_a_column_are_text(tmp_path):
    said = {
        "head": "<b>\x1b[31m",
        "definition": "a|b <i>",
        "beside": "other",
        "cell": "{value.__class__} {value}",
    }
    folder = make_run(tmp_path, "newton", 3, columns={"toy": said}, toy=0.5, other=0.25)
    found = rows([read_run(folder)])
    (column,) = (c for c in table.columns(found) if c.key == "toy")
    assert column.cell(found[0]) == "{value.__class__} 0.5"
    assert "\x1b" not in printed(found)
    assert "- **&lt;b>?[31m**: A\\|b &lt;i>." in Contents.of(find_runs([folder])).as_markdown()
    assert not {"b", "i"} & _Page(write_report([folder]).read_text(encoding="utf-8")).tags


def test_labels_say_only_what_differs(tmp_path):
    for name, config in {"a": {"lam": 1e-4, "std": 1.0}, "b": {"lam": 1e-3, "std": 10.0}}.items():
        make_run(tmp_path / name, "newton_corrected", 5, config)
    make_run(tmp_path / "c", "retrain", 5)
    runs = find_runs([tmp_path]).runs
    assert names.labels(runs) == [
        "newton_corrected (lam 1e-4, std 1)",
        "newton_corrected (lam 1e-3, std 10)",
        "retrain",
    ]
    assert names.labels(runs[1:]) == ["newton_corrected", "retrain"]


def test_labels_fall_back_on_other_settings_and_then_on_the_folder(tmp_path):
    for name, refresh in {"a": 1, "b": 2}.items():
        make_run(tmp_path / "base" / name, "newton", 5, {"refresh": refresh})
    assert names.labels(find_runs([tmp_path / "base"]).runs) == [
        "newton (unlearner.refresh 1)",
        "newton (unlearner.refresh 2)",
    ]
    make_run(tmp_path / "base" / "c", "newton", 5, {"refresh": 2})
    assert names.labels(find_runs([tmp_path / "base"]).runs)[2] == "newton (base/c)"


def test_a_run_from_before_there_was_a_setting_is_alike_to_one_that_leaves_it_null(tmp_path):
    for name, settings in {"old": {}, "new": {"later": None}, "set": {"later": 3}}.items():
        make_run(tmp_path / "base" / name, "newton", 5, settings)
    runs = {run.folder.name: run for run in find_runs([tmp_path / "base"]).runs}
    groups = names.alike([runs["old"], runs["new"], runs["set"]])
    assert [[run.folder.name for run in group] for group in groups] == [["old", "new"], ["set"]]
    assert names.is_set_alike(runs["old"], runs["new"])
    told = [names.label(*note) for note in names.notes_of_groups(groups)]
    assert told == ["newton (unlearner.later –)", "newton (unlearner.later 3)"]
    assert names.labels([runs["old"], runs["new"]]) == ["newton (base/old)", "newton (base/new)"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (3.2e-5, "32 µs"),
        (0.0095, "9.5 ms"),
        (0.9996, "1 s"),
        (1.234, "1.23 s"),
        (300, "5 min"),
        (9000, "2.5 h"),
    ],
)
def test_seconds(value, shown):
    assert text.seconds(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (1e-4, "1e-4"),
        (0.00131, "0.00131"),
        (2.28, "2.28"),
        (12345.6, "12,346"),
        (None, "–"),
        (1e9, "1e9"),
    ],
)
def test_number(value, shown):
    assert text.number(value) == shown


def test_csv_round_trip(sweep, report):
    with open(report / "table.csv", newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    expected = rows(ordered(find_runs([sweep]).runs))
    assert [r["unlearner"] for r in read] == ["newton", "newton_corrected", "retrain", "none"]
    for got, row in zip(read, expected, strict=True):
        for key, value in row.values.items():
            if value is None:
                assert got[key] == ""
            elif isinstance(value, float):
                assert float(got[key]) == value
            else:
                assert got[key] == str(value)


def test_markdown_has_a_row_for_each_run_and_escapes_bars(tmp_path):
    make_run(tmp_path / "x", "newton", 5, model="a|<b>")
    make_run(tmp_path / "y", "newton", 5)
    lines = Contents.of(find_runs([tmp_path])).as_markdown().splitlines()
    assert lines[2].startswith("| newton (a\\|&lt;b>) |")
    assert len({re.sub(r"\\\|", "", line).count("|") for line in lines[:4]}) == 1


def test_different_requests_are_warned_of(tmp_path):
    make_run(tmp_path / "a", "newton", 20)
    make_run(tmp_path / "b", "retrain", 10)
    runs = find_runs([tmp_path]).runs
    assert "not equally many" in warnings(runs)[0]
    runs[1].records[3]["rows"] = [1]
    assert "rows differ" in warnings(runs)[0]
    assert warnings(runs[:1]) == []


def test_folders_in_natural_order_and_unfinished_ones_apart(tmp_path, capsys):
    for name in ("10", "2"):
        make_run(tmp_path / "deep" / "er" / name, "newton", 5)
    (tmp_path / "deep" / "begun").mkdir()
    (tmp_path / "deep" / "begun" / "removals.jsonl").write_text('{"cut')
    found = find_runs([tmp_path, tmp_path / "deep"])
    assert [run.folder.name for run in found.runs] == ["2", "10"]
    assert [(one.folder.name, one.failed) for one in found.left_out] == [("begun", False)]
    assert app.main([str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    assert re.search(r"unfinished, left out: .*begun", capsys.readouterr().err)
    assert "/deep/begun</code>" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def _break_line(folder: Path) -> str:
    file = folder / "removals.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:2], lines[2][:30], *lines[3:]]))
    return "removals.jsonl:3: not JSON"


def _cut_short(folder: Path) -> str:
    file = folder / "removals.jsonl"
    file.write_text("\n".join(file.read_text().splitlines()[:4]) + "\n")
    return "removals.jsonl:5: 4 records, but summary.json counts 6"


def _odd_outcome(folder: Path) -> str:
    file = folder / "removals.jsonl"
    file.write_text(file.read_text().replace('"removed"', '"forgotten"', 1))
    return "removals.jsonl:1: 'outcome' must be one of removed, retrained, refused, is 'forgotten'"


def _no_records(folder: Path) -> str:
    (folder / "removals.jsonl").unlink()
    return "removals.jsonl: missing from the run folder"


def _broken_summary(folder: Path) -> str:
    (folder / "summary.json").write_text('{"dataset": "x",\n "requests"}')
    return "summary.json:2: not JSON"


def _broken_config(folder: Path) -> str:
    (folder / ".hydra" / "config.yaml").write_text("seed: 0\nunlearner: [1, 2\nlam: 3\n")
    return "config.yaml:3: not YAML"


def _not_text(folder: Path) -> str:
    file = folder / "removals.jsonl"
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[0] + b"\xff\xfe\n")
    return "removals.jsonl:2: not UTF-8 text"


@pytest.mark.parametrize(
    "damage",
    [_break_line, _cut_short, _odd_outcome, _no_records, _broken_summary, _broken_config, _not_text],
)
def test_a_broken_file_is_one_line_and_exit_code_2(tmp_path, capsys, damage):
    folder = make_run(tmp_path / "run", "newton", 6)
    expected = damage(folder)
    with pytest.raises(RunFolderError) as caught:
        read_run(folder)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert app.main([str(tmp_path)]) == 2
    assert expected in capsys.readouterr().err


def test_no_runs_and_no_folder_are_exit_code_2(tmp_path, capsys):
    assert app.main([str(tmp_path)]) == 2
    assert app.main([str(tmp_path / "absent")]) == 2
    err = capsys.readouterr().err
    assert "no finished run in" in err
    assert "absent: no such folder" in err
    assert len(err.splitlines()) == 2


def test_the_command_prints_the_table_and_writes_beside_the_runs(sweep, tmp_path, capsys, monkeypatch):
    assert app.main([str(sweep)]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[3:7]] == [
        "newton",
        "newton_corrected",
        "retrain",
        "none",
    ]
    assert max(map(len, out.split("Written to")[0].splitlines())) <= 80
    assert "↑ more is better" not in out
    names = {path.name for path in (sweep / "report").iterdir()}
    drawn = {f"{n}.{e}" for n in ("residual", "accuracy", "cost") for e in ("png", "svg", "pdf")}
    assert names == {"report.html", "table.md", "table.csv", "table.tex", "methods.csv"} | drawn
    shutil.rmtree(sweep / "report")
    monkeypatch.chdir(tmp_path)
    assert write_report([sweep / "0", sweep / "1"]) == Path("report/report.html")


def test_same_inputs_give_the_same_bytes(report, sweep, tmp_path):
    again = write_report([sweep], tmp_path).parent
    for path in report.iterdir():
        if path.suffix == ".pdf":  # of which the converter orders the fonts as it likes
            assert path.stat().st_size == (again / path.name).stat().st_size
            assert path.read_bytes().startswith(b"%PDF-")
        else:
            assert path.read_bytes() == (again / path.name).read_bytes(), path.name


def test_figures_leave_out_what_has_no_values(sweep):
    by_name = {run.unlearner: run for run in find_runs([sweep]).runs}
    residual, accuracy, cost = draw_all(list(by_name.values()))
    assert "retrain, none" in residual.caption
    assert "is itself the bound" in residual.caption
    assert "budget" in residual.svg
    assert "<text" in residual.svg
    assert [d.name for d in draw_all([by_name["none"]])] == ["accuracy"]
    assert (accuracy.name, cost.name) == ("accuracy", "cost")


def test_figures_of_one_run(sweep, tmp_path):
    names = [p.name for p in write_run_figures(read_run(sweep / "2"), tmp_path / "figures")]
    assert names == ["residual.png", "residual.svg", "accuracy.png", "accuracy.svg"]
    names = [p.name for p in write_run_figures(read_run(sweep / "0"), tmp_path / "figures2")]
    assert names == ["accuracy.png", "accuracy.svg"]


def test_a_run_without_requests_still_has_a_report(tmp_path):
    make_run(tmp_path / "a", "newton", 0)
    page = write_report([tmp_path]).read_text(encoding="utf-8")
    assert "0 requests" in page


class _Page(HTMLParser):
    """Collects what could reach outside, and checks that elements close in order."""

    VOID = frozenset({"meta", "link", "br", "img", "hr", "input"})

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.feed(content)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            if name in {"src", "href", "xlink:href", "srcset", "action", "data"}:
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_page_is_whole_and_reaches_for_nothing_outside(report):
    content = (report / "report.html").read_text(encoding="utf-8")
    page = _Page(content)
    assert page.open == []
    assert {"html", "title", "table", "svg", "figure", "details"} <= page.tags
    assert not {"link", "img", "iframe", "object"} & page.tags
    within = {link[1:] for link in page.links if link.startswith("#")}
    assert within <= set(page.ids)
    # All others lead to the run folders.
    assert not any(re.match(r"/|[a-z]+:", link) for link in page.links)
    assert len(page.ids) == len(set(page.ids))
    still = re.sub(r"<script.*?</script>", "", content, flags=re.DOTALL)  # the browser tests ask the script
    assert not re.search(r"url\((?!#)|@import|https?://", still)
    assert "prefers-color-scheme: dark" in content


def test_page_says_what_the_certificate_does_not(report):
    content = " ".join((report / "report.html").read_text(encoding="utf-8").split())
    for words in (
        "What this certificate does not say",
        "As published",
        "a released model can tell which of them it was",
        "small enough is not enough where it depends on b itself",
        "One model only",
        "must not be decided by looking at a released model",
        "must not depend on the removed rows",
        "must stay secret",
    ):
        assert words in content


def test_no_place_of_the_machine_gets_into_the_files(report, sweep):
    for path in report.iterdir():
        content = path.read_bytes().decode("utf-8", "ignore")
        assert "/home/somebody" not in content
        assert str(sweep.parent) not in content
        assert os.path.expanduser("~") + "/" not in content


def test_references_within_the_config_are_followed_and_the_environment_is_not(sweep):
    run = read_run(sweep / "2")
    assert run.setting("dataset.seed") == 0
    assert run.setting("removal.key") == "${oc.env:HOME}"


EVIL = "<script>alert('$x$')</script>\"&\x1b[31m{{ 7 * 7 }}{% raw %}"


def test_names_from_files_are_escaped_everywhere(tmp_path):
    for name, config in {"<b>a": {"update": EVIL}, "b": {"update": "plain"}}.items():
        make_run(tmp_path / name, "newton", 20, config, dataset=EVIL, versions={EVIL: EVIL})
    page = write_report([tmp_path])
    content = page.read_text(encoding="utf-8")
    parsed = _Page(content)
    assert "b" not in parsed.tags
    assert re.findall(r"<script[^>]*>", content).count("<script>") <= 2  # the page's own
    assert "{{ 7 * 7 }}{% raw %}" in content, "text, which no template reads"
    assert "&lt;script&gt;" in content
    assert "\x1b" not in content + printed(rows(find_runs([tmp_path]).runs))
    assert "<script" not in (page.parent / "residual.svg").read_text(encoding="utf-8")


def test_an_extractor_that_is_not_private_gets_no_total(tmp_path):
    totals = {"epsilon_total": 1.118, "delta_total": 1.1e-4}
    folder = make_run(tmp_path / "a", "newton", 5, **totals)
    assert "ε 1.12" in write_report([folder]).read_text(encoding="utf-8")
    config = json.loads((folder / ".hydra" / "config.yaml").read_text())
    config["extractor"]["mode"] = "private"
    (folder / ".hydra" / "config.yaml").write_text(json.dumps(config))
    content = write_report([folder]).read_text(encoding="utf-8")
    assert "ε 1.12" not in content
    assert "which is not private" in content


def test_help_teaches_and_does_not_wait_for_matplotlib():
    code = "import sys; from expunge.report.app import main\ntry: main(['--help'])\n"
    code += "finally: assert 'matplotlib' not in sys.modules"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # The promise is half a second; a loaded test machine gets some slack.
    assert time.perf_counter() - start < 3
    assert "examples:" in done.stdout


CHROMIUM = shutil.which("chromium")


@pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not on PATH, so the page cannot be rendered for real"
)
def test_chromium_renders_the_page(report, tmp_path):
    quiet = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking"
    command = [CHROMIUM, *quiet.split(), "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1200,1600"]
    shot = tmp_path / "page.png"
    url = (report / "report.html").resolve().as_uri()
    subprocess.run([*command, f"--screenshot={shot}", url], capture_output=True, timeout=60, check=True)
    from matplotlib.image import imread

    pixels = imread(shot)[..., :3]
    assert pixels.shape[:2] == (1600, 1200)
    # Figures and table are there: the page is not one blank colour.
    assert all(band.std() > 0.02 for band in (pixels[:400], pixels[400:800], pixels[800:1600]))
