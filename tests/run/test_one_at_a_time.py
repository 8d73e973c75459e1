"""Two processes on one folder, where folders cannot be locked, and where nothing can."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

from tests import cli
from tests.cli import SMALL
from tests.core.shims import locks

COUNT = 100
RUN = (*SMALL, "unlearner=newton", f"removal.count={COUNT}", "resume=auto", "hydra.run.dir=run")
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


def refused(first: subprocess.Popen[str], *arguments: str, cwd: Path, **env: str) -> str:
    """What another process says that comes while the first is at work, however loaded the machine."""
    first.send_signal(signal.SIGSTOP)
    try:
        second = cli.wait(cli.start(*arguments, cwd=cwd, **env))
    finally:
        first.send_signal(signal.SIGCONT)
    assert second.code == 2
    (line,) = second.err.splitlines()
    return line


def test_where_folders_cannot_be_locked_a_second_sweep_is_refused(tmp_path):
    env = locks(tmp_path, "files")
    first = begun(*SWEEP, cwd=tmp_path, **env)
    said = refused(first, *SWEEP, cwd=tmp_path, **env)
    assert said == f"expunge: hydra.sweep.dir: another process is running a sweep in {tmp_path}/sweep"
    assert cli.wait(first).code == 0
    assert served(tmp_path) == COUNT
    assert not [*tmp_path.glob("**/.lock*")]


def test_without_locks_a_second_run_is_refused_and_the_mark_of_a_killed_one_is_no_obstacle(tmp_path):
    env = locks(tmp_path, "none")
    first = begun(*RUN, cwd=tmp_path, **env)
    said = refused(first, *RUN, cwd=tmp_path, **env)
    start = f"expunge: hydra.run.dir: another process is writing to {tmp_path}/run; if that process is gone"
    assert said.startswith(start)
    first.kill()
    cli.wait(first)
    assert (tmp_path / "run" / ".lock.held").exists()
    last = cli.wait(cli.start(*RUN, cwd=tmp_path, **env))
    assert (last.code, last.err) == (0, "")
    assert served(tmp_path) == COUNT
    assert not [*tmp_path.glob("**/.lock*")]
