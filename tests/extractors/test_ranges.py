"""Scaling by what is known beforehand, and by what is learned with privacy: equations, bounds, costs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from expunge.certificate.composition import Upstream
from expunge.core.errors import DataError, InvalidValue, UserError
from expunge.datasets import Dataset
from expunge.extractors.dp_scaling import Moments, _contributions
from expunge.extractors.pixels import Pixels
from expunge.extractors.ranges import ranges_of
from tests import cli

FEATURES = {"age": False, "pay": False, "member": True}
RANGES = {"age": [20, 80], "pay": {"mean": 3e4, "scale": 1e4}}


def dataset(n=40, seed=0):
    rng = np.random.default_rng(seed)
    columns = (rng.uniform(20, 80, n), rng.normal(3e4, 1e4, n), rng.integers(0, 2, n))
    x, y = np.column_stack(columns).astype(np.float32), rng.integers(0, 2, n)
    return Dataset("own", x[10:], y[10:], x[:10], y[:10], {0: "a", 1: "b"}, features=FEATURES)


def test_a_range_becomes_one_to_minus_one():
    found = ranges_of(RANGES, FEATURES, 3)
    x = np.array([[20, 2e4, 0], [80, 4e4, 1], [50, 3e4, 1], [110, 5e4, 0]])
    assert found.of(x).tolist() == [[-1, -1, 0], [1, 1, 1], [0, 0, 1], [2, 2, 0]]
    assert found.binary.tolist() == [False, False, True]


def test_rows_are_the_equation():
    data = dataset()
    train, test = Pixels(scaling="declared", ranges=RANGES, constant=1.0).extract(data)
    for rows, x in ((train, data.x_train), (test, data.x_test)):
        wide = (x.astype(np.float64) - [50, 3e4, 0]) / [30, 1e4, 1]
        wide = np.column_stack([wide, np.ones(len(x))])
        naive = wide / np.linalg.norm(wide, axis=1, keepdims=True)
        np.testing.assert_allclose(rows.dense(), naive, atol=1e-6)


def test_every_form_says_the_same(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"0": [0, 4], "1": [0, 4]}))
    (tmp_path / "a.csv").write_text("column,low,high\n0,0,4\n1,0,4\n")
    (tmp_path / "b.csv").write_text("\ufeffcolumn,mean,scale\n0,2,2\n1,2,2\n")
    files = [str(tmp_path / name) for name in ("a.json", "a.csv", "b.csv")]
    for one in ([0, 4], {0: [0, 4], 1: [0, 4]}, [[0, 4], {"mean": 2, "scale": 2}], *files):
        found = ranges_of(one, None, 2)
        assert (found.centre.tolist(), found.half.tolist()) == ([2, 2], [2, 2])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"age": [1, 2]}, "ranges: got 'none of pay'"),
        ({**RANGES, "q": [1, 2]}, "ranges: got 'q', allowed: features: age, pay, member"),
        ({**RANGES, "age": [2, 2]}, "ranges.age: got .*low below high"),
        ({**RANGES, "age": [3, 2]}, "ranges.age: got .*low below high"),
        ({**RANGES, "age": [1, float("nan")]}, "ranges.age: got nan"),
        ({**RANGES, "age": {"mean": 1}}, "ranges.age: got .*allowed: .low, high. or"),
        (7, "ranges: got 7"),
        ([1, 2, 3, 4], "ranges: got"),
        ("none.json", "ranges: none.json: cannot be read"),
    ],
)
def test_what_is_no_range_is_one_line(given, said):
    with pytest.raises(UserError, match=said) as caught:
        ranges_of(given, FEATURES, 3)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [("a,b\n1,2\n", "not a file of ranges"), ("column,low,high\na,1\n", ":2: got"), ("", "not a file of")],
)
def test_a_file_that_is_none(tmp_path, text, said):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        ranges_of(str(tmp_path / "r.csv"), FEATURES, 3)


@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_one_row_moves_the_sums_by_no_more_than_the_noise_is_for(seed, dim, binary):
    rng = np.random.default_rng(seed)
    names = {str(k): k >= dim for k in range(dim + binary)}
    ranges = ranges_of({str(k): [-1, 3] for k in range(dim)}, names, dim + binary)
    x = rng.standard_cauchy(size=(9, dim + binary)) * 10.0 ** rng.integers(-3, 6)
    whole = sum(_contributions(x, ranges, rows=4))
    bound = np.sqrt(dim * (1 + 0.7**2) + 1)
    for row in range(len(x)):
        left = sum(_contributions(np.delete(x, row, axis=0), ranges))
        assert np.linalg.norm(whole - left) <= bound * (1 + 1e-12)
    assert len(whole) == 2 * dim + 1


def test_the_noise_is_that_of_the_gaussian_mechanism():
    ranges = ranges_of([-1, 1], None, 2)
    x = np.random.default_rng(0).uniform(-1, 1, size=(200, 2))
    for epsilon, delta in ((0.1, 1e-6), (1, 1e-5), (8, 0.1)):
        noise = Moments.of(x, ranges, epsilon, delta, seed=0).noise
        mu = 1 / noise
        first, second = stats.norm.cdf([mu / 2 - epsilon / mu, -mu / 2 - epsilon / mu])
        spent = first - np.exp(epsilon) * second
        assert spent <= delta
        assert spent >= delta * (1 - 1e-6)


def test_with_many_rows_they_are_the_moments():
    rng = np.random.default_rng(1)
    x = np.column_stack([rng.normal(50, 5, 100_000), rng.uniform(0, 1, 100_000)])
    ranges = ranges_of([[0, 100], [0, 2]], None, 2)
    found = Moments.of(x, ranges, 1.0, 1e-5, seed=3).within(ranges)
    np.testing.assert_allclose(found.centre, x.mean(0), rtol=5e-3)
    np.testing.assert_allclose(found.half, x.std(0), rtol=2e-2)


def test_what_it_costs_is_told():
    private = Pixels(scaling="dp", ranges=RANGES, epsilon=0.5, delta=1e-6, seed=4)
    private.extract(dataset())
    assert private.upstream() == Upstream(0.5, 1e-6)
    assert private.facts()["extractor_epsilon"] == 0.5
    assert Pixels(scaling="declared", ranges=RANGES).upstream() == Upstream()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"scaling": "dp", "ranges": RANGES}, "epsilon: got None"),
        ({"scaling": "dp", "epsilon": 1, "delta": 1e-5}, "ranges: got None"),
        ({"scaling": "declared"}, "ranges: got None"),
        ({"ranges": RANGES}, "ranges: got .* allowed: none with scaling=row"),
        ({"scaling": "declared", "ranges": RANGES, "epsilon": 1}, "epsilon: got 1, allowed: null but with"),
        ({"scaling": "unit"}, "scaling: got 'unit', allowed: one of row, declared, dp, dataset"),
    ],
)
def test_settings_that_do_not_go_together(how, said):
    with pytest.raises(InvalidValue, match=said):
        Pixels(**how)


def test_a_run_adds_its_cost_and_reaches_what_is_said(tmp_path):
    """breast_cancer: .83 in raw units, .97 with public ranges, as much with epsilon 1 for deviations."""
    from sklearn.datasets import load_breast_cancer

    known = load_breast_cancer()
    low, high = 0.9 * known.data.min(axis=0), 1.1 * known.data.max(axis=0)
    pairs = {
        str(name): [float(f"{a:.2g}"), float(f"{b:.2g}")]
        for name, a, b in zip(known.feature_names, low, high, strict=True)
    }
    (tmp_path / "ranges.json").write_text(json.dumps(pairs))
    common = ("dataset=sklearn", "removal.count=2", "figures=false", "unlearner.lam=1e-4")
    private = ("extractor.scaling=dp", "extractor.epsilon=1", "extractor.delta=1e-5")
    found = {}
    for name, how in {"raw": (), "declared": ("extractor.scaling=declared",), "dp": private}.items():
        ranges = () if name == "raw" else ("extractor.ranges=ranges.json",)
        ended = cli.expunge(*common, *how, *ranges, f"hydra.run.dir={name}", cwd=tmp_path)
        assert ended.code == 0, ended.err
        found[name] = cli.summary(tmp_path / name)
        assert ("units of their own" in ended.out + ended.err) == (name == "raw")
    assert found["raw"]["test_accuracy_after"] < 0.95
    assert found["declared"]["test_accuracy_after"] >= 0.96
    assert found["dp"]["test_accuracy_after"] >= 0.95
    assert (found["declared"]["epsilon_total"], found["dp"]["epsilon_total"]) == (1.0, 2.0)
    assert found["dp"]["delta_total"] == pytest.approx(1e-4 + 1e-5)
