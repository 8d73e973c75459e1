"""A hook of mkdocs: a page of what is imported from Python, from the package's signatures and docstrings."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

SECTIONS = {
    "Experiments": (
        "What the command does, from Python: [guide](python.md#runs).",
        "expunge",
        ("run", "sweep", "compose", "load", "Result", "Sweep", "UserError", "CellsFailed"),
    ),
    "Certified removal": (
        "Guides: [certified](certified.md), [in Python](python.md#certified-removal), [serving](serving.md).",
        "expunge",
        ("CertifiedLogisticRegression", "RemovalService"),
    ),
    "Your own network": (
        "Guide: [networks](networks.md#your-own-network-in-torch).",
        "expunge",
        ("Scrub", "Removal"),
    ),
    "Conditional independence": (
        "Guide: [choosing columns](python.md#choosing-columns-by-conditional-independence).",
        "expunge.codec",
        (
            "codec",
            "foci",
            "Selection",
            "FociSelector",
            "CodecSelector",
            "independence_test",
            "IndependenceTest",
            "markov_blanket",
            "UndefinedCodecWarning",
        ),
    ),
    "Certificates": (
        "Float64 arithmetic that knows no model: [the mathematics](certificate.md).",
        "expunge.certificate",
        ("ReleaseGuarantee", "ReleaseAccount", "Guarantee", "Account", "StepFacts", "joint"),
    ),
    "Parts of your own": (
        "What they are given and return; a complete file of each kind is in [the guide](plugins.md).",
        "expunge",
        (
            "datasets.Dataset",
            "unlearners.Method",
            "unlearners.Unlearner",
            "unlearners.Outcome",
            "unlearners.descent.InPlace",
            "core.files.State",
            "certificate.composition.Claim",
            "certificate.composition.Upstream",
            "metrics.Metric",
            "metrics.View",
            "metrics.base.Comparing",
            "metrics.base.Pictured",
            "core.columns.Column",
            "core.columns.Plot",
            "tracking.Tracker",
            "studies.Study",
            "testing.check_unlearner",
        ),
    ),
}
"""Heading -> a sentence, the package, and what of it is told."""
_HEAD = """\
# Python API

Written from the docstrings. What is not listed here is not promised: it may change without a word in the
[changes](CHANGELOG.md). Errors that bad input raises are `UserError`, of one line.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page."""
    files.append(File.generated(config, "api.md", content=page()))
    return files


def page() -> str:
    """Return the page."""
    docstrings = _beside("docstrings")
    parts = [_HEAD]
    for title, (about, package, names) in SECTIONS.items():
        parts.append(f"## {title}\n\n{about}\n")
        for name in names:
            module, _, short = f"{package}.{name}".rpartition(".")
            parts.append(docstrings.entry(f"{module}.{short}", found(module, short)))
    return "\n".join(parts)


def found(module: str, name: str) -> Any:
    """Return what a name stands for; ``run`` and ``sweep`` are called, but are rooms of the package, too."""
    thing = getattr(importlib.import_module(module), name)
    return thing._function if isinstance(thing, ModuleType) else thing


def _beside(name: str) -> ModuleType:
    """Return a module of this folder, which is no package: mkdocs loads its hooks by their paths."""
    spec = importlib.util.spec_from_file_location(f"site_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
