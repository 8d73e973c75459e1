"""CODEC and FOCI against the equations, and the rules that go beyond them."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial import cKDTree

from expunge.codec import UndefinedCodecWarning, codec, device, foci, neighbours, scan
from expunge.codec.device import DeviceScan
from tests.oracles import codec as oracle

# How neighbours are looked up: all sorted; short lists, then a plain pass; the same from a k-d tree.
REGIMES = {
    "sorted": {},
    "partial": {"FEW": 4, "SHORTEST": 2, "LONGEST": 6, "TREE_COLUMNS": 0},
    "tree": {"FEW": 4, "LONGEST_OF_TREE": 6, "TREE_COLUMNS": 99},
}


@pytest.fixture(params=REGIMES)
def regime(request, monkeypatch):
    for name, value in REGIMES[request.param].items():
        monkeypatch.setattr(neighbours, name, value)
    if request.param != "sorted":
        monkeypatch.setattr(scan, "FIRST_LIST", 2)
        monkeypatch.setattr(scan, "SHORT_LIST", 2)
        monkeypatch.setattr(scan, "LONGER", 2)
        monkeypatch.setattr(scan, "ENTRIES", 64)
        monkeypatch.setattr(neighbours, "ENTRIES", 64)
        monkeypatch.setattr(scan, "PLAIN", 40)
    return request.param


def draw(seed: int, n: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns of many kinds: continuous, few values, half zero (ReLU), constant, tiny, copies."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    for j in range(p):
        kind = rng.integers(6)
        if kind == 1:
            x[:, j] = rng.integers(0, 3, size=n)
        elif kind == 2:
            x[:, j] = np.maximum(0, x[:, j])
        elif kind == 3:
            x[:, j] = rng.normal()
        elif kind == 4:
            x[:, j] *= 10.0 ** rng.integers(-170, 4)
        elif kind == 5 and j:
            x[:, j] = x[:, j - 1]
    y = x[:, 0] + rng.normal(size=n) if rng.random() < 0.5 else rng.integers(0, 5, size=n).astype(float)
    return x, y


def same(value: float, exact) -> bool:
    return np.isnan(value) if exact is None else value == float(exact)


def agrees(x: np.ndarray, y: np.ndarray, seed: int) -> None:
    """Everything the oracle knows, for both rules, to the last bit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedCodecWarning)
        for ties in ("random", "first"):
            place = oracle.circle(len(y), seed) if ties == "random" else None
            assert same(codec(y, x, ties=ties, rng=seed), oracle.statistic(y, x, None, place))
            if x.shape[1] > 1:
                value = codec(y, x[:, :1], x[:, 1:], ties=ties, rng=seed)
                assert same(value, oracle.statistic(y, x[:, :1], x[:, 1:], place))
            columns, scores = oracle.select(x, y, place)
            found = foci(x, y, ties=ties, rng=seed)
            assert found.columns.tolist() == columns
            assert found.scores.tolist() == [float(score) for score in scores]


@pytest.mark.parametrize("n", [3, 4, 5, 9, 17, 33, 64, 130, 300])
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_oracle(regime, n, seed):
    p = 2 + (seed + n) % 5
    agrees(*draw(1000 * seed + n, n, p), seed)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(3, 60),
    p=st.integers(1, 6),
)
def test_equals_the_oracle_on_drawn_tables(seed, n, p):
    agrees(*draw(seed, n, p), seed)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), n=st.integers(3, 9), p=st.integers(1, 3), seed=st.integers(0, 9))
def test_equals_the_oracle_on_any_numbers(data, n, p, seed):
    few = st.sampled_from([0.0, -0.0, 1.0, 2.0, 1.0 + 2**-52, 1e-200, -1e-160, 1e8])
    numbers = st.one_of(few, st.floats(-1e100, 1e100))
    x = data.draw(hnp.arrays(np.float64, (n, p), elements=numbers))
    y = data.draw(hnp.arrays(np.float64, n, elements=numbers))
    agrees(x, y, seed)


@pytest.mark.parametrize("seed", range(3))
def test_keeps_going_without_stop(regime, seed):
    x, y = draw(seed, 40, 6)
    place = oracle.circle(40, seed)
    for most in (1, 3, None):
        found = foci(x, y, stop=False, max_features=most, rng=seed)
        columns, scores = oracle.select(x, y, place, most, stop=False)
        assert found.columns.tolist() == columns
        assert found.scores.tolist() == [float(score) for score in scores]


