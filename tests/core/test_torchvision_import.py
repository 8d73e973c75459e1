"""Importing torchvision beside a torch that its compiled operators do not fit."""

from __future__ import annotations

import re
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest

from expunge.core import torchvision_import


def python(code: str) -> str:
    """What a fresh interpreter prints: modules imported by other tests would hide the failing case."""
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_works_for_real_and_declares_only_where_the_plain_import_fails():
    code = """
import sys
from expunge.core import torchvision_import
try:
    import torchvision
    plain = True
except RuntimeError:
    plain = False
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        del sys.modules[name]
tv = torchvision_import.import_torchvision()
import torchvision, torchvision.datasets
declared = torchvision_import._library.cache_info().currsize == 1
print(tv is torchvision is torchvision_import.import_torchvision(), plain != declared)
print(tv.models.resnet18(num_classes=2).fc.out_features, tv.datasets.MNIST.__name__)
"""
    assert python(code).split() == ["True", "True", "2", "MNIST"]


@pytest.fixture
def scripted(monkeypatch):
    """Make imports raise the given errors in turn; returns what was done about them."""
    done: list[str] = []

    class Library:
        def define(self, schema: str) -> None:
            done.append(schema.partition("(")[0])

    def script(*outcomes: Exception | None) -> list[str]:
        waiting = iter(outcomes)

        def import_module(name: str) -> ModuleType:
            if error := next(waiting):
                raise error
            return ModuleType(name)

        monkeypatch.setattr(torchvision_import, "importlib", SimpleNamespace(import_module=import_module))
        monkeypatch.setattr(torchvision_import, "_library", Library)
        monkeypatch.setattr(torchvision_import, "_forget_torchvision", lambda: done.append("forget"))
        return done

    return script


def missing(name: str) -> RuntimeError:
    return RuntimeError(f"operator torchvision::{name} does not exist")


def test_nothing_is_done_where_the_import_succeeds(scripted):
    done = scripted(None)
    assert torchvision_import.import_torchvision().__name__ == "torchvision"
    assert done == []


def test_each_missing_operator_is_declared_after_the_broken_half_is_dropped(scripted):
    done = scripted(missing("nms"), missing("roi_align"), missing("qnms"), None)
    torchvision_import.import_torchvision()
    assert done == ["forget", "nms", "forget", "roi_align", "forget", "qnms"]


@pytest.mark.parametrize(
    "error",
    [ImportError("No module named 'torchvision'"), RuntimeError("CUDA error"), missing("unheard_of")],
)
def test_other_failures_pass_through_untouched(scripted, error):
    done = scripted(error)
    with pytest.raises(type(error), match=re.escape(str(error))):
        torchvision_import.import_torchvision()
    assert done == []
