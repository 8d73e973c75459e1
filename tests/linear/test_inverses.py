"""Many columns that keep inverse Hessians: what they share is right, and each is charged what is true."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.linear import inverses, stack
from expunge.linear.factor import Factor
from expunge.linear.inverses import FEWEST, all_keep_inverses
from expunge.linear.rows import Rows
from expunge.linear.stack import Pair, Stack, Stacked
from expunge.unlearners.newton import Newton
from tests import cli
from tests.oracles import logistic as oracle
from tests.people import folder
from tests.problems import method

CLASSES, D = FEWEST + 3, 7


def people(seed, each=6, kind=np.float64):
    """Rows of many classes, a handful each; some rows twice."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(CLASSES), each)
    x = rng.normal(size=(len(y), D)) + 2 * rng.normal(size=(CLASSES, D))[y]
    x[3], x[40] = x[2], x[2]
    return Rows.normalised(x.astype(kind)), y


def trained(seed, lam=1e-3, **settings):
    rows, y = people(seed)
    how = {"perturbation": "release", "certificate": "measured", "update": "corrected", "releases": 20}
    engine = method(Newton, lam=lam, std=0.0, solver="direct", **{**how, **settings})
    engine.fit(rows, y, seed=seed)
    return engine, rows, y


def require_true(engine, rows, y, gone, lam):
    """The kept gradient and the bound on the true one, of every column, against the oracle's."""
    stay = np.setdiff1d(np.arange(len(y)), gone)
    x, shares = rows.part(stay), engine.guarantee.shares(lam, [len(stay)] * len(engine.columns))
    assert len(engine.columns) == len(np.unique(y[stay]))
    for column, share, label in zip(engine.columns, shares, np.unique(y[stay]), strict=True):
        signs = np.where(y[stay] == label, 1.0, -1.0)
        true = oracle.wide_gradient(x, signs, lam, np.zeros(D), column.w)
        assert oracle.norm(true) <= column.account.beta <= share
        assert oracle.norm(true - column.gradient) <= column.problem.rounding(column.w)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from((1e-5, 1e-3, 1e-1)), st.data())
def test_every_column_is_charged_what_its_gradient_truly_is(seed, lam, data):
    engine, rows, y = trained(seed, lam)
    left, gone = list(range(len(y))), []
    for size in data.draw(st.lists(st.integers(1, 70), min_size=1, max_size=3)):
        asked = data.draw(st.permutations(left))[:size]
        if len(np.unique(np.delete(y, [*gone, *asked]))) < FEWEST:
            break  # too few classes to be served together
        assert engine.remove(asked).outcome == "removed"
        gone += asked
        left = sorted(set(left) - set(asked))
        assert all(isinstance(column.factor, Factor) for column in engine.columns)
        require_true(engine, rows, y, gone, lam)


def test_the_columns_are_those_of_one_after_the_other():
    served = {}
    for fewest in (FEWEST, 10**6):
        with patch.object(inverses, "FEWEST", fewest):
            engine, _rows, y = trained(1)
            for label in (3, 17):
                engine.remove(np.flatnonzero(y == label).tolist())
            served[fewest] = np.stack([column.w for column in engine.columns], axis=1)
            assert all_keep_inverses(engine.columns) == (fewest == FEWEST)
            assert isinstance(engine.columns[0].factor, Stacked) == (fewest == FEWEST)
    together, alone = served.values()
    assert together.shape == alone.shape == (D, CLASSES - 2)
    assert np.linalg.norm(together - alone) <= 2 * engine.guarantee.sensitivity


@pytest.mark.parametrize("lam", [1e-4, 1e-2])
def test_the_inverses_are_those_of_the_rows_that_stay(lam):
    engine, _rows, y = trained(2, lam)
    columns = engine.columns
    index = np.flatnonzero(np.isin(y, np.arange(0, CLASSES, 3)))  # more than are worked on at a time
    assert len(index) > stack._ROWS
    w = np.stack([column.w for column in columns], axis=1)
    found_stack = stack.departed(columns, w, index)
    rhs = np.random.default_rng(0).normal(size=(D, len(columns)))
    ridge = lam * (len(y) - len(index))
    found = found_stack.solve(rhs, np.arange(len(columns)), ridge)
    for k, column in enumerate(columns):
        true = np.linalg.solve(column.problem.without(index).hessian(column.w), rhs[:, k])
        assert np.linalg.norm(found[:, k] - true) <= 0.02 * np.linalg.norm(true)
    some = np.array([4, 9, 20])
    np.testing.assert_allclose(found_stack.solve(rhs[:, some], some, ridge), found[:, some], rtol=1e-4)


