"""The tasks of a job as the ranks of its cell: submitit's on this machine, and a real Slurm's."""

from __future__ import annotations

import numpy as np
import pytest

from tests import cli, slurm

ROWS = ("dataset=arrays", "figures=false", "threads=1", "removal.count=5", "unlearner=newton_corrected")
TASKS = ("hydra.launcher.tasks_per_node=2", "hydra.launcher.cpus_per_task=1")


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serial") / "s"
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 5))
    np.savez(folder.parent / "rows.npz", x=x, y=(x[:, 0] > 0).astype(int))
    assert cli.expunge("-m", *cells(folder.parent), f"hydra.sweep.dir={folder}", cwd=folder.parent).code == 0
    return folder


def cells(folder):
    return (*ROWS, f"dataset.path={folder / 'rows.npz'}")


def assert_shared(launcher, serial, folder):
    """The cell comes out as in one process; its job was of two ranks."""
    more = (f"hydra/launcher={launcher}", *TASKS, f"hydra.sweep.dir={folder}")
    ended = cli.expunge("-m", *cells(serial.parent), *more, cwd=folder.parent)
    assert ended.code == 0, ended.err
    runs = {path.parent.name: path for path in serial.glob("*/removals.jsonl")}
    assert len(runs) == 1
    for name, ledger in runs.items():
        assert cli.ledger(folder / name) == cli.ledger(ledger.parent)
        model = (folder / name / "model.safetensors").read_bytes()
        assert model == (ledger.parent / "model.safetensors").read_bytes()
    printed = {path.name.rpartition("_log")[0][-1]: path.read_text() for path in folder.glob(PRINTED)}
    assert set(printed) == {"0", "1"}
    assert "fitted" in printed["0"]
    assert "fitted" not in printed["1"]  # it has helped, and run nothing


PRINTED = ".submitit/*/*_log.out"


def test_two_tasks_of_a_job_on_this_machine(serial, tmp_path):
    assert_shared("submitit_local", serial, tmp_path / "t")


def test_two_tasks_of_a_job_of_slurm(serial, tmp_path, monkeypatch):
    with slurm.one_node(cpus=2) as settings:
        monkeypatch.setenv("SLURM_CONF", str(settings))
        assert_shared("slurm", serial, tmp_path / "s")
