"""A few columns that keep inverses share passes: each is charged what is true, and ends where it should."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.linear import column_kernels, column_sums, shared_passes
from expunge.linear.column_passes import ColumnPasses
from expunge.linear.factor import Factor
from expunge.linear.one_vs_rest import one_vs_rest
from expunge.linear.parallel import set_threads
from expunge.linear.removal import too_many
from expunge.linear.rows import BLOCK_ROWS, Rows
from expunge.linear.shared_passes import share_passes
from expunge.unlearners.newton import Newton
from tests.oracles import logistic as oracle
from tests.problems import method

D = 11


@contextmanager
def shared(yes=True):
    """Small tables too, or none."""
    with patch.object(shared_passes, "LEAST_NUMBERS", 0 if yes else np.inf):
        yield


def problem(seed, classes=4, n=120, kind=np.float64):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    y[:classes] = np.arange(classes)
    x = rng.normal(size=(n, D)) + rng.normal(size=(classes, D))[y]
    x[3] = x[20]
    return Rows.normalised(x.astype(kind)), y


def trained(rows, y, lam=1e-3, **settings):
    how = {"perturbation": "release", "certificate": "measured", "update": "corrected", "releases": 60}
    engine = method(Newton, lam=lam, std=0.0, **{**how, "solver": "direct", **settings})
    engine.fit(rows, y, seed=0)
    return engine


def require_true(engine, rows, y, gone, lam):
    """The kept gradient and the bound on the true one, of every column, against the oracle's."""
    stay = np.setdiff1d(np.arange(len(y)), gone)
    x, shares = rows.part(stay), engine.guarantee.shares(lam, [len(stay)] * len(engine.columns))
    for column, share, label in zip(engine.columns, shares, np.unique(y[stay]), strict=True):
        signs = np.where(y[stay] == label, 1.0, -1.0)
        true = oracle.wide_gradient(x, signs, lam, np.zeros(D), column.w)
        assert oracle.norm(true) <= column.account.beta <= share
        assert oracle.norm(true - column.gradient) <= column.problem.rounding(column.w)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from((1e-5, 1e-3, 1e-1)),
    st.sampled_from((np.float32, np.uint8)),
    st.data(),
)
def test_every_column_is_charged_what_its_gradient_truly_is(seed, lam, kind, data):
    rows, y = problem(seed)
    rows = Rows.normalised((100 + 20 * rows.raw).astype(kind), 100.0)
    engine, gone = trained(rows, y, lam), []
    for size in data.draw(st.lists(st.sampled_from((1, 2, 9)), min_size=1, max_size=4)):
        left = np.setdiff1d(np.arange(4, len(y)), gone)  # a row of each class stays
        asked = data.draw(st.permutations(left.tolist()))[:size]
        with shared():
            assert share_passes(engine.columns)
            assert engine.remove(asked).outcome == "removed"
        gone += asked
        assert all(isinstance(column.factor, Factor) for column in engine.columns)
        require_true(engine, rows, y, gone, lam)


def test_the_columns_are_those_of_one_after_the_other_whatever_the_threads():
    rows, y = problem(1, n=3 * BLOCK_ROWS)
    requests = [[5], [6, 7], np.flatnonzero(y == 2).tolist(), *([k] for k in range(8, 60) if y[k] != 2)]
    engines = []
    try:
        for yes, count in ((False, 1), (True, 1), (True, 3)):
            set_threads(count)
            engine = trained(rows, y)
            with shared(yes):
                for request in requests:
                    assert engine.remove(request).outcome == "removed"
            engines.append(engine)
    finally:
        set_threads(None)
    alone, together, again = (np.stack([c.w for c in e.columns], axis=1) for e in engines)
    assert together.shape == (D, 3)
    assert np.linalg.norm(together - alone) <= 2 * engines[0].guarantee.sensitivity
    assert together.tobytes() == again.tobytes()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 9),
    st.integers(1, 70),
    st.sampled_from((np.float16, np.float32, np.float64, np.uint8)),
    st.data(),
)
def test_a_compiled_pass_for_a_few_columns_is_the_pass_of_products(seed, width, d, kind, data):
    rng, n = np.random.default_rng(seed), data.draw(st.sampled_from((1, 4, 7, BLOCK_ROWS + 3)))
    rows = Rows.normalised((128 + 20 * rng.normal(size=(n, d))).astype(kind), 100.0)
    gone = np.array(data.draw(st.lists(st.integers(0, n - 1), unique=True, max_size=n - 1)), dtype=np.int64)
    if data.draw(st.booleans()):  # four next to each other too
        gone = np.union1d(gone, np.arange(min(8, n - 1)))
    rows.raw[gone] = 0 if kind == np.uint8 else np.nan
    rows, b = rows.without(gone), rng.normal(size=(d, width))
    sizes = data.draw(st.sampled_from((None, np.where(rows.scale > 0, rng.random(n), 0.0))))
    own = rng.integers(-1, width, n)
    columns = np.flatnonzero(rng.random(width) < 0.7)
    columns = columns if len(columns) else np.arange(width)
    w = data.draw(st.sampled_from((0.1, 3.0, 1e4))) * rng.normal(size=(d, len(columns)))
    passes = ColumnPasses(rows, own, 0.3, b, sizes)
    found = []
    for few in (len(columns), 0):
        with patch.object(column_kernels, "FEW", few):
            slopes = passes.slopes()
            slopes[:] = -1.0
            found.append((*passes.gradients(w, columns, slopes), slopes))
    for compiled, products in zip(*found, strict=True):
        np.testing.assert_allclose(compiled, products, rtol=2e-6, atol=1e-9)
    untouched = np.setdiff1d(np.arange(width), columns)
    assert (found[0][2][:, untouched] == -1.0).all()
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-12, atol=1e-11 * max(1.0, np.abs(w).max()))


