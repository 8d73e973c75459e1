"""A sweep by several processes as it is seen: one bar that moves, and is gone at the end."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest

from tests.cli import SMALL
from tests.screens import COLUMNS, Screen, on_a_terminal

SWEEP = (
    *(sys.executable, "-m", "expunge", "-m", *SMALL, "removal.count=3", "unlearner.lam=1e-3,-1,1e-2"),
    *("hydra.sweep.dir=sweep", "hydra/launcher=parallel", "hydra.launcher.n_jobs=2"),
)
BAR = re.compile(r"^ *\d+%\|.*\| (\d+)/3 \[")


def bars(state):
    return [found for line in state if (found := BAR.match(line))]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return on_a_terminal(*SWEEP, cwd=tmp_path_factory.mktemp("sweep"), code=2)


def test_there_is_one_bar_which_moves_counts_failures_and_goes(written):
    screen = Screen(written)
    seen = [bars(state) for state in screen.states]
    assert max(map(len, seen)) == 1
    numbers = [int(found[0][1]) for found in seen if found]
    assert numbers == sorted(numbers)
    assert numbers[0] == 0
    assert numbers[-1] >= 1
    assert any("1 failed" in line for state in screen.states for line in state if BAR.match(line))
    assert seen[-1] == []
    end = screen.states[-1]
    assert all(len(line) <= COLUMNS for line in end if not line.startswith(("expunge: ", "Next: ", "Sweep")))
    assert end[0].startswith("Sweep folder: ")
    assert any(line.startswith("2 of 3 cells done, 1 failed") for line in end)
    assert not any("cell 1 of 3" in line or "fitted in" in line for line in end)  # what workers say


def test_an_interrupt_takes_the_bar_along_and_leaves_the_command_that_goes_on(tmp_path):
    long = [one.replace("removal.count=3", "removal.count=120") for one in SWEEP]
    written = on_a_terminal(*long, cwd=tmp_path, code=130, interrupt=lambda text: " 0/3 [" in text)
    *_, following, last = [line for line in Screen(written).states[-1] if line]
    assert last == "expunge: interrupted; what is done is kept; the same command goes on"
    assert following.startswith("Next: expunge --multirun ")
    assert not bars(Screen(written).states[-1])
    again = shlex.split(following.removeprefix("Next: expunge "))
    ended = subprocess.run(
        [sys.executable, "-m", "expunge", *again], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "2 of 3 cells done, 1 failed" in ended.stdout


def test_in_a_pipe_there_is_neither_a_bar_nor_a_sign_that_steers(tmp_path):
    ended = subprocess.run(SWEEP, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert not {"\x1b", "\r"} & set(ended.stdout + ended.stderr)
    assert "%|" not in ended.stderr
    assert "\nSweep folder: " in f"\n{ended.stdout}"
