"""Report and charts know no metric and no method by name: all of it comes from the run folders."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import expunge
from expunge.record.columns import of_run

PACKAGE = Path(expunge.__file__).parent
FILES = [path for room in ("charts", "report") for path in (PACKAGE / room).rglob("*.py")]
METHODS = {
    OmegaConf.load(path)["name"] for path in (Path(__file__).parents[2] / "conf" / "unlearner").glob("*.yaml")
}


def keys() -> set[str]:
    """Every key of a metric, by the bundled table; the method's own figures are words of everyday too."""
    return set(of_run({})) - {"units", "weights"}


def found(text: str) -> list[str]:
    """The names in a text: keys, also as part of ``..._after``, and methods."""
    names = keys() | (METHODS - {"none"})
    every = re.findall(rf"\b({'|'.join(sorted(names, key=len, reverse=True))})(?:_after|_before)?\b", text)
    return every + re.findall(r"(?:unlearner|method|name)\w*\W[^\n]{0,20}(?<!ls=)[\"'](none)[\"']", text)


def test_what_is_looked_for():
    assert {"test_accuracy", "membership_auc", "linear_probe_accuracy", "completeness"} <= keys()
    assert {"newton", "lcodec", "kfac", "finetune", "gradient_ascent", "retrain", "none"} <= METHODS
    assert found('row.test_accuracy_after, "retrain", "newton_corrected", if run.unlearner == "none"') == [
        *("test_accuracy_after", "retrain", "newton_corrected", "none"),
    ]
    assert found('ax.plot(ls="none"), retraining, retrain_from') == []


@pytest.mark.parametrize("file", sorted(FILES), ids=lambda path: path.name)
def test_no_name_of_a_metric_or_a_method(file):
    assert found(file.read_text(encoding="utf-8")) == []
