"""Sweeps whose cells run in other processes: joblib's, submitit's on this machine, and a real Slurm's."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from safetensors import safe_open
from submitit import LocalExecutor

from expunge.core.cores import available_cores
from expunge.sweep.workers import WorkerDied, explain, keep_to_cores
from tests import cli, slurm
from tests.cli import SMALL, Ended

POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
LAMS = "unlearner.lam=1e-3,0.001,1e-2,-1"  # the second is the first once more, the last is refused
CELLS = (*SMALL, "removal.count=5", LAMS)
STREAM = (*SMALL, "removal.count=80", "checkpoint_every=10", "unlearner.lam=1e-3,2e-3")
PARENT = """
import multiprocessing, time
from expunge.sweep.workers import prepare
def work():
    prepare({})
    print("begun", flush=True)
    time.sleep(60)
multiprocessing.get_context("fork").Process(target=work).start()
time.sleep(60)
"""
TWO_WORKERS = ("hydra/launcher=parallel", "hydra.launcher.n_jobs=2")


@pytest.fixture(scope="module", autouse=True)
def no_worker_stays():
    yield
    get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)


@pytest.fixture(autouse=True)
def unbounded(monkeypatch):
    """Nobody has set a number of threads yet."""
    for pool in POOLS:
        monkeypatch.delenv(pool, raising=False)


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """The sweep that every launcher must come to, in one process."""
    folder = tmp_path_factory.mktemp("serial")
    assert sweep(folder, *CELLS).code == 2
    return folder


def sweep(folder: Path, *arguments: str) -> Ended:
    return cli.expunge("-m", *arguments, f"hydra.sweep.dir={folder}", cwd=folder.parent)


def runs(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: cli.ledger(path.parent) for path in folder.glob("*/removals.jsonl")}


def assert_same(folder: Path, reference: Path) -> None:
    assert (folder / "sweep.csv").read_bytes() == (reference / "sweep.csv").read_bytes()
    assert runs(folder) == runs(reference) != {}


def test_two_workers_come_to_what_one_does(serial, tmp_path):
    ended = sweep(tmp_path / "s", *CELLS, *TWO_WORKERS)
    assert ended.code == 2
    (failed,) = (line for line in ended.err.splitlines() if line.startswith("expunge: cell"))
    assert failed.endswith("unlearner.lam=-1): unlearner.lam: got -1, allowed: a finite number > 0")
    assert_same(tmp_path / "s", serial)
    assert len(runs(serial)) == 2, "equal settings share a run, also where they come at the same time"
    threads = Parallel(n_jobs=2)(delayed(available_cores)() for _ in range(2))  # in the same processes
    assert threads == [max(1, available_cores() // 2)] * 2


def test_a_killed_worker_is_told_in_one_line_and_made_up_for(tmp_path):
    folder = tmp_path / "s"
    killer = threading.Thread(target=kill_a_worker, args=(folder,))
    killer.start()
    ended = sweep(folder, *STREAM, *TWO_WORKERS)
    killer.join()
    assert ended.code == 1
    last = ended.err.splitlines()[-1]
    assert last.startswith("expunge: a worker process ended before its time (SIGKILL(-9)")
    assert last.endswith("the same command again runs what is missing")
    assert any(content.count(b"\n") < 80 for content in runs(folder).values())
    shutil.copytree(folder, tmp_path / "again")  # this process, which has not ended, still holds the first
    assert sweep(tmp_path / "again", *STREAM).code == 0
    assert sweep(tmp_path / "whole", *STREAM).code == 0
    assert_same(tmp_path / "again", tmp_path / "whole")


def test_a_worker_does_not_outlive_the_command():
    command = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    assert command.stdout.readline() == b"begun\n"
    command.kill()
    command.communicate(timeout=30)  # both ends of the pipe: the worker is gone as well


def kill_a_worker(folder: Path) -> None:
    """Kill one of the processes as soon as both have served a request."""
    end = time.monotonic() + 120
    while sum(content.count(b"\n") > 0 for content in runs(folder).values()) < 2 and time.monotonic() < end:
        time.sleep(0.002)
    os.kill(next(c.pid for c in multiprocessing.active_children() if "Loky" in c.name), signal.SIGKILL)


def test_cells_as_jobs_of_their_own_share_what_is_trained(tmp_path, monkeypatch):
    """submitit on this machine: both jobs begin at once, and need the same network."""
    monkeypatch.setenv("EXPUNGE_CACHE", str(tmp_path / "trained"))
    network = ("model=mlp", "model.hidden=[8]", "training.epochs=2", "unlearner=none", "removal.count=1,2")
    ended = sweep(
        *(tmp_path / "s", "dataset=digits_3v8", "figures=false", *network),
        *("hydra/launcher=submitit_local", "hydra.launcher.cpus_per_task=1"),
    )
    assert (ended.code, ended.err) == (0, "")
    (trained,) = (tmp_path / "trained").iterdir()
    printed = [path.read_text() for path in (tmp_path / "s").glob(".submitit/*/*_log.out")]
    assert sorted(text.count(f"taken from {trained}") for text in printed) == [0, 1]
    with safe_open(trained, "numpy") as file:
        made_from = json.dumps(file.metadata()).replace("\\", "")
    assert '"threads": 1' in made_from or '"threads":1' in made_from, "cpus_per_task bounds them"


def test_cells_as_jobs_of_slurm(serial, tmp_path, monkeypatch):
    with slurm.one_node(cpus=2) as settings:
        monkeypatch.setenv("SLURM_CONF", str(settings))
        refused = sweep(tmp_path / "r", *CELLS, "hydra/launcher=slurm", "hydra.launcher.partition=nowhere")
        assert refused.code == 2
        assert refused.err.splitlines()[-1].startswith(
            "expunge: hydra/launcher: sbatch: error: invalid partition"
        )
        ended = sweep(tmp_path / "s", *CELLS[:-1], "unlearner.lam=1e-3,1e-2", "hydra/launcher=slurm")
        assert (ended.code, ended.err.count("expunge:")) == (0, 0)
    assert runs(tmp_path / "s") == runs(serial)
    cells = (tmp_path / "s" / "sweep.csv").read_text().splitlines()
    assert set(cells[1:]) < set((serial / "sweep.csv").read_text().splitlines())
    scripts = [path.read_text() for path in (tmp_path / "s").glob(".submitit/*/*_submission.sh")]
    assert "#SBATCH --cpus-per-task=1\n" in scripts[0]


def test_a_launcher_that_is_not_installed(tmp_path):
    (tmp_path / "hydra_plugins").mkdir()
    (tmp_path / "hydra_plugins" / "__init__.py").touch()  # instead of those that are
    process = cli.start("-m", *CELLS, "hydra/launcher=parallel", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    missing = "expunge: hydra/launcher: joblib is not installed; pip install 'expunge[parallel]'\n"
    assert cli.wait(process) == Ended(2, "", missing)


def test_no_slurm_here(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = sweep(tmp_path / "s", *CELLS, "hydra/launcher=slurm")
    assert ended.code == 2
    assert ended.err.splitlines()[-1] == (
        "expunge: hydra/launcher: got submitit_slurm, but there is no Slurm here (no command srun)"
    )


def test_a_job_that_ends_with_an_error_of_its_own(tmp_path):
    job = LocalExecutor(tmp_path).submit(int, "no number")
    told = explain(job.exception())
    assert isinstance(told, WorkerDied)
    assert str(told).startswith(
        "a job failed (ValueError: invalid literal for int() with base 10: 'no number')"
    )
    assert explain(ValueError("something else")) is None


@pytest.mark.parametrize(
    ("launcher", "variables", "bound"),
    [
        ({"cpus_per_task": 3}, {}, "3"),
        ({"cpus_per_task": None}, {"SLURM_CPUS_PER_TASK": "2", "SLURM_CPUS_ON_NODE": "8"}, "2"),
        ({}, {"SLURM_CPUS_ON_NODE": "8"}, "8"),
        ({"cpus_per_task": 3}, {"OMP_NUM_THREADS": "5"}, "5"),
        ({}, {}, None),
    ],
)
def test_threads_keep_to_the_cores_that_were_promised(monkeypatch, launcher, variables, bound):
    for name in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        monkeypatch.delenv(name, raising=False)
    for name in POOLS:
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    keep_to_cores(launcher)
    assert os.environ.get("OMP_NUM_THREADS") == bound
