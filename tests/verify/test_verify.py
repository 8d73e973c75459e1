"""Sound runs are accepted, each with the lines that its method has."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import expunge.verify
from expunge.verify.verdict import verify
from tests import cli
from tests.verify.runs import SETTINGS, Copy, at

_COMMON = ["files", "data", "ledger", "requests", "summary", "guarantee"]
_LINEAR = ["classes", "strong convexity"]
_OF_RELEASE = ["plan", "ratio", "noise", "releases", "budget", "residual bound", "epsilon spent"]
_FLOAT = [*_COMMON, *_LINEAR, *_OF_RELEASE, "model", "noise of the seed", "secret state", "composition"]
_ON_LATTICE = [_OF_RELEASE[0], "lattice", *_OF_RELEASE[1:], "model", "noise of no seed"]
_EXACT = [*_COMMON, *_LINEAR, *_ON_LATTICE, "secret state", "composition"]
_PUBLISHED = [
    *(*_COMMON, *_LINEAR, "plan", "constant", "budget", "residual bound", "residual", "residual measured"),
    *("perturbation", "epsilon spent", "composition"),
]
_EXPECTED = {
    **dict.fromkeys(("figures", "given_std", "nothing_asked", "private"), _FLOAT),
    **dict.fromkeys(("exact", "leaving", "refused", "rowless", "scaled"), _EXACT),
    **dict.fromkeys(("published", "stopped", "measured", "three_published", "pure_eps"), _PUBLISHED),
    "retrain": [*_COMMON, *_LINEAR, "residual", "residual measured", "perturbation"],
    "none": [*_COMMON, *_LINEAR, "residual", "perturbation"],
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_sound_run_is_accepted(name, runs):
    verdict = verify(runs(name))
    assert verdict.first is None
    assert [line.name for line in verdict.lines] == _EXPECTED[name]


def test_runs_are_those_that_they_are_meant_to_be(runs):
    shapes = {name: verify(runs(name)).lines for name in ("exact", "leaving", "refused", "published")}
    columns = {
        name: next(x.recomputed for x in lines if x.name == "classes") for name, lines in shapes.items()
    }
    assert columns == {"exact": (64, 3), "leaving": (64,), "refused": (64,), "published": (64,)}
    assert '"refused"' in (runs("refused") / "removals.jsonl").read_text()
    assert '"retrained"' in (runs("published") / "removals.jsonl").read_text()


def test_what_was_not_given_is_said_and_no_fault(copy):
    verdict = copy("exact").verified()
    assert verdict.accepted
    (line,) = (line for line in verdict.lines if line.name == "secret state")
    assert line.holds is None
    assert "secret" in line.note


def test_requests_of_a_file_that_is_gone_or_has_grown_are_known_by_their_digest(tmp_path):
    asked, run = tmp_path / "asked.txt", tmp_path / "run"
    asked.write_text("5 6\n7\n")
    own = ("removal=rows", f"removal.rows={asked}", "progress=false")
    cli.completed(*cli.SMALL, *own, folder=run)
    for change, words in (
        (lambda: None, "listed in"),
        (lambda: asked.write_text("5 6\n7\n8\n"), "digest"),
        (asked.unlink, "digest"),
    ):
        change()
        (line,) = (line for line in verify(run).lines if line.name == "requests")
        assert line.holds
        assert words in line.note
    changed = Copy(run, tmp_path / "copy")
    assert changed.records(at(0, rows=[5, 8])).first() == "requests"


def test_the_checker_shares_no_code_with_the_program():
    """It reads files, data sets, and features as the program makes them, prints and ends as others do."""
    allowed = {"expunge", "expunge.core.errors", "expunge.core.files", "expunge.core.progress"}
    allowed |= {f"expunge.core.{reader}" for reader in ("json_text", "regular", "tensor_files")}
    allowed |= {f"expunge.core.{part}" for part in ("arguments", "door", "ends", "homes", "screen")}
    allowed |= {"expunge.datasets", "expunge.datasets.names", "expunge.run.again", "expunge.run.job_cache"}
    found: set[str] = set()
    for path in Path(expunge.verify.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                found.add(str(node.module))
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
    own = {name for name in found if name.startswith("expunge.verify")}
    known = {name for name in found if name.startswith("expunge")} - own
    assert known <= allowed
    libraries = {name.split(".")[0] for name in found} - {"expunge"}
    assert libraries.isdisjoint({"scipy", "torch", "sklearn", "numba", "opendp", "dp_accounting"})
    assert {"numpy", "mpmath", "fractions"} <= libraries
