"""What a model keeps of rows and classes as they leave, against counting them anew; and what it costs."""

from __future__ import annotations

import tracemalloc
from copy import copy, deepcopy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.linear.certified_column import WeightColumn
from expunge.linear.logistic import LogisticProblem
from expunge.linear.rows import Rows
from expunge.predictors import NothingLeft
from expunge.predictors.linear import LinearModel
from expunge.predictors.linear_outputs import Released


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


def test_what_one_request_makes_does_not_depend_on_the_number_of_rows():
    n = 10**7
    y = np.zeros(n, dtype=np.int64)
    y[::2] = 1
    rows = Rows(np.broadcast_to(np.zeros(1, dtype=np.float32), (n, 3)), np.broadcast_to(1.0, n))
    model = LinearModel(std=0.0)
    model.begin(rows, y, 0)
    columns = [WeightColumn(LogisticProblem(rows, y, 1e-3, np.zeros(3)), np.zeros(3))]
    model._out = Released(model.out.classes, columns)
    assert rows.count == n  # counted once, and known from then on
    tracemalloc.start()
    for row in range(200):
        index = model.checked([n - 1 - row])
        left = model.without(index)
        pairs = zip(left.columns, left.problems, strict=True)
        model.release([column.without(problem) for column, problem in pairs], index)
        assert not model.is_settled
        assert model.columns[0].problem.n == model.there.count == n - 1 - row
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6, peak  # a bool a row alone is five times that
    assert np.flatnonzero(model.columns[0].problem.rows.scale == 0).tolist() == [*range(n - 200, n)]
