"""Several processes of a program, started by hand and by ``torchrun``."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.cli import Ended

PATIENCE = 120.0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def by_hand(size: int, *command: str, folders: Sequence[Path]):
    """Start ``size`` processes, in these folders in turn; those that are left at the end are killed."""
    port = free_port()
    with ExitStack() as stack:
        started = []
        for rank in range(size):
            place = {"RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1"}
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=folders[rank % len(folders)],
                env={**environment(), **place, "MASTER_PORT": str(port)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.callback(process.kill)
            started.append(process)
        yield started


def ended(processes: Sequence[subprocess.Popen[str]], timeout: float = PATIENCE) -> list[Ended]:
    """How all of them end, together within ``timeout`` seconds."""
    until, found = time.monotonic() + timeout, []
    for process in processes:
        out, err = process.communicate(timeout=max(0.1, until - time.monotonic()))
        found.append(Ended(process.returncode, out, err))
    return found


def torchrun(size: int, *arguments: str, cwd: Path, program: str = "expunge") -> subprocess.Popen[str]:
    """``torchrun --nproc-per-node=size -m expunge ...``."""
    launch = ["-m", "torch.distributed.run", f"--nproc-per-node={size}", f"--master-port={free_port()}"]
    return subprocess.Popen(
        [sys.executable, *launch, "-m", program, *arguments],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def environment() -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": root}


def until(path: Path, lines: int) -> None:
    """Wait until a file has so many lines."""
    end = time.monotonic() + PATIENCE
    while not path.exists() or path.read_text().count("\n") < lines:
        assert time.monotonic() < end, path
        time.sleep(0.02)


def lines_of(ends: Sequence[Ended]) -> list[str]:
    """All that was said on standard error by the program itself."""
    return [line for end in ends for line in end.err.splitlines() if line.startswith("expunge: ")]
