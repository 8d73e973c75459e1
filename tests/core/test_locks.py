"""Locks between processes, and that none stays behind."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from expunge.core.locks import LOCK, Taken, exclusive

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


def test_a_folder_is_held_by_a_file_in_it_that_goes(tmp_path):
    with exclusive(tmp_path):
        with pytest.raises(Taken), exclusive(tmp_path, wait=False):
            pass
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]
        assert (tmp_path / LOCK).stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.iterdir())
    with exclusive(tmp_path, wait=False):
        pass


def test_what_a_kill_left_is_no_obstacle(tmp_path):
    (tmp_path / LOCK).write_text("left over")
    with exclusive(tmp_path, wait=False):
        assert (tmp_path / LOCK).read_text() == "left over"
    assert not (tmp_path / LOCK).exists()


@pytest.mark.parametrize("there", [True, False])
def test_a_planted_link_is_not_followed(tmp_path, there):
    target, folder = tmp_path / "target", tmp_path / "folder"
    folder.mkdir()
    if there:
        target.write_text("precious")
    (folder / LOCK).symlink_to(target)
    with pytest.raises(OSError, match="a symbolic link where the file of a lock goes"), exclusive(folder):
        pass
    assert (folder / LOCK).is_symlink()
    assert target.exists() == there
    assert not there or target.read_text() == "precious"


def test_a_lock_that_another_has_put_in_place_meanwhile_stays(tmp_path):
    with exclusive(tmp_path):
        (tmp_path / LOCK).unlink()
        (tmp_path / LOCK).write_text("of another")
    assert (tmp_path / LOCK).read_text() == "of another"


def test_nothing_is_lost_between_processes_though_the_file_comes_and_goes(tmp_path):
    (tmp_path / "number").write_text("0")
    started = time.monotonic()
    processes = [subprocess.Popen([sys.executable, "-c", COUNT, str(tmp_path)]) for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    assert (tmp_path / "number").read_text() == "120", time.monotonic() - started
    assert sorted(path.name for path in tmp_path.iterdir()) == ["number"]
