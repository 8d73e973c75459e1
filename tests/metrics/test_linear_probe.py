"""The linear probe against scikit-learn by hand, and on cases whose answer is known."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from sklearn.linear_model import LogisticRegression

from expunge.core.errors import InvalidValue
from expunge.datasets.images import Images
from expunge.linear.rows import Rows
from expunge.metrics import View
from expunge.metrics.linear_probe import LinearProbe, evenly_spaced
from expunge.run.targets import build
from tests import cli
from tests.networks import blobs, pictures

CONF = Path(__file__).resolve().parents[2] / "conf" / "metrics" / "linear_probe.yaml"


def view(x, y, requested=(), train=None, pack=Rows.normalised):
    """The first ``train`` rows are for training (None: two thirds)."""
    n = len(x) * 2 // 3 if train is None else train
    forget = np.zeros(n, dtype=bool)
    forget[list(requested)] = True
    return View(None, pack(x[:n]), y[:n], pack(x[n:]), y[n:], forget)


def probe(of, **how):
    return LinearProbe(**how)(of)["linear_probe_accuracy"]


def test_separable_classes_are_told_apart():
    x, y = blobs(n=90, d=6, spread=0.05)
    assert probe(view(x, y)) == 1.0


def test_labels_that_have_nothing_to_do_with_the_features():
    x, y = blobs(n=3000, classes=2)
    y = np.random.default_rng(1).permutation(y)
    assert probe(view(x, y)) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("C", [0.01, 10.0])
def test_it_is_scikit_learns(C):
    x, y = blobs(n=300, d=4, classes=4, spread=1.5)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    theirs = LogisticRegression(C=C, max_iter=500).fit(unit[:200], y[:200]).score(unit[200:], y[200:])
    assert 0.3 < theirs < 1
    assert probe(view(x, y), C=C, max_iter=500) == theirs


def test_more_test_rows_than_a_block_holds():
    x, y = blobs(n=9500, d=3, spread=1.5)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    theirs = LogisticRegression(max_iter=1000).fit(unit[:300], y[:300]).score(unit[300:], y[300:])
    assert probe(view(x, y, train=300)) == pytest.approx(theirs, abs=1e-12)


def test_images_are_flattened():
    x, y = pictures(60, size=4)
    flat = (x / 255.0 - 0.5).transpose(0, 3, 1, 2).reshape(60, -1)
    theirs = LogisticRegression(max_iter=1000).fit(flat[:40], y[:40]).score(flat[40:], y[40:])
    assert probe(view(x, y, pack=lambda part: Images.of(part, 255.0, 0.5))) == pytest.approx(theirs)


def test_requested_rows_are_ignored():
    x, y = blobs(n=90, d=6, spread=0.05)
    wrong = np.arange(0, 60, 2)
    poisoned = y.copy()
    poisoned[wrong] = (y[wrong] + 1) % 3
    assert probe(view(x, poisoned)) < 1
    assert probe(view(x, poisoned, requested=wrong)) == 1.0


def test_at_most_so_many_rows_evenly_spaced():
    np.testing.assert_array_equal(evenly_spaced(np.arange(10), 10), np.arange(10))
    np.testing.assert_array_equal(evenly_spaced(np.arange(10), 5), [0, 2, 4, 6, 8])
    np.testing.assert_array_equal(evenly_spaced(np.array([3, 5, 7, 11]), 3), [3, 5, 7])
    x, y = blobs(n=300, d=4, classes=3, spread=1.5)
    unit, used = x / np.linalg.norm(x, axis=1, keepdims=True), np.arange(0, 200, 4)
    theirs = LogisticRegression(max_iter=1000).fit(unit[used], y[used]).score(unit[200:], y[200:])
    assert probe(view(x, y), max_rows=50) == theirs


def test_fewer_than_two_classes_have_no_probe():
    x, y = blobs(n=30, classes=2)
    assert probe(view(x, np.zeros_like(y))) is None
    assert probe(view(x, y, requested=range(20))) is None
    assert probe(view(x, y, requested=np.flatnonzero(y[:20] == 1))) is None


@pytest.mark.filterwarnings("error")
def test_no_convergence_is_one_line_said_once(caplog):
    x, y = blobs(n=90, d=6)
    metric = LinearProbe(max_iter=1, C=1e6)
    for _ in range(2):
        assert 0 <= metric(view(x, y))["linear_probe_accuracy"] <= 1
    (line,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert line.startswith("metrics.linear_probe: lbfgs failed to converge")
    assert "\n" not in line


@pytest.mark.parametrize("how", [{"every": 0}, {"C": 0}, {"max_iter": 0}, {"max_rows": 0.5}])
def test_bad_values_are_refused(how):
    with pytest.raises(InvalidValue, match=rf"^{next(iter(how))}: "):
        LinearProbe(**how)


def test_the_configuration_and_a_run(tmp_path):
    (settings,) = OmegaConf.to_container(OmegaConf.load(CONF)).values()
    metric = build("metrics.linear_probe", settings)
    assert (metric.every, [*metric.COLUMNS]) == (None, ["linear_probe_accuracy"])
    options = ("metrics=[accuracy,linear_probe]", "removal.count=3", f"hydra.run.dir={tmp_path}")
    ended = cli.expunge(*cli.SMALL, *options, cwd=tmp_path)
    assert ended.code == 0, ended.err
    records = [json.loads(line) for line in (tmp_path / "removals.jsonl").read_text().splitlines()]
    assert [r["linear_probe_accuracy"] is None for r in records] == [True, True, False]
    assert records[-1]["linear_probe_accuracy"] > 0.9
