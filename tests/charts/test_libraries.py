"""The libraries of a page are those of the converter that draws the pictures, put together once."""

from __future__ import annotations

import pytest

from expunge.charts import libraries


@pytest.fixture
def made(monkeypatch, tmp_path):
    """What was put together, in a folder of its own."""
    made = []
    monkeypatch.setattr(libraries, "private_folder", lambda: tmp_path)
    monkeypatch.setattr(libraries, "put_together", lambda: made.append(1) or "script\nof several\n")
    return made


def test_they_are_put_together_once(made, tmp_path):
    assert [libraries.libraries(), libraries.libraries()] == ["script\nof several\n"] * 2
    assert len(made) == 1
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("damage", [b"", b"x", b"\xff\xfe", b"0" * 64 + b"\nscript\nof several\n"])
def test_what_is_damaged_is_put_together_again(made, tmp_path, damage):
    libraries.libraries()
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(damage)
    assert libraries.libraries() == libraries.libraries() == "script\nof several\n"
    assert len(made) == 2


def test_of_another_converter_they_are_others(made, monkeypatch):
    libraries.libraries()
    monkeypatch.setattr(libraries.converter(), "__version__", "0.0.1")
    libraries.libraries()
    assert len(made) == 2


def test_where_nothing_can_be_kept_they_are_put_together_every_time(made, monkeypatch, tmp_path):
    monkeypatch.setattr(libraries, "private_folder", lambda: None)
    assert libraries.libraries() == libraries.libraries() == "script\nof several\n"
    monkeypatch.setattr(libraries, "private_folder", lambda: tmp_path / "none" / "there")
    monkeypatch.setattr(libraries, "write_atomically", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    assert libraries.libraries() == "script\nof several\n"
    assert len(made) == 3


def test_the_converter_makes_a_script_that_embeds():
    assert "vegaEmbed" in libraries.put_together()
