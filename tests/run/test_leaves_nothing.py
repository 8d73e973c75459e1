"""Bad input, and force: what was there before the command is there after it, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import cli
from tests.cli import SMALL

BAD = (*SMALL, "unlearner.lam=0", "removal.count=2")
LATE = (*SMALL, "unlearner=newton", "unlearner.std=1e-12", "removal.count=2")  # known after the training


def everything(root: Path) -> dict[str, str]:
    """All that there is, folders and links too."""
    return {
        path.relative_to(root).as_posix(): os.readlink(path)
        if path.is_symlink()
        else str(path.stat().st_mode)
        for path in root.rglob("*")
    }


LINES = {
    "in a new folder": ("hydra.run.dir=run",),
    "with new parents": ("hydra.run.dir=a/b/c",),
    "with a name that is too long": (f"hydra.run.dir=a/b/{'x' * 300}",),
    "in an empty folder": ("hydra.run.dir=empty",),
    "below an empty folder": ("hydra.run.dir=empty/x/y",),
    "in a folder with a file": ("hydra.run.dir=full",),
    "through a link": ("hydra.run.dir=link",),
    "below a link": ("hydra.run.dir=link/x",),
    "in the folder above": ("hydra.run.dir=..",),
    "with a log": ("hydra.run.dir=a/b", "hydra/job_logging=default"),
    "with a log in an empty folder": ("hydra.run.dir=empty", "hydra/job_logging=default"),
    "with a record of Hydra's": ("hydra.run.dir=a/b", "hydra.output_subdir=.own"),
    "with a logging that is none": ("hydra.run.dir=a/b", "hydra.job_logging.root.level=NOPE"),
}


@pytest.mark.parametrize("line", LINES)
def test_a_run_that_is_refused(tmp_path, line):
    bad = LATE if "a file" in line or "log" in line else BAD
    here = tmp_path / "here"
    (here / "empty").mkdir(parents=True)
    (here / "full").mkdir()
    (here / "full" / "own.txt").write_text("own")
    (here / "target").mkdir()
    (here / "link").symlink_to("target")
    before = everything(tmp_path)
    try:
        assert cli.expunge(*bad, *LINES[line], cwd=here).code == 2
    except ValueError:  # of logging, where it is told that there is no such level
        assert "NOPE" in LINES[line][-1]
    assert everything(tmp_path) == before


def test_in_an_empty_folder_where_one_stands(tmp_path):
    (tmp_path / "d").mkdir()
    for bad in (BAD, LATE):
        assert cli.expunge(*bad, "hydra.run.dir=.", cwd=tmp_path / "d").code == 2
        assert not list((tmp_path / "d").iterdir())


SWEEPS = {
    "in a new folder": ("hydra.sweep.dir=a/b",),
    "with a name that is too long": (f"hydra.sweep.dir=a/b/{'x' * 300}",),
    "in an empty folder": ("hydra.sweep.dir=empty",),
    "in the folder where one stands": ("hydra.sweep.dir=.",),
    "with a name": (),
}


@pytest.mark.parametrize("line", SWEEPS)
@pytest.mark.parametrize("bad", ["unlearner=nope", "unlearner.std=interval(1,2)", "+unlearner.lam=1e-2"])
def test_a_sweep_that_is_refused(tmp_path, line, bad):
    (tmp_path / "empty").mkdir()
    before = everything(tmp_path)
    assert cli.expunge("-m", *SMALL, bad, *SWEEPS[line], cwd=tmp_path).code == 2
    left = everything(tmp_path)
    left.pop("multirun", None)  # where sweeps without a folder of their own are
    assert left == before


def test_a_cell_that_is_refused_leaves_its_folder_as_it_was(tmp_path):
    (tmp_path / "sweep" / "here" / "0").mkdir(parents=True)
    named = ("hydra.sweep.dir=sweep", "hydra.sweep.subdir=here/${hydra.job.num}/x")
    assert cli.expunge("-m", *BAD, "seed=0,1", *named, cwd=tmp_path).code == 2
    assert {path.name for path in (tmp_path / "sweep" / "here").rglob("*")} == {"0"}
    named = ("hydra.sweep.dir=sweep", "hydra.sweep.subdir=here/${hydra.job.num}")
    assert cli.expunge("-m", *BAD, "seed=0,1", *named, cwd=tmp_path).code == 2
    assert {path.name for path in (tmp_path / "sweep" / "here").rglob("*")} == {"0"}


def test_force_deletes_links_and_not_what_they_lead_to(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_text("precious")
    (tmp_path / "real").mkdir()
    (tmp_path / "run").symlink_to("real")
    run = (*SMALL, "removal.count=2")
    cli.completed(*run, folder=tmp_path / "run")
    (tmp_path / "run" / "mine").symlink_to(tmp_path / "outside")
    cli.completed(*run, "force=true", folder=tmp_path / "run")
    assert (tmp_path / "outside" / "precious").read_text() == "precious"
    assert (tmp_path / "run").is_symlink()
    names = {path.name for path in (tmp_path / "real").iterdir()}
    assert {"summary.json", "removals.jsonl"} <= names
    assert "mine" not in names
    # What force had begun to delete is no run any more, and is none that stands in the way.
    gone = tmp_path / "real" / f".gone-{'0' * 32}"
    gone.mkdir()
    (tmp_path / "real" / "summary.json").rename(gone / "summary.json")
    (tmp_path / "real" / ".hydra").rename(gone / ".hydra")
    cli.completed(*run, "force=true", folder=tmp_path / "run")
    assert {path.name for path in (tmp_path / "real").iterdir()} == names
