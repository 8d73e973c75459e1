"""What a block takes is known to a megabyte, and what was taken before it is not forgotten."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from expunge.core import memory_rise
from expunge.core.memory_rise import measured

able = pytest.mark.skipif(memory_rise._begun() is None, reason=memory_rise.NOT_TOLD)
CLOSE = 8  # MB: the kernel counts pages in batches, and Python allocates now and then


ALONE = """
import numpy as np
from expunge.core.memory_rise import measured, peak_mib

def taken(mib):  # so many MB for a moment: every page of them is written
    held = np.ones(mib << 17)
    assert held[-1] == 1

"""


def alone(code):
    """What some code prints in a process of its own: of a large one the system takes pages away."""
    done = subprocess.run([sys.executable, "-c", ALONE + code], capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def taken(mib):
    """So many MB for a moment."""
    assert np.ones(mib << 17)[-1] == 1


@able
@pytest.mark.parametrize("mib", [64, 200])
def test_memory_that_was_given_back_within_counts(mib):
    (rise,) = alone(f"with measured() as rise:\n    taken({mib})\nprint(rise.resident)")
    assert mib - 1 <= rise <= mib + CLOSE


@able
def test_memory_that_was_held_before_does_not_count():
    (rise,) = alone(
        "held = np.ones(100 << 17)\nwith measured() as rise:\n    assert held.sum()\nprint(rise.resident)"
    )
    assert 0 <= rise <= CLOSE


@able
def test_an_earlier_peak_of_the_process_is_remembered():
    before, after, rise = alone(
        "taken(300)\nprint(peak_mib())\nwith measured():\n    pass\n"
        "with measured() as rise:\n    taken(10)\nprint(peak_mib(), rise.resident)"
    )
    assert after >= before > 300
    assert rise < 10 + CLOSE


@pytest.mark.parametrize("file", ["_STATUS", "_CLEAR"])
def test_where_the_system_does_not_say_nothing_is_made_up(monkeypatch, tmp_path, file):
    monkeypatch.setattr(memory_rise, file, tmp_path / "absent" / "file")
    with measured() as rise:
        taken(20)
    assert rise.resident is None


def test_a_file_that_takes_the_reset_without_doing_it_is_not_believed(monkeypatch, tmp_path):
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmHWM:\t  900000 kB\nVmRSS:\t  100000 kB\n")
    monkeypatch.setattr(memory_rise, "_STATUS", status)
    monkeypatch.setattr(memory_rise, "_CLEAR", tmp_path / "clear_refs")
    with measured() as rise:
        pass
    assert rise.resident is None
    monkeypatch.setattr(memory_rise._Highest, "kib", 0.0)
