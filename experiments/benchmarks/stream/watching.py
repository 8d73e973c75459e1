"""A run as a process of its own, watched from outside, and killed where that is asked for."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from expunge.core.errors import DataError
from expunge.record.sums import LENGTH, sums_of

_EVERY = 0.02  # seconds between two looks
_MIB = 1024.0  # KiB


@dataclass(frozen=True)
class Look:
    """What is seen of a run: requests on disk, seconds since it was begun, MiB that it holds."""

    requests: int
    seconds: float
    memory: float


def watched(arguments: Sequence[str], ledger: Path, kill_at: int | None) -> tuple[list[Look], bool]:
    """Run ``expunge`` and look at it until it ends, or kill it once so many requests are on disk.

    Returns:
        What was seen, and whether it was killed.

    Raises:
        DataError: It failed.
    """
    looks: list[Look] = []
    command = [sys.executable, "-m", "expunge", *arguments]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            done, memory = _on_disk(ledger), _resident(process.pid)
            if memory is not None:
                looks.append(Look(done, time.perf_counter() - began, memory))
            if kill_at is not None and done >= kill_at:
                process.kill()
                process.wait()
                return looks, True
            time.sleep(_EVERY)
        assert process.stderr is not None
        if process.returncode:
            raise DataError(f"{' '.join(arguments)}: {process.stderr.read().strip()}")
    return looks, False


def _on_disk(ledger: Path) -> int:
    """Requests, by the size of the file of sums: it costs no reading."""
    try:
        return sums_of(ledger).stat().st_size // LENGTH
    except FileNotFoundError:
        return 0


def _resident(process: int) -> float | None:
    """MiB; None where the process has just ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(found[0]) / _MIB if found else None
