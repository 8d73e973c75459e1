"""A small form of ``python -m tests.fuzz.files``."""

from __future__ import annotations

import pytest

from tests.fuzz.files import run


@pytest.mark.parametrize(("part", "count"), [("", 25), ("resume", 3)])
def test_hostile_files(tmp_path, part, count):
    faults = [one for one in run(count, 20, tmp_path, part) if one.fault]
    assert not [(one.kind, one.how, one.fault, one.outcome.err[-1000:]) for one in faults]
