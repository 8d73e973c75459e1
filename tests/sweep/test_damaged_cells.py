"""One bad cell stops no other: it is named, the rest is put together, and the same command does it again."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from expunge.report import app as report
from tests import cli
from tests.cli import SMALL

CELLS = ("-m", *SMALL, "unlearner.lam=1e-2,1e-1", "removal.count=2", "hydra.sweep.dir=sweep")
LATER = ("-m", *SMALL, "unlearner.lam=1", "removal.count=2", "hydra.sweep.dir=sweep")


def found(folder: Path) -> dict:
    return json.loads((folder / "sweep.json").read_text())


@pytest.mark.parametrize("bad", ["1e999", "null"])
def test_a_value_that_is_none_fails_its_own_cell(tmp_path, bad):
    ended = cli.expunge("-m", *SMALL, f"unlearner.lam={bad},1e-3", *CELLS[-2:], cwd=tmp_path)
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert line.startswith("expunge: cell 1 (")
    assert "): unlearner.lam: got " in line
    assert "allowed: a finite number > 0" in line
    cells = found(tmp_path / "sweep")["cells"]
    assert [cell["status"] for cell in cells] == ["failed", "done"]
    with open(tmp_path / "sweep" / "sweep.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["failed", "done"]
    assert rows[0]["unlearner.lam"] == ("" if bad == "null" else str(cells[0]["settings"]["unlearner.lam"]))


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    root = tmp_path_factory.mktemp("complete")
    assert cli.expunge(*CELLS, cwd=root).code == 0
    return root


@pytest.fixture
def sweep(complete, tmp_path):
    shutil.copytree(complete, tmp_path / "here")
    return tmp_path / "here" / "sweep"


def damages(content: bytes) -> dict[str, bytes]:
    middle = len(content) // 2
    return {
        "empty": b"",
        "cut": content[:middle],
        "zeros": bytes(len(content)),
        "garbled": content[:middle] + b"\xff\x00{" + content[middle + 3 :],
        "list": b"[1]",
        "object": b"{}",
    }


OF_RUN = ("summary.json", "removals.jsonl", ".hydra/config.yaml", "inputs.json", "DONE")
OF_SWEEP = (".jobs/0/job.json", ".jobs/sweep.json", ".jobs/earlier.json", "sweep.json", "sweep.csv")


@pytest.mark.parametrize("names", [*((name,) for name in OF_RUN), OF_SWEEP], ids=" ".join)
def test_a_damaged_file_is_made_again_and_stops_nothing(sweep, complete, names):
    """The same command gives the same sweep, and no other cell is done again."""
    first, other = (cell["run"] for cell in found(sweep)["cells"])
    stamp = (sweep / other / "summary.json").stat().st_mtime_ns
    written = {}
    for name in names:
        path = sweep / (first if name in OF_RUN else "") / name
        every = list(damages(path.read_bytes() if path.exists() else b'{"jobs": []}').values())
        written[path] = every[(*OF_RUN, *OF_SWEEP).index(name) % len(every)]
        path.write_bytes(written[path])
    ended = cli.expunge(*CELLS, cwd=sweep.parent)
    assert (ended.code, ended.err) == (0, "")
    assert (sweep / "sweep.csv").read_bytes() == (complete / "sweep" / "sweep.csv").read_bytes()
    for path, damage in written.items():
        assert path.exists() == (path.name != "earlier.json") or path.read_bytes() != damage
    for run in (first, other):
        assert cli.ledger(sweep / run) == cli.ledger(complete / "sweep" / run)
        assert cli.contents(sweep / run).keys() == cli.contents(complete / "sweep" / run).keys()
    assert (sweep / other / "summary.json").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("name", OF_RUN[:2])
def test_a_damaged_cell_of_an_earlier_command_is_named_and_the_rest_is_put_together(sweep, name):
    first, other = (cell["run"] for cell in found(sweep)["cells"])
    (sweep / first / name).write_bytes(b'{"cut')
    ended = cli.expunge(*LATER, cwd=sweep.parent)
    assert ended.code == 1
    (line,) = ended.err.splitlines()
    assert line.startswith("expunge: cell 2 (")
    assert "unlearner.lam=0.01" in line
    assert "): damaged, the command that made it does it again: " in line
    assert f"{first}: {name}" in line
    status = {cell["run"]: cell["status"] for cell in found(sweep)["cells"]}
    assert (status[first], status[other]) == ("damaged", "done")
    assert cli.expunge(*CELLS, cwd=sweep.parent).code == 0
    assert {cell["status"] for cell in found(sweep)["cells"]} == {"done"}


def test_a_report_shows_the_others_and_names_what_is_damaged(sweep, capsys, tmp_path):
    first = found(sweep)["cells"][0]["run"]
    (sweep / first / "summary.json").write_text('{"cut')
    assert report.main([str(sweep), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith(f"damaged, left out: {sweep / first}: summary.json:1: not JSON")
    assert "lam 0.1" in said.out or "newton_corrected" in said.out
    page, markdown = ((tmp_path / "out" / name).read_text() for name in ("report.html", "table.md"))
    for text in (page, markdown):
        assert "Damaged" in text
        assert first in text
        assert str(tmp_path) not in text
    with open(tmp_path / "out" / "table.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 1
    (sweep / "sweep.json").write_text("{")
    assert report.main([str(sweep), "--out", str(tmp_path / "out")]) == 2
    assert [line.split(": ")[0] for line in capsys.readouterr().err.splitlines()] == ["damaged, left out"] * 2


def test_a_single_run_that_is_damaged_is_refused_in_a_line(tmp_path):
    run = (*SMALL, "removal.count=2")
    folder = cli.completed(*run, folder=tmp_path / "run")
    for name in OF_RUN[:4]:
        content = (folder / name).read_bytes()
        damage = list(damages(content).values())[1:][OF_RUN.index(name)]
        (folder / name).write_bytes(damage)
        before = cli.every(folder)
        ended = cli.expunge(*run, "resume=true", f"hydra.run.dir={folder}", cwd=tmp_path)
        assert (ended.code, len(ended.err.splitlines())) == (2, 1), (name, damage, ended)
        assert cli.every(folder) == before
        (folder / name).write_bytes(content)
    cli.completed(*run, "resume=true", folder=folder)
