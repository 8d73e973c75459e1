"""Columns of a tensor where it lives: the same numbers as on the CPU. The device here is the CPU itself."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.codec import deviations, device, foci, normals, selection
from expunge.codec.inputs import columns_of
from expunge.codec.placed import columns_there, jittered
from expunge.codec.tie_breaking import jitter


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 40), st.integers(3, 300), st.integers(1000, 5000), st.integers(1, 4), st.integers(0, 2**32)
)
def test_noise_is_that_of_the_cpu_bit_for_bit(p, n, part, threads, seed):
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(p, n)) * 10.0 ** rng.integers(-8, 8, (p, 1))
    columns[0] = 1.5
    ours, theirs = np.random.default_rng(seed), np.random.default_rng(seed)
    before, normals._SHARE = normals._SHARE, part
    try:
        found = jittered(torch.from_numpy(columns), "noise", 1e-6, ours, threads)
    finally:
        normals._SHARE = before
    np.testing.assert_array_equal(found.numpy(), jitter(columns, "noise", 1e-6, theirs))
    assert ours.random() == theirs.random()  # and as many numbers were drawn


@pytest.mark.parametrize("n", [3, 7, 8, 9, 127, 128, 129, 136, 1000, 1001, 9001, 20000])
def test_deviations_are_those_of_numpy(monkeypatch, n):
    columns = np.random.default_rng(n).normal(3, 2, (11, n)) * np.logspace(-5, 5, 11)[:, None]
    monkeypatch.setattr(deviations, "_TRIED", 0)  # whatever NumPy says
    found = deviations.deviations(torch.from_numpy(columns)).numpy()
    np.testing.assert_array_equal(found, columns.std(axis=1, keepdims=True))


def test_where_numpy_sums_otherwise_it_computes_them(monkeypatch):
    columns = np.random.default_rng(1).normal(size=(200, 500))
    monkeypatch.setattr(deviations, "_LEAF", 16)
    assert (deviations.deviations(torch.from_numpy(columns)).numpy() == columns.std(axis=1)[:, None]).all()
    monkeypatch.setattr(deviations, "_TRIED", 0)
    assert (deviations.deviations(torch.from_numpy(columns)).numpy() != columns.std(axis=1)[:, None]).any()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("count", "threads"), [(100_000, 4), (300_001, 16), (9_000, 2)])
def test_numbers_of_several_threads_are_those_of_one(monkeypatch, seed, count, threads):
    monkeypatch.setattr(normals, "_SHARE", 1 << 12)
    ours, theirs = np.random.default_rng(seed), np.random.default_rng(seed)
    for rng in (ours, theirs)[: 2 * (seed % 2)]:
        rng.integers(0, 5, dtype=np.int32)  # half a step is kept for the next one
    found = normals.normals(ours, count, threads, np.copy)
    assert len(found) > threads
    np.testing.assert_array_equal(np.concatenate(found), theirs.standard_normal(count))
    assert ours.bit_generator.state == theirs.bit_generator.state


def test_threads_that_do_not_meet_leave_it_to_one(monkeypatch):
    monkeypatch.setattr(normals, "_SHARE", 1 << 12)
    for steps in (0.9, 1.2):  # the next thread starts behind, or beyond what it is looked for
        monkeypatch.setattr(normals, "_STEPS", steps)
        monkeypatch.setattr(normals, "_PROBED", 1 if steps > 1 else 24)
        ours, theirs = np.random.default_rng(0), np.random.default_rng(0)
        found = np.concatenate(normals.normals(ours, 50_000, 4, np.copy))
        np.testing.assert_array_equal(found, theirs.standard_normal(50_000))
        assert ours.random() == theirs.random()


def test_other_generators_draw_alone():
    ours, theirs = (np.random.Generator(np.random.MT19937(3)) for _ in range(2))
    (found,) = normals.normals(ours, 400_000, 4, np.copy)
    np.testing.assert_array_equal(found, theirs.standard_normal(400_000))


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
            for fused in (False, True, True)
        ]
        ways[1].near = False
        for chosen in range(min(3, p)):
            ways[2].rest = 0
            expected, all_rows, near = (way.sums(np.arange(chosen, p)) for way in ways)
            np.testing.assert_array_equal(all_rows, expected)
            np.testing.assert_array_equal(near, expected)
            for way in ways:
                way.choose(chosen)


@pytest.mark.skipif(bool(find_spec("triton")), reason="Triton is here")
def test_where_the_kernel_fails_operations_of_torch_take_its_place(caplog):
    columns, ranks = np.random.default_rng(0).normal(size=(4, 20)), np.arange(1, 21)
    scan = device.DeviceScan(columns, ranks, cyclic=True, device="cpu")
    expected = scan.sums(np.arange(4))
    scan.values = scan.columns.T.contiguous()
    for _ in range(2):
        np.testing.assert_array_equal(scan.sums(np.arange(4)), expected)
    (record,) = caplog.records
    assert "triton" in record.message
