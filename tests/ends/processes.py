"""Commands in the places and under the limits that systems have for them, and signals."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli import Ended

STRANGER = 54321  # in no list of users
_CAPABILITY = "+dac_read_search"  # it may read where this interpreter is installed, and write nothing
_AS_STRANGER = (
    *("setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"),
    *(f"--inh-caps={_CAPABILITY}", f"--ambient-caps={_CAPABILITY}"),
)
_KEPT = ("PATH", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def command(*arguments: str, cwd: Path, shell: str = "", **env: str) -> Ended:
    """Run ``python -m expunge`` with redirections of a shell, such as ``>&-``."""
    program = [sys.executable, "-m", "expunge", *arguments]
    if shell:
        program = ["sh", "-c", f'"$@" {shell}', "sh", *program]
    done = subprocess.run(program, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True)
    return Ended(done.returncode, done.stdout, done.stderr)


def as_stranger(*arguments: str, cwd: Path, **env: str) -> Ended:
    """Run ``python -m expunge`` as a user without a name and, unless ``env`` names one, without a home."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("no other user can be taken on: not root, or no setpriv")
    cwd.chmod(0o777)
    program = [*_AS_STRANGER, sys.executable, "-m", "expunge", *arguments]
    own = {key: os.environ[key] for key in _KEPT if key in os.environ}
    done = subprocess.run(program, cwd=cwd, env={**own, **env}, capture_output=True, text=True)
    return Ended(done.returncode, done.stdout, done.stderr)


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Callable[[int], None]]:
    """Make ``folder`` a file system of this size; gives what makes it larger."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", folder], capture_output=True
    )
    if made.returncode:
        pytest.skip("no file system can be mounted here")

    def enlarge(kilobytes: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", folder], check=True)

    try:
        yield enlarge
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def limited(limits: Mapping[int, int]) -> Iterator[None]:
    """Hold this process to soft limits, by their numbers in ``resource``."""
    before = {which: resource.getrlimit(which) for which in limits}
    try:
        for which, most in limits.items():
            resource.setrlimit(which, (most, before[which][1]))
        yield
    finally:
        for which, both in before.items():
            resource.setrlimit(which, both)


@contextmanager
def signalled(number: int, when: Callable[[], bool]) -> Iterator[None]:
    """Send this process a signal once ``when`` says so, unless the block has ended before."""
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            if when():
                os.kill(os.getpid(), number)
                return
            time.sleep(0.0005)

    before = signal.getsignal(number)
    if before is signal.SIG_IGN:  # a shell's background has SIGINT ignored, and then so does the command
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    heard = signal.getsignal(number)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        after = signal.signal(number, before)
    assert after is heard, "a command leaves the process's own handler"


def lines(path: Path) -> int:
    """How many lines a file has; 0 where it is not there."""
    return path.read_bytes().count(b"\n") if path.exists() else 0
