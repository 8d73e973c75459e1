"""The processes that a launcher starts for the cells of a sweep: their threads, and their ends."""

from __future__ import annotations

import multiprocessing
import os
import re
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from subprocess import CalledProcessError
from threading import RLock, Thread
from typing import Any

from hydra.errors import MissingConfigException
from tqdm import tqdm

from expunge.core.errors import UserError

_EXTRAS = {"joblib": "parallel", "submitit_local": "slurm", "submitit_slurm": "slurm"}
_POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_LOOK_EVERY = 0.5  # seconds


class WorkerDied(Exception):
    """A process that worked on a cell is gone, and has left no result."""


def prepare(launcher: Mapping[str, Any]) -> None:
    """Make this process a good worker, if it is one: its cores and no more, and no longer than its parent.

    To be called before a numerical library is imported: they read the number of threads once. ``launcher`` is
    ``hydra.launcher`` of the settings.
    """
    keep_to_cores(launcher)
    if multiprocessing.parent_process() is not None:
        # A bar's own lock is the system's, and is left behind, with a warning, by a worker that is ended.
        tqdm.set_lock(RLock())
        _end_with_parent()


def keep_to_cores(launcher: Mapping[str, Any]) -> None:
    """Bound this process's threads by the cores that it was promised.

    Slurm without control groups, and submitit's local executor, are told a number of cores and hold nobody to
    it. Bounds that are set already stay: joblib shares out the cores among its processes by itself.
    """
    slurm = os.environ.get("SLURM_CPUS_PER_TASK") or os.environ.get("SLURM_CPUS_ON_NODE")
    cores = launcher.get("cpus_per_task") or slurm
    for pool in _POOLS if cores else ():
        os.environ.setdefault(pool, str(cores))


@cache
def _end_with_parent() -> None:
    """End this process soon after its parent.

    Where the command is killed, joblib's workers finish their cells, and then wait for more for minutes.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_EVERY)
        os._exit(1)  # a thread cannot end a process otherwise; a cell is continued from its checkpoint

    Thread(target=watch, daemon=True).start()


def explain(error: BaseException) -> UserError | WorkerDied | None:
    """What a launcher's exception means, on one line; None for any other exception.

    ``UserError`` where the launcher could not begin, ``WorkerDied`` where it began and lost a process. Their
    types are told by name, as neither library need be installed.
    """
    if isinstance(error, MissingConfigException):
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        if group != "hydra/launcher" or choice not in _EXTRAS:
            return None
        return UserError(f"{group}: {choice} is not installed; pip install 'expunge[{_EXTRAS[choice]}]'")
    text = str(error)
    if isinstance(error, RuntimeError) and text.startswith('Could not detect "srun"'):
        return UserError("hydra/launcher: got submitit_slurm, but there is no Slurm here (no command srun)")
    package = type(error).__module__.partition(".")[0]
    if package == "submitit" and isinstance(error.__cause__, CalledProcessError):  # sbatch refused
        return UserError(f"hydra/launcher: {' '.join(text.split())}")
    if package in ("joblib", "submitit"):
        return WorkerDied(f"{_how(text)}; the same command again runs what is missing")
    return None


def _how(text: str) -> str:
    """How a worker ended, from the many lines of the library that lost it."""
    if job := re.match(r"Job (\S+) \(task: \d+\) with path (\S+)", text):
        return f"job {job[1]} ended without a result (what it printed is in {Path(job[2]).parent})"
    if trace := re.search(r"-{9,}\n(.*?)\n-{9,}", text, re.DOTALL):
        return f"a job failed ({trace[1].strip().splitlines()[-1].strip()})"
    codes = re.search(r"\{(.+?)\}", text)
    return f"a worker process ended before its time ({codes[1] if codes else ' '.join(text.split())})"
