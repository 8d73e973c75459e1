"""A few of the kills of ``python -m tests.kills``, drawn by chance, and that a difference is seen."""

from __future__ import annotations

import os
import random
import sys

import pytest

from tests.kills.compare import differences
from tests.kills.events import KILLED, ended
from tests.kills.kill import killed, unbroken
from tests.kills.scenarios import SCENARIOS, warm

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks up open files in /proc")
MANY = {"linear": 2, "forced_plain": 2, "estimator": 4}


@pytest.mark.parametrize("name", MANY)
def test_killed_and_begun_again_it_ends_the_same(tmp_path, name):
    warm([name])
    whole = unbroken(SCENARIOS[name], tmp_path)
    for event in random.Random(20).sample(range(len(whole.events)), MANY[name]):
        assert list(killed(whole, event)) == [], whole.events[event]
    if name == "linear":
        file = whole.folder / "run" / "model.safetensors"
        file.write_bytes(file.read_bytes()[:-1] + b"\x00")
        assert differences(whole.folder, whole.after) == ["run/model.safetensors"]


def test_every_event_is_seen_and_ends_the_process_before_it(tmp_path):
    def work() -> int:
        (tmp_path / "a").mkdir()
        with open(tmp_path / "a" / "f", "wb") as file:
            file.write(b"1234")
            file.flush()
            os.fsync(file.fileno())
        os.replace(tmp_path / "a" / "f", tmp_path / "a" / "g")
        (tmp_path / "a" / "g").unlink()
        (tmp_path / "a").rmdir()
        return 0

    events = ended(work, tmp_path).events
    kinds = ["mkdir a", "open a/f", "write a/f", "fsync a/f", "rename a/f", "remove a/g", "rmdir a"]
    assert events == kinds
    assert ended(work, tmp_path, 2).code == KILLED
    assert (tmp_path / "a" / "f").read_bytes() == b"12"