@pytest.mark.parametrize("n", [10, 50, 200])
def test_equals_xicorpy_where_nothing_ties(n):
    xicorpy = pytest.importorskip("xicorpy")
    rng = np.random.default_rng(n)
    x = rng.normal(size=(n, 5))
    for y in (x[:, 1] * x[:, 2] + rng.normal(size=n) / 9, rng.integers(0, 4, size=n)):
        for z, given_x in ((x[:, :2], None), (x[:, 0], None), (x[:, :2], x[:, 3:]), (x[:, 4], x[:, 2])):
            theirs = xicorpy.compute_conditional_dependence(y, z, given_x)
            assert codec(y, z, given_x) == pytest.approx(theirs, abs=1e-12)
        assert foci(x, y).columns.tolist() == xicorpy.select_features_using_foci(y, x)


def test_y_a_function_of_x_is_nan_and_stops_foci():
    x = np.repeat(np.arange(6.0), 4)
    z = np.random.default_rng(0).normal(size=24)
    with pytest.warns(UndefinedCodecWarning, match="function of x"):
        assert np.isnan(codec(x**2, z, x))
    assert codec(x**2, x) == 1.0
    for stop in (True, False):
        found = foci(np.column_stack([z, x]), x**2, stop=stop)
        assert (found.columns.tolist(), found.scores.tolist()) == ([1], [1.0])


def test_constant_y_is_nan_and_selects_nothing():
    x = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.warns(UndefinedCodecWarning, match="constant"):
        assert np.isnan(codec(np.ones(20), x))
    with pytest.warns(UndefinedCodecWarning, match="constant"):
        found = foci(x, np.ones(20))
    assert len(found.columns) == len(found.scores) == 0


