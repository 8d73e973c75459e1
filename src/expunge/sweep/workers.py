"""The processes that a launcher starts for the cells of a sweep: their threads, and what ends them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

from hydra.errors import MissingConfigException

from expunge.errors import UserError

_EXTRAS = {"joblib": "parallel", "submitit_local": "slurm", "submitit_slurm": "slurm"}
_POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerDied(Exception):
    """A process that worked on a cell is gone, and has left no result."""


def keep_to_cores(launcher: Mapping[str, Any]) -> None:
    """Bound this process's threads by the cores that it was promised.

    Slurm without control groups, and submitit's local executor, are told a number of cores and hold nobody to
    it. Bounds that are set already stay: joblib shares out the cores among its processes by itself. To be
    called before a numerical library is imported, which reads them once.

    Args:
        launcher: The settings of ``hydra.launcher``.
    """
    slurm = os.environ.get("SLURM_CPUS_PER_TASK") or os.environ.get("SLURM_CPUS_ON_NODE")
    cores = launcher.get("cpus_per_task") or slurm
    if cores:
        for pool in _POOLS:
            os.environ.setdefault(pool, str(cores))


def explain(error: BaseException) -> UserError | WorkerDied | None:
    """What a launcher's exception means, on one line; None for any other exception.

    Their types are told by name, as neither library need be installed.

    Returns:
        ``UserError`` where the launcher could not begin, ``WorkerDied`` where it began and lost a process.
    """
    if isinstance(error, MissingConfigException):
        return _missing(str(error.missing_cfg_file))
    text = str(error)
    if isinstance(error, RuntimeError) and text.startswith('Could not detect "srun"'):
        return UserError("hydra/launcher: got submitit_slurm, but there is no Slurm here (no command srun)")
    package = type(error).__module__.partition(".")[0]
    if package == "submitit" and isinstance(error.__cause__, CalledProcessError):  # sbatch refused
        return UserError(f"hydra/launcher: {' '.join(text.split())}")
    if package in ("joblib", "submitit"):
        return WorkerDied(f"{_how(text)}; the same command again runs what is missing")
    return None


def _missing(config: str) -> UserError | None:
    """A launcher whose package is not there."""
    group, _, choice = config.rpartition("/")
    if group != "hydra/launcher" or choice not in _EXTRAS:
        return None
    return UserError(f"{group}: {choice} is not installed; pip install 'expunge[{_EXTRAS[choice]}]'")


def _how(text: str) -> str:
    """How a worker ended, from the many lines of the library that lost it."""
    job = re.match(r"Job (\S+) \(task: \d+\) with path (\S+)", text)
    if job:
        return f"job {job[1]} ended without a result (what it printed is in {Path(job[2]).parent})"
    trace = re.search(r"-{9,}\n(.*?)\n-{9,}", text, re.DOTALL)
    if trace:
        return f"a job failed ({trace[1].strip().splitlines()[-1].strip()})"
    codes = re.search(r"\{(.+?)\}", text)
    return f"a worker process ended before its time ({codes[1] if codes else ' '.join(text.split())})"
