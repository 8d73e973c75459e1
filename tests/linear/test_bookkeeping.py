"""What a model keeps of rows and classes as they leave, against counting them anew; and what it costs."""

from __future__ import annotations

from copy import copy, deepcopy
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.linear.certified_column import WeightColumn
from expunge.linear.logistic import LogisticProblem
from expunge.linear.rows import Rows
from expunge.predictors import NothingLeft, RowsOutOfReach
from expunge.predictors.linear import LinearModel
from expunge.predictors.linear_outputs import Released
from expunge.unlearners.newton import Newton
from tests.problems import method


def bare(rows, y, lam=1e-3):
    """A model of these rows whose weights are zeros: nothing is trained."""
    model = LinearModel(lam=lam, std=0.0)
    model.begin(rows, y, 0)
    model._out = Released(
        model.out.classes, [WeightColumn(problem, np.zeros(rows.dim)) for problem in model.problems()]
    )
    return model


def agrees(model, y, kept):
    """Whether it says of rows and classes what counting them anew says."""
    labels, counts = np.unique(y[kept], return_counts=True)
    classes = model.out.classes
    assert (classes.labels.tolist(), classes.rows.tolist()) == (labels.tolist(), counts.tolist())
    np.testing.assert_array_equal(model.kept, kept)
    assert model.there.count == kept.sum()
    for column in model.columns:
        np.testing.assert_array_equal(column.problem.rows.scale != 0, kept)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=4, max_size=40), st.data())
def test_rows_and_classes_are_those_that_counting_finds(y, data):
    y = np.array([0, 1, *y]) * 5 - 2
    rng = np.random.default_rng(0)
    model = bare(Rows.normalised(rng.normal(size=(len(y), 2))), y)
    kept, old = np.ones(len(y), dtype=bool), []
    for _ in range(data.draw(st.integers(1, 6))):
        stay = np.flatnonzero(kept).tolist()
        take = data.draw(st.lists(st.sampled_from(stay), min_size=1, max_size=8, unique=True))
        if len(take) == len(stay):
            continue
        old.append((copy(model), deepcopy(model), kept))
        index, after = model.checked(take), kept.copy()
        after[take] = False
        if len(np.unique(y[after])) < 2:
            with pytest.raises(NothingLeft):
                model.leave(index)
            continue
        given_labels = y[take] if data.draw(st.booleans()) else None  # by who has the rows but not the labels
        left = model.without(index, given_labels)
        made = [column.without(p) for column, p in zip(left.columns, left.problems, strict=True)]
        agrees(model, y, kept)  # asking changes nothing
        model.release(made, index, labels=given_labels)
        kept = after
        agrees(model, y, kept)
        assert not model.is_settled
    for one, two, then in old:
        agrees(one, y, then)
        agrees(two, y, then)


def test_a_problem_knows_what_left_while_nobody_asked_for_it():
    y = np.arange(40) % 3
    model = bare(Rows.normalised(np.random.default_rng(1).normal(size=(40, 2))), y)
    stale = model.columns
    model.release(stale, np.array([3, 4]))
    model.release(stale, np.array([9]))
    for problem in (*model.without(np.array([7])).problems, *model.compacted()):
        assert set(np.flatnonzero(problem.rows.scale == 0)) - {7} == {3, 4, 9}


def test_what_one_request_costs_does_not_depend_on_the_number_of_rows():
    times = {}
    for n in (10**4, 10**7):
        y = np.zeros(n, dtype=np.int64)
        y[::2] = 1
        rows = Rows(np.broadcast_to(np.zeros(1, dtype=np.float32), (n, 3)), np.broadcast_to(1.0, n))
        model = LinearModel(std=0.0)
        model.begin(rows, y, 0)
        column = WeightColumn(LogisticProblem(rows, y, 1e-3, np.zeros(3)), np.zeros(3))
        model._out = Released(model.out.classes, [column])
        found = []
        for row in range(50):
            start = perf_counter()
            index = model.checked([n - 1 - row])
            model.release(model.without(index).columns, index)
            assert not model.is_settled
            found.append(perf_counter() - start)
        assert model.there.count == n - 50
        times[n] = min(found)
    # some .15 ms at ten million rows and .1 at ten thousand; copying a bool of each row alone took 1
    assert times[10**7] < 1e-3, times


# -- rows out of reach ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize(("update", "perturbation"), [("corrected", "release"), ("fresh", "gaussian")])
def test_a_state_without_rows_says_what_the_model_says(update, perturbation, share):
    y = np.arange(60) % 4
    x = Rows.normalised(np.random.default_rng(2).normal(size=(60, 3)) + np.eye(4, 3)[y])
    how = {
        "update": update,
        "perturbation": perturbation,
        "certificate": "measured",
        "subsample_ratio": share,
    }
    how |= {"std": 0.0} if perturbation == "release" else {"std": 1.0}
    model, away = method(Newton, lam=1e-2, **how), method(Newton, lam=1e-2, **how)
    model.fit(x, y, 0)
    model.remove([*np.flatnonzero(y == 1).tolist(), 0])
    model.settle()
    state = model.state()
    away.load_state(state, None, None)
    assert away.predictor.x is None
    np.testing.assert_array_equal(away.predictor.predict(x), model.predictor.predict(x))
    assert away.account == model.account
    assert away.predictor.out.classes.rows.tolist() == model.predictor.out.classes.rows.tolist()
    again = away.state()
    assert again.values == state.values
    for name, array in state.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)
    for asks in (
        away.predictor.kept_residual,
        away.predictor.problems,
        lambda: away.remove([3]),
        lambda: away.predictor.refit(np.array([3])),
    ):
        with pytest.raises(RowsOutOfReach, match="out of reach"):
            asks()
    assert away.predictor.there == model.predictor.there