def worse(engine, change):
    columns = [replace(column, factor=change(column.factor)) for column in engine.columns]
    engine.predictor.put(columns, engine.predictor.out.weights)


@pytest.mark.parametrize("times", [0.0, 1e-3, 3.0, -1.0, np.nan])
def test_an_inverse_that_does_not_help_is_made_anew(times):
    rows, y = problem(2)
    engine = trained(rows, y)
    before = engine.columns[1].factor.inverse
    worse(engine, lambda factor: replace(factor, inverse=np.asfortranarray(times * factor.inverse)))
    with shared():
        engine.remove([9])
    require_true(engine, rows, y, [9], 1e-3)
    np.testing.assert_allclose(engine.columns[1].factor.inverse, before, rtol=0.1, atol=0.05)


def test_an_inverse_that_has_cost_many_steps_is_made_anew():
    rows, y = problem(3)
    engine = trained(rows, y)
    worse(engine, lambda factor: replace(factor, inverse=0.9 * factor.inverse))  # several steps a request
    with shared():
        engine.remove([9])
        assert all(column.drift > 2 for column in engine.columns)
        for row in range(10, 60):
            engine.remove([row])
    assert all(column.drift <= shared_passes.EXTRA_STEPS for column in engine.columns)
    require_true(engine, rows, y, range(9, 60), 1e-3)


def test_rows_that_cannot_be_corrected_for_make_inverses_anew():
    rows, y = problem(4)
    engine = trained(rows, y)
    with shared(), patch.object(Factor, "without", side_effect=np.linalg.LinAlgError):
        engine.remove([9])
        require_true(engine, rows, y, [9], 1e-3)
        engine.remove(list(range(10, 20)))  # too many for a correction in any case
    require_true(engine, rows, y, range(9, 20), 1e-3)


def test_of_a_long_table_inverses_are_corrected_for_many_rows():
    rows, y = problem(7, n=2 * BLOCK_ROWS)
    engine, gone = trained(rows, y), np.arange(10, 30)
    assert too_many(len(gone), D)
    with shared(), patch.object(shared_passes, "build_factor", side_effect=AssertionError):
        engine.remove(gone.tolist())
    require_true(engine, rows, y, gone, 1e-3)
    rhs = np.random.default_rng(0).normal(size=D)
    for column in engine.columns:
        true = np.linalg.solve(column.problem.hessian(column.w), rhs)
        assert np.linalg.norm(column.factor.nearby(rhs) - true) <= 0.02 * np.linalg.norm(true)


def test_when_a_correction_pays():
    assert shared_passes.pays(1000, 40_000, 1280)  # measured: half of the time
    assert not shared_passes.pays(2000, 40_000, 1280)
    assert not shared_passes.pays(1000, 10_000, 1280)


def test_others_are_served_as_before():
    rows, y = problem(5)
    columns = trained(rows, y).columns
    assert not share_passes(columns)  # a small table
    with shared():
        assert share_passes(columns)
        assert not share_passes(columns[:1])
        assert not share_passes(trained(rows, y, subsample_ratio=0.5).columns)
        assert not share_passes(trained(rows, y, solver="iterative").columns)
        with patch.object(shared_passes, "MOST_SLOPES", len(y)):
            assert not share_passes(columns)
    with patch.object(shared_passes, "LEAST_NUMBERS", len(y) * D):
        assert share_passes(columns)


@pytest.mark.parametrize("classes", [3, 200])
def test_sums_piece_by_piece_are_those_of_the_oracle(classes):
    rows, y = problem(6, classes, n=2 * BLOCK_ROWS + 300)
    gone = np.array([4, 900, 901])
    rows, stay = rows.without(gone), np.delete(np.arange(len(y)), gone)
    rng = np.random.default_rng(0)
    w, step = rng.normal(size=(2, D, classes))
    b, every = rng.normal(size=(D, classes)), np.arange(classes)
    found = []
    for cached in (column_sums._CACHED, 50 * 8 * D):
        with patch.object(column_sums, "_CACHED", cached):
            assert column_sums._piece(D, classes, 8) == (
                50 if classes == 3 and cached == 4400 else BLOCK_ROWS
            )
            passes = ColumnPasses.of(problems := one_vs_rest(rows, y, every, 1e-3, b))
            slopes = passes.slopes()
            gradient, sums = passes.gradients(w, every, slopes)
            found.append(
                (sums, passes.curved(slopes, step, every), passes.look(w, slopes), passes.diagonals(slopes))
            )
        for k in (0, classes - 1):
            true = oracle.wide_gradient(rows.part(stay), problems[k].y[stay], 1e-3, b[:, k], w[:, k])
            assert oracle.norm(gradient[:, k] - true) <= problems[k].rounding(w[:, k])
    for whole, pieces in zip(*found, strict=True):
        np.testing.assert_allclose(pieces, whole, rtol=1e-4, atol=1e-4)


def test_pieces_are_neither_empty_nor_longer_than_a_block():
    for dim, width, size in ((1, 1, 4), (1280, 10, 8), (784, 10, 8), (10**6, 3, 8), (64, 1000, 4)):
        assert column_sums._LEAST_PIECE <= column_sums._piece(dim, width, size) <= BLOCK_ROWS
    assert column_sums._piece(1280, 10, 8) == 64
