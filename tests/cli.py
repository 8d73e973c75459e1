"""How tests run ``expunge``: in this process where that comes to the same, else as a process of its own."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from expunge import app
from expunge.core.files import load_state
from expunge.core.locks import LOCK
from expunge.record.sums import sum_of, sums_of

SMALL = ("dataset=digits_3v8", "figures=false", "threads=1")  # one thread: others may be using the cores
CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def expunge(*arguments: str, cwd: Path) -> Ended:
    """Run ``expunge`` with these arguments in this process, which is left as it was."""
    out, err, root = io.StringIO(), io.StringIO(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["expunge", *arguments])
        patch.setenv("HYDRA_FULL_ERROR", "1")  # main sets it: taken back with the rest
        patch.chdir(cwd)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                app.main()
            code = 0
        except SystemExit as end:
            code = end.code
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)
    return Ended(code, out.getvalue(), err.getvalue())


def start(*arguments: str, cwd: Path, program: tuple[str, ...] = (), **env: str) -> subprocess.Popen[str]:
    """Start ``expunge`` as a process of its own; values in ``env`` are added to its environment."""
    return subprocess.Popen(
        [*(program or (sys.executable, "-m", "expunge")), *arguments],
        cwd=cwd,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait(process: subprocess.Popen[str], timeout: float = 300) -> Ended:
    """Wait for a process of ``start``; one that takes too long is ended."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Ended(process.returncode, out, err)


def completed(*arguments: str, folder: Path) -> Path:
    """Run to the end in ``folder`` and return it."""
    ended = expunge(*arguments, f"hydra.run.dir={folder}", cwd=folder.parent)
    assert (ended.code, ended.err) == (0, "")
    return folder


def killed(*arguments: str, folder: Path, lines: int) -> Path:
    """Begin a run under ``folder``, SIGKILL it once ``lines`` requests are recorded, and return its folder.

    The ledger is then ahead of the last checkpoint: a kill that landed elsewhere is tried again.
    """
    for attempt in range(8):
        target = folder / str(attempt)
        process = start(*arguments, f"hydra.run.dir={target}", cwd=folder)
        ledger = target / "removals.jsonl"
        while process.poll() is None and (not ledger.exists() or ledger.read_bytes().count(b"\n") < lines):
            time.sleep(0.001)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        ended = wait(process)
        assert ended.code in (0, -signal.SIGKILL), ended.err
        if ended.code and ledger.read_bytes().count(b"\n") > served(target):
            assert not (target / "summary.json").exists()
            return target
    raise AssertionError("no run could be killed between a checkpoint and its end")


def served(folder: Path) -> int:
    """Requests that the checkpoint in ``folder`` accounts for."""
    return load_state(folder / CHECKPOINT).values["run"]["served"]


def without_seconds(content: bytes) -> bytes:
    """``removals.jsonl`` with every time, and all memory, replaced; all other bytes as they are."""
    return re.sub(rb'("(?:seconds|memory_mb|gpu_memory_mb)": )(?:[-+.0-9e]+|null)', rb"\1*", content)


def resum(ledger: Path) -> None:
    """Make the sums of a ledger anew: its lines are then what was written."""
    lines = ledger.read_bytes().splitlines(keepends=True)
    sums_of(ledger).write_bytes(b"".join(map(sum_of, lines)))


def resum_summary(folder: Path) -> None:
    """The same of a summary: its own sum is the first line."""
    path = folder / "summary.sha256"
    beside = path.read_bytes().splitlines(keepends=True)[1:]
    path.write_bytes(b"".join([sum_of((folder / "summary.json").read_bytes()), *beside]))


def ledger(folder: Path) -> bytes:
    """The bytes of a run's ledger, times left out."""
    return without_seconds((folder / "removals.jsonl").read_bytes())


def records(folder: Path) -> list[dict[str, Any]]:
    """The records of a run."""
    return [json.loads(line) for line in (folder / "removals.jsonl").read_text().splitlines()]


def summary(folder: Path) -> dict[str, Any]:
    """The summary of a run."""
    return json.loads((folder / "summary.json").read_text())


def before(folder: Path) -> dict[str, Any]:
    """What a tracker is told of a run before its first request."""
    found = summary(folder)
    counts = {"request": 0, "removed_total": 0, "retained": found["n_train"]}
    return counts | {"test_accuracy": found["test_accuracy_before"]}


def every(folder: Path) -> dict[str, bytes]:
    """Every file under ``folder``, by its relative path."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def contents(folder: Path) -> dict[str, bytes]:
    """The same but for locks, which a kill leaves."""
    return {name: content for name, content in every(folder).items() if not name.endswith(LOCK)}
