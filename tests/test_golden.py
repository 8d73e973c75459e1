"""The golden runs come out byte for byte as they are kept, on the machine that they were kept on.

On every machine ``expunge-verify`` accepts each of them.
"""

from __future__ import annotations

import json

import pytest

from expunge.verify.verdict import verify
from tests.golden.record import FROZEN, MACHINE, machine, made, written
from tests.golden.settings import ESTIMATOR, NAMES, people


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The folder of people."""
    return people(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def elsewhere():
    """In what this machine differs, where the last digits do; empty for nothing."""
    kept, here = json.loads(MACHINE.read_text()), machine()
    differing = [
        f"{key} {here.get(key)!r}, kept with {value!r}"
        for key, value in kept.items()
        if here.get(key) != value
    ]
    return "; ".join(differing)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_what_it_was_and_verifies(name, data, tmp_path, elsewhere, monkeypatch):
    found = written(made(name, tmp_path, data))
    if name != ESTIMATOR and not name.startswith("study"):
        monkeypatch.setenv("EXPUNGE_CACHE", str(tmp_path / "cache"))
        assert verify(tmp_path / "run").first is None
    if elsewhere:
        pytest.skip(f"golden runs are byte for byte those of one machine; here {elsewhere}")
    assert found == (FROZEN / f"{name}.json").read_text()


def test_nothing_is_kept_that_is_not_run():
    assert {path.stem for path in FROZEN.glob("*.json")} == {*NAMES, MACHINE.stem}
