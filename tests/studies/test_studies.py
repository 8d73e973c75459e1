"""Studies: a toy one, added by one file and one YAML, through the command line from end to end."""

from __future__ import annotations

import json
import signal
import sys
import textwrap
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from expunge.report import app as report_app
from expunge.report import find_runs
from tests import cli

CODE = """
    import os
    import signal

    from expunge.core.checks import require_count
    from expunge.core.errors import InvalidValue
    from expunge.charts.pictures import picture


    class Squares:
        '''The squares of a few numbers.'''

        name = "toy/squares"

        def __init__(self, count: int, offset: int = 0, late: bool = False):
            self.count, self.offset, self.late = require_count("count", count), offset, late

        def cells(self):
            return [{"number": k} for k in range(self.count)]

        def run_cell(self, cell, seed):
            if os.environ.get("TOY_KILL_AT") == str(cell["number"]):
                os.kill(os.getpid(), signal.SIGKILL)
            if self.late:
                raise InvalidValue("late", True, "false")
            return {"square": cell["number"] ** 2 + self.offset + seed, "nothing": None}

        def table(self, records):
            values = [record["square"] for record in records]
            return [
                {"of": "least <b>|", "square": min(values), "share": 0.25, "text": "5-7"},
                {"of": "greatest", "square": max(values), "ok": True},
            ]

        def summary(self, records):
            return {"total": sum(record["square"] for record in records)}

        def figures(self, records, folder):
            def paint(figure, axes):
                axes[0, 0].imshow([[record["square"] for record in records]])

            picture("squares", "Squares", "", (3, 2), (1, 1), paint).save(folder)


    class Watch:
        '''A tracker that keeps what it receives.'''

        def start(self, config, folder, group):
            self.file = open(folder / "watched.txt", "w")

        def log(self, record):
            self.file.write(f"{record['request']} {record['square']} {'nothing' in record}\\n")

        def finish(self, summary):
            self.file.write(f"total {summary['total']}\\n")

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()
"""
YAMLS = {
    "experiment/toy/squares": """
        # @package _global_
        defaults:
          - /study
          - _self_

        study:
          _target_: expunge_plugins.squares.Squares
          count: 5
          offset: 0
          late: false
    """,
    "tracker/watch": "_target_: expunge_plugins.squares.Watch",
}
TOY = ("--config-dir", "conf", "+experiment=toy/squares", "threads=1")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the plug-in and its YAML, importable in this process too."""
    folder = tmp_path_factory.mktemp("studies")
    module = folder / "code" / "expunge_plugins" / "squares.py"
    module.parent.mkdir(parents=True)
    module.write_text(textwrap.dedent(CODE))
    for name, text in YAMLS.items():
        file = folder / "conf" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip())
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder / "code"))
        yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "expunge_plugins"]:
        del sys.modules[name]


def study(place: Path, folder: Path, *arguments: str) -> cli.Ended:
    return cli.expunge(*TOY, *arguments, f"hydra.run.dir={folder}", cwd=place)


def completed(place: Path, folder: Path, *arguments: str) -> Path:
    ended = study(place, folder, *arguments)
    assert (ended.code, ended.err) == (0, "")
    return folder


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def results(folder: Path) -> bytes:
    return cli.without_seconds((folder / "results.jsonl").read_bytes())


@pytest.fixture(scope="module")
def whole(place):
    return completed(place, place / "whole", "figures=false")


# What a study leaves


def test_one_file_and_one_yaml_are_an_experiment(place, tmp_path):
    ended = study(place, tmp_path / "run", "tracker=watch", "seed=3", "study.offset=1")
    folder = tmp_path / "run"
    assert (ended.code, ended.err) == (0, "")
    assert set(cli.contents(folder)) == {
        *(
            *("results.jsonl", "results.sha256"),
            *("summary.json", "summary.sha256"),
            *(f".hydra/{name}.sha256" for name in ("config", "hydra", "overrides")),
            "inputs.json",
            "figures/squares.png",
            "figures/squares.svg",
            "watched.txt",
        ),
        *(".hydra/config.yaml", ".hydra/overrides.yaml", ".hydra/hydra.yaml"),
    }
    lines = records(folder)
    assert [list(line) for line in lines] == [["cell", "seconds", "number", "square", "nothing"]] * 5
    assert [line["cell"] for line in lines] == [1, 2, 3, 4, 5]
    assert [line["square"] for line in lines] == [4, 5, 8, 13, 20]
    summary = cli.summary(folder)
    assert set(summary) == {"study", "seed", "cells", "seconds", "inputs", "versions", "table", "total"}
    assert (summary["study"], summary["seed"], summary["cells"]) == ("toy/squares", 3, 5)
    assert summary["total"] == 50
    assert summary["seconds"] == sum(line["seconds"] for line in lines)
    watched = ["1 4 False", "2 5 False", "3 8 False", "4 13 False", "5 20 False", "total 50"]
    assert (folder / "watched.txt").read_text().splitlines() == watched
    assert "toy/squares" in ended.out
    shown = [line.split() for line in ended.out.splitlines()]
    assert any(line[:5] == ["least", "<b>|", "4", "0.25", "5-7"] for line in shown)
    assert ["greatest", "20", "–", "–", "yes"] in shown
    assert shown[-1][:2] == ["Next:", "expunge-report"]


def test_configuration_holds_nothing_of_runs(whole):
    config = OmegaConf.load(whole / ".hydra" / "config.yaml")
    assert "study" in config
    assert not {"dataset", "extractor", "model", "training", "unlearner", "removal", "metrics"} & set(config)


def test_sweep(place, tmp_path):
    values = ("study.count=2,3", "seed=0,1", "figures=false", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    ended = cli.expunge("-m", *TOY, *values, cwd=place)
    assert (ended.code, ended.err) == (0, "")
    found = find_runs([tmp_path / "sweep"])
    assert sorted((s.summary["cells"], s.summary["seed"]) for s in found.studies) == [
        (2, 0),
        (2, 1),
        (3, 0),
        (3, 1),
    ]
    assert (found.runs, found.left_out) == ([], [])


def test_help_lists_it(place):
    ended = cli.expunge(*TOY, "--help", cwd=place)
    assert (ended.code, ended.err) == (0, "")
    assert "  experiment/toy: squares" in ended.out.splitlines()
    assert "_target_: expunge_plugins.squares.Squares" in ended.out


# Going on


@pytest.mark.parametrize("left", [0, 1, 20, -2, -1], ids="{}-bytes-left".format)
def test_last_line_cut(place, whole, tmp_path, left):
    folder = completed(place, tmp_path / "run", "figures=false")
    (folder / "summary.json").unlink()
    lines = (folder / "results.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "results.jsonl").write_bytes(b"".join(lines[:-1]) + lines[-1][: left % len(lines[-1])])
    completed(place, folder, "figures=false", "resume=true", "tracker=watch", "progress=false")
    assert results(folder) == results(whole)
    assert (folder / "results.jsonl").read_bytes().startswith(b"".join(lines[:-1])), "nothing is done again"
    assert cli.summary(folder).keys() == cli.summary(whole).keys()
    assert len((folder / "watched.txt").read_text().splitlines()) == 6, "a tracker gets the earlier ones too"


def test_killed_between_two_cells(place, whole, tmp_path):
    values = (*TOY, "figures=false", f"hydra.run.dir={tmp_path / 'run'}")
    env = {"PYTHONPATH": str(place / "code"), "TOY_KILL_AT": "3"}
    ended = cli.wait(cli.start(*values, cwd=place, **env))
    assert ended.code == -signal.SIGKILL
    assert len(records(tmp_path / "run")) == 3
    assert not (tmp_path / "run" / "summary.json").exists()
    before = (tmp_path / "run" / "results.jsonl").read_bytes()
    completed(place, tmp_path / "run", "figures=false", "resume=true")
    assert (tmp_path / "run" / "results.jsonl").read_bytes().startswith(before)
    assert results(tmp_path / "run") == results(whole)


def test_complete_study_is_left_alone_but_for_missing_figures(place, tmp_path):
    folder = completed(place, tmp_path / "run", "figures=false")
    before = cli.contents(folder)
    completed(place, folder, "figures=false", "resume=true")
    assert cli.contents(folder) == before
    completed(place, folder, "resume=true")
    assert set(cli.contents(folder)) - set(before) == {"figures/squares.png", "figures/squares.svg"}


# Bad input


VALUES = {
    "study.count=0": ("study.count: got 0", "a whole number >= 1"),
    "study.late=true": ("study.late: got True", "false"),
    "study.nope=1": ("study.nope: no such key", "count, offset"),
    "+study.nope=1": ("study: got 'nope'", "the keys count, offset, late"),
    "study._target_=os.system": ("study._target_: got 'os.system'", "the package expunge"),
    "unlearner.lam=3": ("unlearner.lam: no such key", "study"),
    "unlearner=newton": ("unlearner: got a setting", "none"),
    "+unlearner.lam=3": ("unlearner: got a setting", "none"),
    "dataset=digits_3v8": ("dataset: got a setting", "none"),
    "metrics=[accuracy]": ("metrics: got a setting", "none"),
    "seed=-1": ("seed: got -1", "a whole number >= 0"),
    "threads=0": ("threads: got 0", "a whole number >= 1"),
}


@pytest.mark.parametrize("argument", VALUES)
def test_bad_keys_leave_no_folder(place, tmp_path, argument):
    named, allowed = VALUES[argument]
    ended = study(place, tmp_path / "run", argument)
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert line.startswith(f"expunge: {named}")
    assert allowed in line
    assert not (tmp_path / "run").exists()


def refused_in(place: Path, folder: Path, *arguments: str) -> str:
    """Run in a folder that holds something; nothing in it may change."""
    before = cli.contents(folder)
    ended = study(place, folder, "figures=false", *arguments)
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert cli.contents(folder) == before
    return line


def test_another_study_is_not_written_over(place, whole):
    assert "already holds a run; continue it with resume=true" in refused_in(place, whole)
    assert "resume: seed was 0 and is now 1" in refused_in(place, whole, "resume=true", "seed=1")
    assert "resume: study.count was 5" in refused_in(place, whole, "resume=true", "study.count=6")


def test_runs_and_studies_do_not_write_over_each_other(place, whole, tmp_path):
    run = cli.completed(*cli.SMALL, "removal.count=2", folder=tmp_path / "run")
    assert "already holds a run" in refused_in(place, run)
    assert "resume: " in refused_in(place, run, "resume=true")
    ended = cli.expunge(*cli.SMALL, f"hydra.run.dir={whole}", cwd=tmp_path)
    assert ended.code == 2
    assert "already holds a run" in ended.err


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda lines: [lines[0], b"{}\n", *lines[2:]], ":2: not a study record"),
        (lambda lines: [lines[0], *lines[2:]], ":2: holds cell 3, expected 2"),
        (lambda lines: [lines[0].replace(b'"number": 0', b'"number": 9'), *lines[1:]], ":1: not the cell"),
    ],
    ids=["broken", "missing", "other"],
)
def test_damaged_results_are_named(place, whole, tmp_path, damage, said):
    folder = completed(place, tmp_path / "run", "figures=false")
    (folder / "summary.json").unlink()
    lines = (folder / "results.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "results.jsonl").write_bytes(b"".join(damage(lines)))
    assert "results.jsonl:" in (ended := refused_in(place, folder, "resume=true"))
    assert "damaged, it is not that of results.sha256" in ended
    cli.resum(folder / "results.jsonl")
    assert f"results.jsonl{said}" in refused_in(place, folder, "resume=true")


# The report


def test_report_of_a_study(place, tmp_path, capsys):
    folder = completed(place, tmp_path / "run")
    assert report_app.main([str(folder)]) == 0
    out = capsys.readouterr().out
    assert "greatest        16      –     –  yes" in out
    assert {path.name for path in (folder / "report").iterdir()} == {
        *("report.html", "table.md", "study_toy_squares.csv")
    }
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert '<img src="data:image/png;base64,' in page
    assert "least &lt;b&gt;|" in page
    assert "<b>" not in page
    assert "certificate does not say" not in page
    assert str(tmp_path) not in page
    markdown = (folder / "report" / "table.md").read_text(encoding="utf-8")
    assert "| least &lt;b>\\| | 0 | 0.25 | 5-7 | – |" in markdown
    lines = (folder / "report" / "study_toy_squares.csv").read_text().splitlines()
    assert lines == ["run,of,square,share,text,ok", "run,least <b>|,0,0.25,5-7,", "run,greatest,16,,,True"]


def test_report_of_runs_and_studies_together(place, whole, tmp_path, capsys):
    cli.completed(*cli.SMALL, "removal.count=2", folder=tmp_path / "run")
    begun = completed(place, tmp_path / "begun", "figures=false")
    (begun / "summary.json").unlink()
    assert report_app.main([str(tmp_path), str(whole), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert said.err == f"unfinished, left out: {begun}\n"
    assert said.out.index("newton_corrected") < said.out.index("toy/squares")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "certificate does not say" in page
    assert "1 study: toy/squares" in page
    assert {"table.csv", "study_toy_squares.csv"} <= {path.name for path in (tmp_path / "out").iterdir()}


@pytest.mark.parametrize(
    ("change", "said"),
    [({"study": 3}, "'study' must be a name"), ({"table": 3}, "'table' must be a list of rows")],
)
def test_report_of_a_broken_study_is_one_line(place, tmp_path, capsys, change, said):
    folder = completed(place, tmp_path / "run", "figures=false")
    (folder / "summary.json").write_text(json.dumps(cli.summary(folder) | change))
    assert report_app.main([str(folder)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"summary.json:1: {said}" in line
