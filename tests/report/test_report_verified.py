"""The page shows what ``expunge-verify`` has left in run folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from expunge.core.errors import RunFolderError
from expunge.record.folders.findings import read_verified
from expunge.report import find_runs
from expunge.report.page.page import page
from expunge.report.tables.contents import Contents
from expunge.verify.app import main
from tests import cli

LINES_OF_WORDS = json.dumps(
    {"format": 1, "accepted": True, "when": "", "claim": {}, "lines": ["yes"], "files": {}}
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verified") / "run"
    cli.completed(*cli.SMALL, "removal.count=2", "progress=false", folder=folder)
    return folder


@pytest.fixture
def run(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "run"))


def shown(folder):
    return page(Contents.of(find_runs([folder])))


def test_a_run_that_nobody_checked_has_no_section(run):
    assert "Checked by other code" not in shown(run)


def test_claim_and_lines_are_shown_and_what_has_changed_since(run):
    assert main([str(run)]) == 0
    content = shown(run)
    assert content.count("Checked by other code") == 1
    assert "✓ accepted, 19 lines hold" in content
    assert '<th scope="row">✓ noise of the seed</th>' in content
    assert "Figures only, which protect nobody" in content
    assert "changed since" not in content
    said = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps({**said, "seconds_fit": 1.0}))
    cli.resum_summary(run)
    assert "; changed since: summary.json" in shown(run)


def test_a_rejected_run_is_unfolded_and_says_by_what(run):
    said = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps({**said, "released": 7, "note": "<script>"}))
    cli.resum_summary(run)
    assert main([str(run)]) == 1
    content = shown(run)
    assert "✗ rejected: releases" in content
    assert '<tr class="fault"><th scope="row">✗ releases</th>' in content


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"format": 2}', LINES_OF_WORDS])
def test_a_file_that_is_something_else_is_named(content, tmp_path):
    (tmp_path / "verified.json").write_text(content)
    with pytest.raises(RunFolderError, match=r"verified\.json:1: "):
        read_verified(tmp_path)


@pytest.mark.parametrize("files", [{}, {"../../x": "0"}, {"summary.json": None}])
def test_a_verdict_that_leaves_files_out_is_not_of_these_files(files, run):
    main([str(run)])
    path = run / "verified.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "files": files}))
    found = read_verified(run)
    assert set(found.changed) == {
        *(".hydra/config.yaml", "summary.json", "removals.jsonl", "model.safetensors", "inputs.json")
    }