@pytest.mark.parametrize("ties", ["random", "noise", "first"])
@pytest.mark.parametrize("seed", range(5))
def test_a_constant_column_is_never_selected(ties, seed):
    """Dead units: every distance ties, and a rule that takes row 0 for all of them makes them win."""
    rng = np.random.default_rng(seed)
    x = np.zeros((60, 8))
    x[:, 5] = rng.normal(size=60)
    y = rng.normal(size=60)
    for stop in (True, False):
        assert set(foci(x, y, ties=ties, stop=stop, rng=seed).columns.tolist()) <= {5}
    assert foci(np.ones((10, 2)), np.arange(10)).columns.tolist() == []


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_what_adds_no_cell_adds_exactly_nothing(seed):
    """Given x, a constant, a copy of x or a function of x leaves every tie as it is: T is 0, not noise."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 80))
    x, y = rng.integers(0, 3, size=n), rng.normal(size=n)
    for z in (np.zeros(n), 1 - x % 2 * 2 if len(np.unique(x)) == 2 else np.zeros(n)):
        assert codec(y, z, x, rng=seed) == 0.0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(3, 50))
def test_only_the_order_of_y_matters(seed, n):
    x, y = draw(seed, n, 3)
    _, order = np.unique(y, return_inverse=True)
    maps = [3.0 * order + 1, np.exp(order / len(y)), order**3, order - 2**40, order.astype(np.int8)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedCodecWarning)
        values = [codec(v, x[:, 0], x[:, 1:]) for v in (y, *maps)]
        selections = [foci(x, v) for v in (y, *maps)]
    np.testing.assert_array_equal(values, values[0])
    for selection in selections:
        np.testing.assert_array_equal(selection.columns, selections[0].columns)
        np.testing.assert_array_equal(selection.scores, selections[0].scores)


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_narrow_input_gives_the_float64_selection(kind):
    """Far from the origin, distances computed in float32 lose everything that tells neighbours apart."""
    rng = np.random.default_rng(3)
    narrow = (500 + rng.normal(size=(300, 12)) @ rng.normal(size=(12, 12))).astype(kind)
    y = narrow[:, 3].astype(float) * narrow[:, 7] + rng.normal(size=300)
    wide = foci(narrow.astype(np.float64), y)
    assert len(wide.columns) >= 2
    for given_x in (narrow, torch.from_numpy(narrow)):
        found = foci(given_x, y)
        np.testing.assert_array_equal(found.columns, wide.columns)
        np.testing.assert_array_equal(found.scores, wide.scores)
    assert wide.columns.tolist() == oracle.select(narrow.astype(float), y, oracle.circle(300, 0))[0]


def test_takes_torch_tensors_of_every_kind():
    x, y = draw(5, 50, 4)
    expected = foci(x, y)
    tensor = torch.from_numpy(x).requires_grad_()
    for given_x, given_y in ((tensor, torch.from_numpy(y)), (x.tolist(), y.tolist()), (x, y[:, None])):
        assert foci(given_x, given_y).columns.tolist() == expected.columns.tolist()
    assert codec(torch.from_numpy(y), tensor[:, 0], tensor[:, 1:]) == codec(y, x[:, 0], x[:, 1:])
    half = torch.from_numpy(x).bfloat16()
    assert foci(half, y).columns.tolist() == foci(half.double(), y).columns.tolist()
    bits, y = x > 0, y - np.median(y)
    assert (
        foci(torch.from_numpy(bits), y > 0).scores.tolist() == foci(bits.astype(float), y > 0).scores.tolist()
    )


@pytest.mark.parametrize("cyclic", [True, False])
@pytest.mark.parametrize("block", [2**22, 64, 700])
@pytest.mark.parametrize("kept", [0, 2**22], ids=["measured anew", "kept"])
@pytest.mark.parametrize("seed", range(4))
def test_the_torch_scan_gives_the_same_sums(monkeypatch, cyclic, block, kept, seed):
    monkeypatch.setitem(device.KEPT, "cpu", kept)
    x, _ = draw(seed, 70, 6)
    ranks = np.random.default_rng(seed).integers(1, 70, size=70)
    columns = np.ascontiguousarray(x.T)
    here = scan.Scan(columns, ranks, cyclic=cyclic)
    there = DeviceScan(columns, ranks, cyclic=cyclic, device="cpu")
    there.block = block
    for j in (None, 2, 0, 4):
        if j is not None:
            here.choose(j)
            there.choose(j)
        np.testing.assert_array_equal(here.sums(np.arange(6)), there.sums(np.arange(6)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("ties", ["random", "noise", "first"])
def test_a_gpu_chooses_the_same_columns(ties):
    for seed in range(5):
        x, y = draw(seed, 200, 20)
        expected = foci(x, y, ties=ties, rng=seed)
        found = foci(torch.from_numpy(x).cuda(), torch.from_numpy(y).cuda(), ties=ties, rng=seed)
        np.testing.assert_array_equal(found.columns, expected.columns)
        np.testing.assert_array_equal(found.scores, expected.scores)
        assert codec(y, torch.from_numpy(x).cuda(), rng=seed) == codec(y, x, rng=seed)


@pytest.mark.parametrize("ties", ["random", "noise", "first"])
def test_same_seed_same_answer_for_any_number_of_threads(regime, ties):
    x, y = draw(11, 150, 30)
    expected = foci(x, y, ties=ties, rng=4, threads=1)
    assert len(expected.columns) >= 1
    for threads in (2, 3, 7, None):
        found = foci(x, y, ties=ties, rng=4, threads=threads)
        np.testing.assert_array_equal(found.columns, expected.columns)
        np.testing.assert_array_equal(found.scores, expected.scores)
    generator = np.random.default_rng(4)
    assert foci(x, y, ties=ties, rng=generator).columns.tolist() == expected.columns.tolist()


def test_ties_are_drawn_uniformly():
    """Over seeds, T averages to its expectation over all ways of breaking the ties."""
    rng = np.random.default_rng(0)
    z, y = rng.integers(0, 3, size=(14, 2)), rng.integers(0, 6, size=14)
    values = [codec(y, z, rng=seed) for seed in range(4000)]
    assert len(set(values)) > 8
    error = np.std(values) / np.sqrt(len(values))
    assert np.mean(values) == pytest.approx(float(oracle.expected_statistic(y, z)), abs=4 * error)


def test_noise_breaks_ties_and_nothing_else():
    x, y = draw(2, 80, 5)
    x[:, 0] = np.random.default_rng(1).integers(0, 2, size=80)
    generator = np.random.default_rng(9)
    generator.permutation(80)
    noisy = x + 1e-3 * x.std(axis=0) * generator.standard_normal((5, 80)).T
    columns, scores = oracle.select(noisy, y, None)
    found = foci(x, y, ties="noise", noise=1e-3, rng=9)
    assert found.columns.tolist() == [j for j in columns if np.ptp(x[:, j])]
    assert found.scores.tolist() == pytest.approx([float(score) for score in scores], abs=1e-12)
    z = np.random.default_rng(3).normal(size=80)  # no ties, gaps far above the noise
    assert codec(y, z, ties="noise", noise=1e-9) == codec(y, z)


def test_cheap_is_the_first_column_of_foci():
    for seed in range(5):
        x, y = draw(seed, 60, 5)
        whole, first = foci(x, y, rng=seed), foci(x, y, method="cheap", rng=seed)
        assert first.columns.tolist() == whole.columns[:1].tolist()
        assert first.scores.tolist() == whole.scores[:1].tolist()


@pytest.mark.parametrize(("n", "k"), [(6000, 1), (6000, 3), (5000, 9)])
def test_many_rows_against_a_tree(n, k):
    """Beyond the sizes that the oracle can do; without ties any exact nearest neighbour will do."""
    rng = np.random.default_rng(n + k)
    x = rng.normal(size=(n, k))
    y = x[:, 0] + rng.normal(size=n)
    nearest = cKDTree(x).query(x, k=2)[1][:, 1]
    ranks = np.argsort(np.argsort(y)) + 1
    top = n * np.minimum(ranks, ranks[nearest]).sum() - ((n + 1 - ranks) ** 2).sum()
    assert codec(y, x) == pytest.approx(top / ((n + 1 - ranks) * (ranks - 1)).sum(), abs=1e-12)


def test_many_rows_with_ties():
    """A rounded table of 6,000 rows: T(Y, Z) by counting within cells where every row has an equal."""
    rng = np.random.default_rng(0)
    z = rng.integers(0, 2, size=(6000, 5))
    y = z[:, 0] ^ z[:, 1]
    assert codec(y, z[:, :2]) == 1.0
    assert codec(y, z[:, 1], z[:, 0]) == 1.0
    assert abs(codec(y, z[:, 2:])) < 0.05
    found = foci(z, rng.permutation(y))
    assert (found.scores < 0.05).all()


BAD = {
    "nan": (lambda x, y: (np.where(x > 2, np.nan, x), y), r"X: got \d+ entries that are NaN or infinite"),
    "inf": (lambda x, y: (np.where(x > 2, np.inf, x), y), r"X: got \d+ entries that are NaN or infinite"),
    "nan in y": (lambda x, y: (x, np.where(y > 1, np.nan, y)), "y: got .* NaN"),
    "lengths": (lambda x, y: (x[:-1], y), "X: got 39 rows where y has 40"),
    "two rows": (lambda x, y: (x[:2], y[:2]), "y: got 2 rows, allowed: at least 3"),
    "no rows": (lambda x, y: (x[:0], y[:0]), "y: got 0 rows"),
    "no columns": (lambda x, y: (x[:, :0], y), "X: got no columns"),
    "text": (lambda x, y: (x.astype(str), y), "X: got dtype <U.*, allowed: booleans, integers"),
    "complex": (lambda x, y: (x + 1j, y), "X: got dtype complex128"),
    "objects": (lambda x, y: (x, y.astype(object)), "y: got dtype object"),
    "ragged": (lambda x, y: ([[1.0], [2.0, 3.0]] * 20, y), "X: not an array of numbers"),
    "three dimensions": (lambda x, y: (x[:, :, None], y), "X: got 3 dimensions"),
    "two columns of y": (lambda x, y: (x, x[:, :2]), r"y: got shape \(40, 2\)"),
    "overflow": (lambda x, y: (x * 1e200, y), "X: squared distances .* overflow"),
    "complex tensor": (lambda x, y: (torch.from_numpy(x + 1j), y), "X: got dtype complex128"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arrays(case):
    spoil, message = BAD[case]
    rng = np.random.default_rng(0)
    x, y = spoil(rng.normal(size=(40, 4)) * 3, rng.normal(size=40))
    with pytest.raises(ValueError, match=message):
        foci(x, y)
    with pytest.raises(ValueError, match=message.replace("X:", "z:")):
        codec(y, x)
    if message.startswith("X:"):
        with pytest.raises(ValueError, match=message.replace("X:", "x:")):
            codec(y, np.arange(len(y)), x)


@pytest.mark.parametrize(
    "option",
    [
        {"ties": "any"},
        {"ties": None},
        {"noise": 0.0},
        {"noise": -1},
        {"noise": np.nan},
        {"noise": True},
        {"threads": 0},
        {"threads": 1.5},
    ],
)
def test_bad_options(option):
    (name,) = option
    x, y = draw(0, 10, 2)
    for call in (lambda: codec(y, x, **option), lambda: foci(x, y, **option)):
        with pytest.raises(ValueError, match=f"^{name}: got .*, allowed: "):
            call()


@pytest.mark.parametrize("option", [{"max_features": 0}, {"max_features": 2.0}, {"method": "fast"}])
def test_bad_options_of_foci(option):
    (name,) = option
    with pytest.raises(ValueError, match=f"^{name}: got .*, allowed: "):
        foci(*draw(0, 10, 2), **option)


def test_stands_alone():
    """The room imports neither torch nor any other room of the package but the one below all."""
    code = (
        "import sys, expunge.codec; "
        "print([m for m in sys.modules if m.split('.')[0] in ('torch', 'hydra', 'sklearn', 'wandb') "
        "or m.startswith('expunge.') and not m.startswith(('expunge.codec', 'expunge.core'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_example_of_the_docs_runs():
    text = (Path(__file__).parents[2] / "docs" / "python.md").read_text()
    (example,) = (part for part in text.split("```python\n") if part.startswith("from expunge.codec import"))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    y, z = x[:, 0] + 0.1 * rng.normal(size=60), rng.normal(size=60)
    names = {"x": x, "y": y, "z": z, "X": np.column_stack([z, x])}
    exec(example.split("```")[0], names)
    assert names["columns"][0] == 1
