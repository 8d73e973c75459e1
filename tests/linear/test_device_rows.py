"""Rows on a device are the rows in memory: every pass, each stored type, within what is charged."""

import gc
import weakref
from contextlib import nullcontext
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge import UserError
from expunge.linear.column_passes import ColumnPasses
from expunge.linear.device_columns import DeviceColumns, _Narrow
from expunge.linear.device_rows import DeviceRows
from expunge.linear.logistic import LogisticProblem
from expunge.linear.memory import enough_memory
from expunge.linear.one_vs_rest import one_vs_rest
from expunge.linear.rows import Rows
from expunge.linear.shared_solves import Basis
from tests.oracles import logistic as oracle

DEVICES = [torch.device(name) for name in ("cpu", "cuda") if name == "cpu" or torch.cuda.is_available()]
TYPES = (np.uint8, np.float16, np.float32, np.float64)


def table(seed, kind, n, d):
    rng = np.random.default_rng(seed)
    raw = rng.integers(0, 256, (n, d)) if kind is np.uint8 else rng.normal(size=(n, d))
    return np.ascontiguousarray(raw.astype(kind))


def both(seed, kind, n, d, offset=0.0, gone=(), used=None, device=DEVICES[0]):
    rows = Rows.normalised(table(seed, kind, n, d), offset)
    there = DeviceRows.of(rows, device)
    if used is not None:
        rows, there = rows.only(used), there.only(used)
    if len(gone):
        rows, there = rows.without(np.array(gone)), there.without(np.array(gone))
    return rows, there


