"""What several test modules share."""

from __future__ import annotations

import logging
import os
import urllib.request
from pathlib import Path

import pytest
import vl_convert
from hypothesis import HealthCheck, settings

from tests.charts.sound import strict

# No test is timed: cores that others use are no failure. How many examples there are is the same.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images that tests may read, or a skip that says where it was looked for."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    places = [Path(place) for place in (os.environ.get("EXPUNGE_DATA"), beside) if place]
    for place in places:
        if (place / "MNIST" / "raw").is_dir():
            return place
    pytest.skip("needs real images (MNIST/raw), found none in " + " or ".join(map(str, places)))


@pytest.fixture(scope="session")
def orl(shared_data) -> Path:
    """The folder that holds the ORL faces, or a skip that says what is missing."""
    if not (shared_data / "att_faces" / "s1" / "1.pgm").is_file():
        pytest.skip(f"needs the ORL faces, found no att_faces in {shared_data}")
    return shared_data


@pytest.fixture(autouse=True)
def charts_without_a_warning(monkeypatch):
    """What the converter says of a chart is an error wherever a test draws, as warnings of Python are."""
    monkeypatch.setattr(vl_convert, "vegalite_to_svg", strict(vl_convert.vegalite_to_svg))


@pytest.fixture(autouse=True)
def own_proxies(monkeypatch):
    """urllib keeps the proxies of its first download for good: each test begins anew."""
    monkeypatch.setattr(urllib.request, "_opener", None)


@pytest.fixture(autouse=True)
def own_levels_of_logging():
    """A program that a test runs in this process may set how much is logged: each test begins anew."""
    for name, level in ((None, logging.WARNING), ("expunge", logging.NOTSET)):
        logger = logging.getLogger(name)
        logger.setLevel(level)  # not assigned: what loggers remember of it is forgotten