def test_steps_are_learned_from_as_by_bfgs():
    rng = np.random.default_rng(3)
    k, count = 3, 4
    made = rng.normal(size=(k, D, D))
    hessians = made @ made.transpose(0, 2, 1) + np.eye(D)
    first = np.linalg.inv(hessians + 0.3 * np.eye(D)).astype(np.float32)
    pairs = []
    for number in range(count):
        step = rng.normal(size=(D, k))
        at = np.arange(k) if number != 2 else np.array([0, 2])  # a column that took no step
        change = np.einsum("kij,jk->ik", hessians, step)
        pairs.append(Pair.at(step[:, at], change[:, at], at, k))
    found = stack.learned(first, pairs)
    for column in range(k):
        p = first[column].astype(np.float64)
        for pair in pairs:
            s, y, rho = pair.step[:, column], pair.change[:, column], pair.rho[column]
            turned = np.eye(D) - rho * np.outer(s, y)
            p = turned @ p @ turned.T + rho * np.outer(s, s)
        np.testing.assert_allclose(found[column], p, rtol=1e-3, atol=1e-4)
    gradient = rng.normal(size=(D, k))
    own = Stack(first, np.zeros(k))
    np.testing.assert_allclose(
        inverses._directed(own, pairs, gradient, np.arange(k), 1.0),
        np.einsum("kij,jk->ik", found, gradient),
        rtol=1e-3,
        atol=1e-3,
    )
    assert stack.learned(first, []) is first


def test_a_step_along_which_nothing_curves_teaches_nothing():
    pair = Pair.at(np.ones((D, 2)), np.stack([np.zeros(D), -np.ones(D)], axis=1), np.arange(2), 2)
    assert not pair.rho.any()
    first = np.eye(D, dtype=np.float32)[None].repeat(2, axis=0)
    np.testing.assert_array_equal(stack.learned(first, [pair]), first)


@pytest.mark.parametrize(("name", "value"), [("_MOST_STEPS", 1), ("_POOR", 1e-9), ("_STEPS_OF_BUILDING", -1)])
def test_columns_that_do_not_arrive_go_on_alone_and_poor_inverses_are_made_anew(name, value):
    engine, rows, y = trained(4)
    with patch.object(stack if name == "_STEPS_OF_BUILDING" else inverses, name, value):
        for label in (0, 5, 9):
            engine.remove(np.flatnonzero(y == label).tolist())
    require_true(engine, rows, y, np.flatnonzero(np.isin(y, (0, 5, 9))), 1e-3)


def test_a_correction_that_is_singular_corrects_nothing():
    inside = np.eye(3)[None].repeat(2, axis=0)
    np.testing.assert_array_equal(stack._inverted(inside), inside)
    np.testing.assert_array_equal(stack._inverted(np.zeros((2, 3, 3))), np.zeros((2, 3, 3)))


def test_inverses_that_are_nonsense_cost_time_and_nothing_else():
    engine, rows, y = trained(5)
    engine.remove([0])
    engine.columns[0].factor.stack.inverses[:] = np.nan
    engine.columns[1].factor.stack.inverses[:4] = 0
    engine.remove([1, 50])
    require_true(engine, rows, y, [0, 1, 50], 1e-3)


def test_what_is_saved_of_an_inverse_is_that_of_the_column_alone():
    engine, _, _ = trained(6)
    engine.remove([0, 8])
    factor = engine.columns[5].factor
    saved = factor.state()
    loaded = Factor.loaded(saved, D)
    assert saved.arrays["inverse"].dtype == np.float64
    np.testing.assert_allclose(stack._whole(loaded), factor.inverse, rtol=1e-5, atol=1e-8)
    assert loaded.shift == factor.shift > 0


def test_an_engine_that_was_saved_as_it_stood_goes_on_alike():
    engine, rows, y = trained(7)
    engine.remove([0, 8])
    other = method(
        Newton,
        lam=1e-3,
        std=0.0,
        solver="direct",
        perturbation="release",
        certificate="measured",
        update="corrected",
        releases=20,
    )
    other.load_state(engine.live_state(), rows, y)
    engine.remove([5, 9])
    other.remove([5, 9])
    require_true(other, rows, y, [0, 5, 8, 9], 1e-3)


def test_few_columns_and_others_than_dense_rows_are_served_as_before():
    engine, _, _ = trained(8)
    assert all_keep_inverses(engine.columns)
    assert not all_keep_inverses(engine.columns[: FEWEST - 1])
    with patch.object(inverses, "_MOST_NUMBERS", CLASSES * D**2 - 1):
        assert not all_keep_inverses(engine.columns)


def test_a_run_that_was_killed_ends_as_one_that_was_not(tmp_path):
    data = folder(tmp_path / "data", **{f"p{number}": 3 for number in range(FEWEST + 6)})
    how = ("dataset=faces", "dataset.folder=people", "dataset.image_size=4", f"data_dir={data}", "threads=1")
    asked = ("removal.people=5", "checkpoint_every=2", "unlearner.lam=1e-3", "metrics=[accuracy,residual]")
    whole = cli.completed(*how, *asked, folder=tmp_path / "whole")
    (tmp_path / "broken").mkdir()
    broken = cli.killed(*how, *asked, folder=tmp_path / "broken", lines=3)
    again = cli.completed(*how, *asked, "resume=true", folder=broken)
    assert cli.summary(again)["removed"] == 5
    assert cli.ledger(again) == cli.ledger(whole)
