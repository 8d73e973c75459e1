"""``expunge-audit`` and what the report makes of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from expunge.audit import app, methods
from expunge.audit.methods import entries
from expunge.certificate.lattice import on_lattice, with_float_noise
from expunge.core.errors import RunFolderError
from expunge.record.folders.findings import VERDICTS, read_audit
from expunge.report import write_report
from expunge.report.figures.audit import draw
from expunge.report.page.audits import as_page
from expunge.run.config_files import config_dir
from expunge.unlearners import release
from tests.cli import SMALL, completed
from tests.readme.pages import ROOT, python_blocks

FEW = ("--pairs", "40", "--noise-pairs", "3000")
ONE = ("--only", "newton_corrected: lattice, small")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return completed(*SMALL, "removal.count=2", folder=tmp_path_factory.mktemp("runs") / "one")


def test_a_claim_that_holds_ends_with_0_and_files(tmp_path, capsys):
    out = tmp_path / "here"
    assert app.main([*ONE, *FEW, "-o", str(out)]) == 0
    shown = capsys.readouterr()
    assert "No claim that is made is exceeded." in shown.out
    assert "below its claim" in shown.out
    names = {"audit.json", "audit.md", "audit.html", "audit.png", "audit.svg"}
    assert {path.name for path in out.iterdir()} == names
    found = json.loads((out / "audit.json").read_text())
    assert found["format"] == 1
    assert found["settings"] == {
        "pairs": 40,
        "noise_pairs": 3000,
        "minutes": 4.0,
        "seed": 0,
        "only": [ONE[1]],
    }
    assert found["repeat"].startswith("expunge-audit --pairs=40 --noise-pairs=3000")
    (one,) = found["methods"]
    assert (one["pairs"], one["noise_pairs"], one["verdict"], one["holds"]) == (40, 3000, "below", True)
    assert one["attacks_tried"] == len(one["attacks"]) == 7
    assert one["audited"]["low"] == max(attack["epsilon"]["low"] for attack in one["attacks"])
    assert one["audited"]["low"] <= one["epsilon"]
    assert one["delta_needed"]["low"] <= one["delta"]
    page = (out / "audit.html").read_text()
    assert "whoever sees all of up to 4 releases" in page
    assert "<svg" in page


def test_a_claim_that_is_refuted_ends_with_1(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(release, "on_lattice", lambda w, std, grid: on_lattice(w, std / 2, grid))
    assert app.main([*ONE, *FEW, "--pairs", "80", "-o", str(tmp_path)]) == 1
    assert "REFUTED: newton_corrected: lattice, small" in capsys.readouterr().out


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_method_that_breaks_an_invariant_is_named(workers, tmp_path, capsys, monkeypatch):
    """In this process a fault is planted; in others a setting is one that no method takes."""
    code, more = 1, [*ONE, *FEW, "--workers", workers, "-o", str(tmp_path / "out")]
    if workers == "1":
        monkeypatch.setattr(release, "on_lattice", lambda w, std, grid: on_lattice(w * np.nan, std, grid))
    else:
        found = entries(config_dir(), [ONE[1], "newton_rowless: lattice, small"])
        for entry in found:
            entry.settings["unlearner"]["epsilon"] = -1
        monkeypatch.setattr(methods, "entries", lambda *_: found)
        code = 2
    assert app.main(more) == code
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert shown.startswith("expunge-audit: newton_")
    assert not (tmp_path / "out").exists()


def test_what_a_run_says_itself_ends_with_0(tmp_path, capsys):
    only = ("--only", "newton: fresh, data_dependent, refuse")
    assert app.main([*only, "--pairs", "480", "-o", str(tmp_path)]) == 0
    (one,) = json.loads((tmp_path / "audit.json").read_text())["methods"]
    assert one["claim"].startswith("as published")
    assert not one["holds"]
    assert one["by"] == "would it have retrained?"
    assert one["verdict"] == "refuted as said"
    assert one["audited"]["low"] > one["epsilon"]
    assert one["delta_needed"]["low"] > one["delta"]


def test_a_run_is_audited_with_its_settings_and_reported(run, tmp_path, capsys):
    assert app.main([str(run), *FEW]) == 0
    found = read_audit(run)
    assert found["repeat"].startswith("expunge-audit RUN")
    assert str(run) not in json.dumps(found)
    (one,) = found["methods"]
    assert one["data"] == "digits_3v8"
    assert one["unlearner"]["name"] == "newton_corrected"
    page = write_report([run], tmp_path / "report").read_text()
    assert "<h2>Audit</h2>" in page
    assert "figures only" in page
    assert "at the edge" in page
    (run / "audit.json").unlink()
    assert "<h2>Audit</h2>" not in write_report([run], tmp_path / "report").read_text()


def test_a_planted_fault_is_found_on_the_data_of_a_run(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(release, "with_float_noise", lambda w, std, rng: with_float_noise(w, std / 2, rng))
    assert app.main([str(run), *FEW, "-o", str(tmp_path)]) == 1
    assert not (run / "audit.json").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--pairs", "x"], "--pairs: got 'x', allowed: a whole number >= 40"),
        (["--pairs", "39"], "--pairs: got 39, allowed: a whole number >= 40"),
        (["--noise-pairs", "1.5"], "--noise-pairs: got 1.5, allowed: a whole number >= 40"),
        (["--minutes", "0"], "--minutes: got 0, allowed: a finite number > 0"),
        (["--seed", "-1"], "--seed: got -1, allowed: a whole number >= 0"),
        (["--only", "nobody"], "--only: got 'nobody', allowed: what a name in the table begins with: "),
        (["nowhere"], "nowhere: no such folder"),
        (["RUN", "--only", "newton"], "--only: got ['newton'], allowed: nothing beside RUN"),
        (["RUN", "-o", "RUN/summary.json"], "--out: got "),
    ],
)
def test_bad_input_is_one_line(run, arguments, line, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert app.main([one.replace("RUN", str(run)) for one in arguments]) == 2
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1
    assert shown.err.startswith(f"expunge-audit: {line}")
    assert not list(tmp_path.iterdir())


def test_a_method_without_a_claim_is_refused(tmp_path, capsys):
    run = completed(*SMALL, "removal.count=1", "unlearner=retrain", folder=tmp_path / "run")
    assert app.main([str(run)]) == 2
    assert capsys.readouterr().err.startswith(
        "expunge-audit: unlearner: got 'reference', allowed: a certified"
    )


def test_an_audit_that_takes_too_long_says_how_long(run, tmp_path, capsys):
    assert app.main([str(run), "--minutes", "0.0001", "-o", str(tmp_path)]) == 2
    assert "--minutes: got 0.0001, allowed: " in capsys.readouterr().err


METHOD = {
    "name": "a",
    "claim": None,
    "epsilon": 1.0,
    "delta": 0.1,
    "pairs": 40,
    "verdict": "below",
    "attacks": [],
}


@pytest.mark.parametrize(
    "content",
    [
        *("{}", "[]", '{"format": 1, "methods": [{}]}', '{"format": 2, "methods": []}'),
        *(
            json.dumps({"format": 1, "methods": [METHOD | wrong]})
            for wrong in (
                *({"verdict": []}, {"verdict": "fine"}, {"attacks": [{}]}, {"attacks": ["all"]}),
                *({"audited": 1}, {"audited": {"low": "0"}}, {"pairs": True}, {"claim": ["any"]}),
            )
        ),
    ],
)
def test_a_broken_audit_is_named(content, tmp_path):
    (tmp_path / "audit.json").write_text(content)
    with pytest.raises(RunFolderError, match=r"audit.json:1: "):
        read_audit(tmp_path)


def test_an_audit_may_leave_out_what_it_did_not_find(tmp_path):
    bare = {key: value for key, value in METHOD.items() if key != "claim"}
    (tmp_path / "audit.json").write_text(json.dumps({"format": 1, "methods": [METHOD, bare]}))
    page = as_page(read_audit(tmp_path), draw([METHOD, bare]))
    assert "No claim in words" in page
    assert "below its claim" in page


def test_the_python_of_the_page_runs():
    (code,) = python_blocks(ROOT / "docs" / "audit.md")
    own: dict[str, object] = {}
    exec(compile(code, "audit.md", "exec"), own)
    assert own["found"].verdict == "below"


def test_the_page_names_every_attack_and_verdict():
    page = (ROOT / "docs" / "audit.md").read_text()
    for verdict in VERDICTS.values():
        assert f"| {verdict} |" in page
    attacks = ("would it have retrained?", "at the edge", "residual size", "low bits", "learned test")
    for attack in (*attacks, "change between releases"):
        assert f"| {attack} |" in page
