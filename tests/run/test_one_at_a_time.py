"""Two processes on one folder, where folders cannot be locked, and where nothing can."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests import cli
from tests.cli import SMALL
from tests.core.shims import locks

COUNT = 200
RUN = (*SMALL, "unlearner=newton", f"removal.count={COUNT}", "resume=true", "hydra.run.dir=run")
SWEEP = ("-m", *SMALL, "unlearner=newton", f"removal.count={COUNT}", "hydra.sweep.dir=sweep")


def served(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("**/removals.jsonl"))


def begun(*arguments: str, cwd: Path, **env: str) -> subprocess.Popen[str]:
    """A process that has served a request."""
    process = cli.start(*arguments, cwd=cwd, **env)
    while process.poll() is None and not served(cwd):
        time.sleep(0.001)
    assert process.poll() is None
    return process


@pytest.mark.parametrize(
    ("how", "arguments", "said"),
    [
        ("files", RUN, "hydra.run.dir: another process is writing to {}/run"),
        (
            "none",
            SWEEP,
            "hydra.sweep.dir: another process is running a sweep in {}/sweep; if that process is",
        ),
    ],
)
def test_one_of_two_is_refused(tmp_path, how, arguments, said):
    env = locks(tmp_path, how)
    (tmp_path / "run").mkdir()
    first = begun(*arguments, cwd=tmp_path, **env)
    first.send_signal(signal.SIGSTOP)  # so that the other comes in time, however loaded the machine
    try:
        second = cli.wait(cli.start(*arguments, cwd=tmp_path, **env))
    finally:
        first.send_signal(signal.SIGCONT)
    assert second.code == 2
    (line,) = second.err.splitlines()
    assert line.startswith(f"expunge: {said.format(tmp_path)}")
    assert cli.wait(first).code == 0
    assert served(tmp_path) == COUNT
    assert not [*tmp_path.glob("**/.lock*")]


def test_without_locks_the_mark_of_a_killed_process_is_no_obstacle_on_its_host(tmp_path):
    env = locks(tmp_path, "none")
    (tmp_path / "run").mkdir()
    first = begun(*RUN, cwd=tmp_path, **env)
    first.kill()
    cli.wait(first)
    assert (tmp_path / "run" / ".lock.held").exists()
    second = cli.wait(cli.start(*RUN, cwd=tmp_path, **env))
    assert (second.code, second.err) == (0, "")
    assert served(tmp_path) == COUNT
    assert not [*tmp_path.glob("**/.lock*")]
