"""The golden runs come out byte for byte as they are kept, on the machine that they were kept on."""

from __future__ import annotations

import json

import pytest

from tests.golden.record import FROZEN, MACHINE, machine, made, written
from tests.golden.settings import NAMES, people


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The folder of people."""
    return people(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module", autouse=True)
def same_machine():
    """Elsewhere the last digits differ: skip, and say in what."""
    kept, here = json.loads(MACHINE.read_text()), machine()
    differing = [
        f"{key} {here.get(key)!r}, kept with {value!r}"
        for key, value in kept.items()
        if here.get(key) != value
    ]
    if differing:
        pytest.skip("golden runs are byte for byte those of one machine; here " + "; ".join(differing))


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_what_it_was(name, data, tmp_path):
    assert written(made(name, tmp_path, data)) == (FROZEN / f"{name}.json").read_text()


def test_nothing_is_kept_that_is_not_run():
    assert {path.stem for path in FROZEN.glob("*.json")} == {*NAMES, MACHINE.stem}