devices = st.sampled_from(DEVICES)
sizes = st.sampled_from(((1, 1), (7, 3), (300, 5), (1024, 4), (1025, 33), (2500, 17)))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from(TYPES),
    sizes,
    st.sampled_from((0.0, 127.5)),
    st.booleans(),
    devices,
)
def test_every_pass_is_that_of_rows_in_memory(seed, kind, size, offset, subset, device):
    rng, (n, d) = np.random.default_rng(seed), size
    used = rng.random(n) < 0.7 if subset else None
    stay = np.flatnonzero(used) if subset else np.arange(n)
    gone = stay[: len(stay) // 3]
    rows, there = both(seed, kind, n, d, offset, gone, used, device)
    y, w = rng.choice([-1.0, 1.0], n), 3 * rng.normal(size=d)
    assert (len(there), there.dim, there.count, there.places) == (n, d, rows.count, rows.places)
    assert there.dtype == rows.dtype
    assert (there.scale == rows.scale).all()
    ids = rng.permutation(n)[: min(n, 20)]
    assert (there.uses(ids) == rows.uses(ids)).all()
    assert (there.part(ids) == rows.part(ids)).all()
    assert (there.part(ids[0]) == rows.part(ids[0])).all()
    assert (there.dense() == rows.dense()).all()
    alike = {"rtol": 1e-11, "atol": 1e-11}
    np.testing.assert_allclose(there.scores(w), rows.scores(w), **alike)
    np.testing.assert_allclose(there.times(w[:, None], ids), rows.times(w[:, None], ids), **alike)
    slopes = rows.slopes(y, w)
    np.testing.assert_allclose(there.slopes(y, w).cpu(), slopes, **alike)
    for ours, theirs in zip(there.curved(there.slopes(y, w), w), rows.curved(slopes, w), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(there.squares(slopes), rows.squares(slopes), **alike)
    np.testing.assert_allclose(there.absolute(np.abs(w)), rows.absolute(np.abs(w)), rtol=1e-10)
    for weights in (None, slopes):
        np.testing.assert_allclose(there.weighted_gram(weights), rows.weighted_gram(weights), **alike)
        near = there.weighted_gram(weights, np.float32)
        assert near.dtype == np.float32
        np.testing.assert_allclose(near, rows.weighted_gram(weights), atol=1e-4 * max(1, n) ** 0.5)
    ones, theirs = (
        list(own.weighted_blocks(slopes, range(0, rows.places, 7), np.float64)) for own in (there, rows)
    )
    assert len(ones) == len(theirs)
    labels = rng.integers(0, 3, n)
    pairs = zip(there.contents(ids, labels[ids]), rows.contents(ids, labels[ids]), strict=True)
    assert all(bytes(ours) == bytes(theirs) for ours, theirs in pairs)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from(TYPES),
    sizes,
    st.sampled_from((1e-6, 1e-2)),
    st.booleans(),
    devices,
)
def test_a_gradient_is_that_of_the_oracle_within_what_is_charged(seed, kind, size, lam, subset, device):
    rng, (n, d) = np.random.default_rng(seed), size
    used = rng.random(n) < 0.7 if subset else None
    stay = np.flatnonzero(used) if subset else np.arange(n)
    gone = stay[: len(stay) // 3]
    rows, there = both(seed, kind, n, d, gone=gone, used=used, device=device)
    stay = np.setdiff1d(stay, gone)
    y, w, b = rng.choice([-1.0, 1.0], n), 10 * rng.normal(size=d), rng.normal(size=d)
    ours, theirs = LogisticProblem(there, y, lam, b), LogisticProblem(rows, y, lam, b)
    found, bound = ours.gradient(w), ours.rounding(w)
    assert bound == theirs.rounding(w)
    assert oracle.norm(found - theirs.gradient(w)) <= 2 * bound
    true = oracle.wide_gradient(rows.part(stay), y[stay], lam, b, w)
    assert oracle.norm(found - true) <= bound
    assert oracle.norm(true) <= ours.certified(w, found)
    assert (ours.gradient(w) == found).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from((3, 7)), st.sampled_from((1e-5, 1e-1)), st.booleans(), devices)
def test_columns_are_those_of_rows_in_memory(seed, width, lam, subset, device):
    rng, n, d = np.random.default_rng(seed), 1500, 9
    used = rng.random(n) < 0.9 if subset else None
    gone = np.flatnonzero(used)[:2] if subset else np.array([50, 51])
    rows, there = both(seed, np.float32, n, d, gone=gone, used=used, device=device)
    y, b, w = rng.integers(0, width, n), rng.normal(size=(d, width)), 3 * rng.normal(size=(d, width))
    made = [one_vs_rest(own, y, np.arange(width), lam, b, iterative=True) for own in (there, rows)]
    ours, theirs = (ColumnPasses.of(problems) for problems in made)
    stay = np.setdiff1d(np.arange(n) if used is None else np.flatnonzero(used), gone)
    for at in (np.arange(width), np.array([2, 0]), np.array([1])):
        room, other = ours.slopes(), theirs.slopes()
        found, sums = ours.gradients(w[:, at], at, room)
        _, expected = theirs.gradients(w[:, at], at, other)
        np.testing.assert_allclose(sums, expected, rtol=1e-5)
        np.testing.assert_allclose(room.cpu()[:, at], other[:, at], atol=1e-6)
        for k, column in enumerate(at):
            problem = made[0][column]
            true = oracle.wide_gradient(rows.part(stay), problem.y[stay], lam, b[:, column], w[:, column])
            assert oracle.norm(found[:, k] - true) <= problem.rounding(w[:, column])
        again, _ = ours.gradients(w[:, at], at, room)
        assert (again == found).all()
        step = rng.normal(size=(d, len(at)))
        curved = theirs.curved(other, step, at)
        np.testing.assert_allclose(ours.curved(room, step, at), curved, atol=1e-4 * np.abs(curved).max())
    room, other, every = ours.slopes(), theirs.slopes(), np.arange(width)
    np.testing.assert_allclose(ours.look(w, room), theirs.look(w, other), rtol=1e-5)
    np.testing.assert_allclose(ours.diagonals(room), theirs.diagonals(other), rtol=1e-5)
    index = stay[3:6]
    np.testing.assert_allclose(ours.removed(w, index), theirs.removed(w, index), rtol=1e-9, atol=1e-12)
    rhs, means = rng.normal(size=(d, width)), np.full(width, 0.1)
    enough = np.array([1e-4, 1e9, *[1e-5] * (width - 2)])
    bases = Basis.of(there), Basis.of(rows)
    np.testing.assert_allclose(bases[0].values, bases[1].values, rtol=1e-3)
    solved = ours.solved(room, every, rhs, means, bases[0], enough, 200)
    assert not solved[:, 1].any()
    left = np.linalg.norm(theirs.curved(other, solved, every) - rhs, axis=0)
    assert (np.delete(left, 1) <= 1e-4 * np.linalg.norm(rhs)).all()


@pytest.mark.parametrize("kind", [np.uint8, np.float16])
def test_products_in_two_parts_are_as_exact_as_float32(kind):
    rng, n, d, width = np.random.default_rng(0), 1500, 9, 3
    _, there = both(0, kind, n, d, gone=[4, 5])
    y, step = rng.integers(0, width, n), rng.normal(size=(d, width))
    passes = ColumnPasses.of(one_vs_rest(there, y, np.arange(width), 1e-3, step, iterative=True))
    room = passes.slopes()
    sums = passes.look(step, room)
    curved = passes.curved(room, step, np.arange(width))
    other, exact = passes.slopes(), _Narrow(there, True)
    with patch.object(DeviceColumns, "_narrow", lambda passes: nullcontext(exact)):
        np.testing.assert_allclose(passes.look(step, other), sums, rtol=1e-6)
        np.testing.assert_allclose(other, room, atol=1e-6)
        np.testing.assert_allclose(passes.curved(room, step, np.arange(width)), curved, rtol=1e-4, atol=1e-4)
    parts = exact.put(torch.from_numpy(step))
    assert (exact.joined(parts) == torch.from_numpy(step).float()).all()
    bits = parts[:, :width].contiguous().view(torch.int32)
    assert not (bits & 2**13 - 1).any()


def test_a_device_that_runs_out_of_memory_is_said_in_a_line():
    _, there = both(0, np.float32, 30, 4)
    y, nothing = np.arange(30) % 3, np.zeros((4, 3))
    passes = ColumnPasses.of(one_vs_rest(there, y, np.arange(3), 1e-3, nothing, iterative=True))
    full = patch.object(torch, "empty", side_effect=torch.OutOfMemoryError("CUDA out of memory."))
    room = patch.object(torch.cuda, "mem_get_info", lambda device: (2**20, 2**30))
    with full, room, pytest.raises(UserError, match=r"slopes of 3 classes take 360 bytes, and 1 MiB is free"):
        passes.slopes()
    said = r"device: got 'cuda', allowed: auto or cpu: it has no room"
    with pytest.raises(UserError, match=said), enough_memory(4, 3, 1):
        raise torch.OutOfMemoryError("CUDA out of memory.")


def test_labels_are_known_again_by_who_they_are_and_not_kept():
    rows, y, b = both(0, np.float32, 60, 4)[0], np.arange(60) % 3, np.zeros((4, 3))
    first, second = (one_vs_rest(rows, own, np.arange(3), 1e-3, b, iterative=True) for own in (y, y[::-1]))
    assert ColumnPasses.of(first).own is ColumnPasses.of(first).own
    assert (ColumnPasses.of(second).own == y[::-1]).all()
    assert (ColumnPasses.of(first).own == y).all()
    assert (ColumnPasses.of(first[:2]).own == np.where(y == 2, -1, y)).all()
    held = weakref.ref(ColumnPasses.of(second).own)
    del second
    gc.collect()
    assert held() is None
