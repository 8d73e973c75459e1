"""The runs that several modules check."""

from __future__ import annotations

import pytest

from tests.verify.runs import Copy, Runs


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> Runs:
    """Runs by name, each made once."""
    return Runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(autouse=True)
def cache(runs, monkeypatch):
    """Where extractors are kept, for runs and for those who check them."""
    monkeypatch.setenv("EXPUNGE_CACHE", str(runs.folder / "cache"))


@pytest.fixture
def copy(runs, tmp_path):
    """A copy of a run, by name, without the secret state."""

    def made(name: str, state: bool = False) -> Copy:
        found = Copy(runs(name), tmp_path / f"{name}{len(list(tmp_path.iterdir()))}")
        return found if state else found.without_state()

    return made
