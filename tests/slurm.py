"""A Slurm of one node, this machine, for one test. Needs no rights: its three daemons run as the user."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

DAEMONS = ("munged", "slurmctld", "slurmd")
CLIENTS = ("sbatch", "scancel", "sinfo", "squeue", "srun")
SOCKET = "munge.socket"
_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"))
_SETTINGS = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES State=UP MaxTime=INFINITE
"""


@contextmanager
def one_node(cpus: int = 2, patience: float = 60) -> Iterator[Path]:
    """Start Slurm and give the file that ``$SLURM_CONF`` must name; all of it is gone afterwards.

    Skips the test where Slurm is not installed.

    Args:
        cpus: How many the node is said to have. Nothing holds a job to its own.
        patience: Seconds until the node must be ready.
    """
    missing = [name for name in (*DAEMONS, *CLIENTS) if not _program(name)]
    if missing:
        pytest.skip(f"needs Slurm (Debian's slurm-wlm), found no {', '.join(missing)}")
    # Not a folder of pytest: a socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="slurm-") as name, ExitStack() as stack:
        folder = Path(name)
        settings = _prepare(folder, cpus)
        log = stack.enter_context((folder / "log").open("wb"))

        def start(daemon: str, *arguments: str) -> None:
            environment = {**os.environ, "SLURM_CONF": str(settings)}
            command = [str(_program(daemon)), *arguments]
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
            stack.callback(_end, process)

        places = {"key-file": "key", "seed-file": "seed", "log-file": "munge.log", "pid-file": "munge.pid"}
        places["socket"] = SOCKET
        start("munged", "--foreground", "--force", *(f"--{key}={folder / at}" for key, at in places.items()))
        _until((folder / SOCKET).exists, patience, folder)
        start("slurmctld", "-D", "-f", str(settings))
        start("slurmd", "-D", "-f", str(settings))
        _until(lambda: _answer(settings, "sinfo", "--noheader", "--format=%T") == "idle", patience, folder)
        try:
            yield settings
        finally:  # what still runs would outlive the daemons
            _answer(settings, "scancel", "--user", getpass.getuser())
            _until(lambda: not _answer(settings, "squeue", "--noheader"), patience, folder)


def _program(name: str) -> str | None:
    return shutil.which(name, path=_PATH)


def _prepare(folder: Path, cpus: int) -> Path:
    """Make what the daemons expect to find, and return Slurm's settings."""
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    (folder / "key").touch(mode=0o600)
    (folder / "key").write_bytes(os.urandom(128))
    with socket.socket() as first, socket.socket() as second:
        for free in (first, second):
            free.bind(("127.0.0.1", 0))
        ports = [free.getsockname()[1] for free in (first, second)]
    host = socket.gethostname().partition(".")[0]
    settings = folder / "slurm.conf"
    settings.write_text(
        _SETTINGS.format(folder=folder, host=host, ports=ports, user=getpass.getuser(), cpus=cpus)
    )
    return settings


def _answer(settings: Path, client: str, *arguments: str) -> str:
    """What a command of Slurm prints."""
    environment = {**os.environ, "SLURM_CONF": str(settings)}
    command = [str(_program(client)), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout.strip()


def _until(ready: Callable[[], bool], patience: float, folder: Path) -> None:
    end = time.monotonic() + patience
    while not ready():
        assert time.monotonic() < end, (folder / "log").read_text(errors="replace")[-2000:]
        time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
