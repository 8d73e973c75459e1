"""What a block takes is known to a megabyte, and what was taken before it is not forgotten."""

from __future__ import annotations

import numpy as np
import pytest

from expunge.core import memory_rise
from expunge.core.memory_rise import measured, peak_mib

able = pytest.mark.skipif(memory_rise._begun() is None, reason=memory_rise.NOT_TOLD)
CLOSE = 8  # MB: the kernel counts pages in batches, and Python allocates now and then


def taken(mib):
    """So many MB for a moment: every page of them is written."""
    held = np.ones(mib << 17)
    assert held[-1] == 1
    return mib


@able
@pytest.mark.parametrize("mib", [64, 200])
def test_memory_that_was_given_back_within_counts(mib):
    with measured() as rise:
        taken(mib)
    assert mib - 1 <= rise.resident <= mib + CLOSE
    assert rise.gpu is None or rise.gpu >= 0


@able
def test_memory_that_was_held_before_does_not_count():
    held = np.ones(100 << 17)
    with measured() as rise:
        assert held.sum() > 0
    assert 0 <= rise.resident <= CLOSE


@able
def test_an_earlier_peak_of_the_process_is_remembered():
    taken(300)
    before = peak_mib()
    with measured():
        pass
    with measured() as rise:
        taken(10)
    assert peak_mib() >= before
    assert rise.resident < 10 + CLOSE


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
