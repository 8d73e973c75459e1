"""Locks between processes, and that none stays behind."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from expunge.core.locks import Taken, exclusive

HOLD = """
import sys, time
from pathlib import Path
from expunge.core.locks import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
COUNT = """
import sys
from pathlib import Path
from expunge.core.locks import exclusive
folder = Path(sys.argv[1])
for _ in range(40):
    with exclusive(folder / "lock"):
        number = int((folder / "number").read_text())
        (folder / "number").write_text(str(number + 1))
"""


@pytest.fixture
def held(tmp_path):
    """A lock that another process holds."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield process, tmp_path / "lock"
    process.kill()
    process.communicate()


def test_other_processes_are_kept_out(held):
    with pytest.raises(Taken), exclusive(held[1], wait=False):
        pass


def test_a_killed_process_gives_it_back(held):
    process, path = held
    process.kill()
    process.wait()
    with exclusive(path):
        assert path.exists()
    assert not path.exists()


def test_a_folder_is_locked_without_a_file(tmp_path):
    with exclusive(tmp_path):
        with pytest.raises(Taken), exclusive(tmp_path, wait=False):
            pass
        assert not list(tmp_path.iterdir())
    with exclusive(tmp_path, wait=False):
        pass


def test_nothing_is_lost_between_processes_though_the_file_comes_and_goes(tmp_path):
    (tmp_path / "number").write_text("0")
    started = time.monotonic()
    processes = [subprocess.Popen([sys.executable, "-c", COUNT, str(tmp_path)]) for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    assert (tmp_path / "number").read_text() == "120", time.monotonic() - started
    assert sorted(path.name for path in tmp_path.iterdir()) == ["number"]
