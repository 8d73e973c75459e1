"""Columns of a tensor where it lives: the same numbers as on the CPU. The device here is the CPU itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.codec import device, foci, placed, selection
from expunge.codec.inputs import columns_of
from expunge.codec.placed import columns_there, jittered
from expunge.codec.tie_breaking import jitter


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 40), st.integers(3, 300), st.integers(1, 5000), st.integers(1, 4), st.integers(0, 2**32)
)
def test_noise_is_that_of_the_cpu_bit_for_bit(p, n, part, threads, seed):
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(p, n)) * 10.0 ** rng.integers(-8, 8, (p, 1))
    columns[0] = 1.5
    ours, theirs = np.random.default_rng(seed), np.random.default_rng(seed)
    before, placed._PART = placed._PART, part
    try:
        found = jittered(torch.from_numpy(columns), "noise", 1e-6, ours, threads)
    finally:
        placed._PART = before
    np.testing.assert_array_equal(found.numpy(), jitter(columns, "noise", 1e-6, theirs))
    assert ours.random() == theirs.random()  # and as many numbers were drawn


@pytest.mark.parametrize("ties", ["random", "first"])
def test_without_noise_columns_stay(ties):
    columns = torch.ones(2, 5, dtype=torch.float64)
    assert jittered(columns, ties, 1e-6, np.random.default_rng(0), None) is columns


@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.bfloat16, torch.int32, torch.bool])
def test_columns_are_those_of_the_cpu(kind):
    values = torch.from_numpy(np.random.default_rng(0).integers(0, 9, (30, 7)).astype(float)).to(kind)
    values[:, 3] = values[0, 3]
    found, varied = columns_there(values, "X", 30)
    np.testing.assert_array_equal(found.numpy(), columns_of(values, "X", 30))
    assert varied.tolist() == [0, 1, 2, 4, 5, 6]


@pytest.mark.parametrize(
    "spoil", [float("nan"), float("inf"), 1e200, None], ids=["nan", "infinite", "too wide", "rows"]
)
def test_complaints_are_those_of_the_cpu(spoil):
    values = torch.zeros(10, 3, dtype=torch.float64)
    values[4, 1] = 1.0 if spoil is None else spoil
    rows = 9 if spoil is None else 10
    with pytest.raises(ValueError, match="X") as ours:
        columns_there(values, "X", rows)
    with pytest.raises(ValueError, match="X") as theirs:
        columns_of(values, "X", rows)
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize("ties", ["random", "noise", "first"])
@pytest.mark.parametrize("levels", [None, 1, 4], ids=["distinct", "many ties", "some ties"])
def test_the_way_of_a_gpu_chooses_the_same_columns(monkeypatch, ties, levels):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(90, 12))
    y = x[:, 3] * x[:, 7] + x[:, 11] + 0.1 * rng.normal(size=90)
    x = x if levels is None else np.round(levels * x)
    expected = foci(x, y, ties=ties, rng=3, stop=False, max_features=5)

    def there(like):
        return torch.device("cpu") if isinstance(like, torch.Tensor) else None

    monkeypatch.setattr(device, "device_of", there)
    monkeypatch.setattr(selection, "device_of", there)
    found = foci(torch.from_numpy(x), y, ties=ties, rng=3, stop=False, max_features=5)
    np.testing.assert_array_equal(found.columns, expected.columns)
    np.testing.assert_array_equal(found.scores, expected.scores)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("cyclic", [True, False])
@pytest.mark.parametrize("levels", [0, 2, 5])
def test_the_kernel_gives_the_sums_of_operations_of_torch(cyclic, levels):
    rng = np.random.default_rng(levels)
    for n, p in ((3, 1), (8, 5), (65, 300), (1000, 30)):
        columns = rng.integers(0, levels, (p, n)).astype(float) if levels else rng.normal(size=(p, n))
        ranks = rng.integers(1, n + 1, n)
        ways = [
            device.DeviceScan(columns, ranks, cyclic=cyclic, device="cuda", fused=fused)
            for fused in (True, False)
        ]
        for chosen in range(min(3, p)):
            one, other = (way.sums(np.arange(chosen, p)) for way in ways)
            np.testing.assert_array_equal(one, other)
            for way in ways:
                way.choose(chosen)
