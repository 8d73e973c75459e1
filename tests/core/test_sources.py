"""What the source of a plug-in is: its module and all of a user's own that it imports, by whatever way."""

from __future__ import annotations

import itertools
import shutil
import sys
from pathlib import Path

import pytest

from expunge.core.hashing import sha256_of_file
from expunge.core.sources import digests_of, files_in, sources_of, targets_in

NUMBER = itertools.count()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder that Python looks for modules in, with a plug-in."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "expunge_plugins", raising=False)
    (tmp_path / "expunge_plugins").mkdir()
    return tmp_path


def put(place: Path, name: str, text: str = "") -> None:
    file = place / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


IMPORTS = {
    "import helper_{n}": "helper_{n}",
    "def f():\n    import helper_{n} as other": "helper_{n}",
    "from helper_{n} import thing": "helper_{n}",
    "if False:\n    from helper_{n} import *": "helper_{n}",
    "from importlib import import_module\nimport_module('helper_{n}')": "helper_{n}",
    "import importlib\nimportlib.import_module('helper_{n}.inner')": "helper_{n}.inner",
    "import importlib\nimportlib.import_module(name='helper_{n}.inner')": "helper_{n}.inner",
    "from helper_{n} import inner": "helper_{n}.inner",
    "import helper_{n}.inner.deep": "helper_{n}.inner.deep",
    "from . import beside": "expunge_plugins.beside",
    "from .beside import thing": "expunge_plugins.beside",
    "from expunge_plugins import beside": "expunge_plugins.beside",
    "from expunge_plugins.sub.part import thing": "expunge_plugins.sub.part",
    "import expunge_plugins.beside": "expunge_plugins.beside",
    "class A:\n    def f(self):\n        from .sub import part": "expunge_plugins.sub.part",
    "import chain_{n}": "helper_{n}",  # by way of another
}


@pytest.mark.parametrize("text", IMPORTS)
def test_what_a_plugin_imports_is_its_source_too(tmp_path, place, text):
    n = next(NUMBER)
    wanted = IMPORTS[text].format(n=n)
    package = "inner" in wanted
    for name in (f"helper_{n}/__init__.py", f"helper_{n}/inner/__init__.py", f"helper_{n}/inner/deep.py"):
        put(place, name) if package else put(place, f"helper_{n}.py", "x = 1")
    put(place, f"chain_{n}.py", f"import os, numpy, helper_{n}")
    put(place, "expunge_plugins/beside.py")
    put(place, "expunge_plugins/sub/part.py")
    put(place, "expunge_plugins/own.py", text.format(n=n))
    found = sources_of(["expunge_plugins.own.Class"])
    assert {"expunge_plugins.own", wanted} <= found.keys()
    assert not {name.partition(".")[0] for name in found} & {"numpy", "os", "importlib", "expunge"}


def test_two_that_import_each_other_and_one_that_is_not_there(place):
    put(place, "expunge_plugins/one.py", "import expunge_plugins.two, nowhere_to_be_found.at_all")
    put(place, "expunge_plugins/two.py", "from expunge_plugins.one import x\nthis is no Python")
    assert [*sources_of(["expunge_plugins.one.A"])] == ["expunge_plugins.one", "expunge_plugins.two"]


@pytest.mark.parametrize("package", [True, False])
def test_what_is_imported_from_an_archive_counts_by_the_archive(place, tmp_path, monkeypatch, package):
    name = f"packed_{next(NUMBER)}"
    put(tmp_path / "in", f"{name}/__init__.py" if package else f"{name}.py", "x = 1")
    archive = shutil.make_archive(str(tmp_path / name), "zip", tmp_path / "in")
    monkeypatch.syspath_prepend(archive)
    put(place, "expunge_plugins/packed.py", f"import {name}")
    digest = sha256_of_file(Path(archive))
    assert sources_of(["expunge_plugins.packed.A"])[name] == digest
    monkeypatch.syspath_prepend(shutil.make_archive(str(tmp_path / "own"), "zip", place))
    monkeypatch.delitem(sys.path_importer_cache, str(place), raising=False)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(place)])
    assert "expunge_plugins.packed" in sources_of(["expunge_plugins.packed.A"])


def test_one_letter_is_another_source(place, tmp_path):
    put(place, "first/expunge_plugins/own.py", "x = 1")
    put(place, "second/expunge_plugins/own.py", "x = 2")
    digests = []
    for name in ("first", "second"):
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(place / name))
            digests.append(sources_of(["expunge_plugins.own.f"])["expunge_plugins.own"])
    assert digests[0] != digests[1]


@pytest.mark.parametrize("name", ["expunge.models.Mlp", "os.path.join", "numpy.linalg.norm", "", "no where"])
def test_the_source_of_others_is_not_asked_for(name):
    assert sources_of([name]) == {}


def test_targets_and_files_are_found_anywhere_in_settings(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"weights")
    settings = {
        "model": {"_target_": "expunge_plugins.net.Net", "parts": [{"file": "w.pth"}, "expunge_plugins.a.b"]},
        "other": {"x": 3, "y": None, "z": "\0", "long": "w" * 5000, "~nobody": "~nobody/w"},
    }
    assert targets_in(settings) == ["expunge_plugins.net.Net", "expunge_plugins.a.b"]
    files = files_in(settings, (Path("nowhere"), tmp_path))
    assert files == {"model.parts.0.file": tmp_path / "w.pth"}
    before = digests_of(files)
    (tmp_path / "w.pth").write_bytes(b"weightz")
    assert digests_of(files) != before


def test_a_word_that_is_a_choice_names_no_file(tmp_path):
    for name in ("retrain", "mine", "table", "w"):
        (tmp_path / name).touch()
    ours, theirs = {"_target_": "expunge.unlearners.Retrain"}, {"_target_": "expunge_plugins.m.M"}
    settings = {
        "unlearner": {**ours, "name": "retrain", "how": "table"},
        "model": {**ours, "weights": "w"},
        "metrics": {"mine": {**theirs, "name": "mine", "table": "table"}},
        "device": "w",
    }
    assert list(files_in(settings, (tmp_path,))) == ["model.weights", "metrics.mine.table"]
