"""Rows chosen by where they lie, and rows that were changed before training: by loops over the rows."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from expunge.core.errors import InvalidValue
from expunge.datasets import Dataset, digits, digits_3v8
from expunge.datasets.corrupting import corrupted
from expunge.record.requests import Mislabelled, Neighbours, OfClass, OfGroup, Outliers, Poisoned
from expunge.record.requests.located import _BLOCK, class_distances, nearest

MATRIX = st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=2, max_size=25)


def rows(requests):
    return [list(request.rows) for request in requests]


def dataset(n=12, classes=3):
    x = np.random.default_rng(0).integers(0, 255, (n, 4, 4), dtype=np.uint8)
    names = {k: str(k) for k in range(classes)}
    return Dataset("own", x, np.arange(n) % classes, x[:3], np.arange(3) % classes, names, unit=255.0)


@given(MATRIX, st.data())
@settings(max_examples=60, deadline=None)
def test_the_nearest_are_those_of_a_sort(x, data):
    row = data.draw(st.integers(0, len(x) - 1))
    count = data.draw(st.integers(1, len(x)))

    def apart(other):
        return sum((a - b) ** 2 for a, b in zip(x[other], x[row], strict=True))

    order = sorted(
        (other for other in range(len(x)) if other != row), key=lambda other: (apart(other), other)
    )
    expected = [row, *order][:count]
    assert nearest(np.array(x, dtype=np.uint8), row, count).tolist() == expected
    assert nearest(sparse.csr_array(np.array(x, dtype=float)), row, count).tolist() == expected


@given(MATRIX, st.data())
@settings(max_examples=60, deadline=None)
def test_distances_to_the_mean_of_a_class(x, data):
    y = [data.draw(st.integers(-1, 2)) for _ in x]
    found = class_distances(np.array(x, dtype=np.uint8), np.array(y))
    for row, label in enumerate(y):
        own = [values for values, other in zip(x, y, strict=True) if other == label]
        mean = [Fraction(sum(column), len(own)) for column in zip(*own, strict=True)]
        square = sum((value - middle) ** 2 for value, middle in zip(x[row], mean, strict=True))
        assert found[row] == pytest.approx(float(square) ** 0.5, rel=1e-15, abs=0)


def test_blocks_of_rows_are_put_together_as_they_lie():
    rng = np.random.default_rng(0)
    n = 2 * _BLOCK + 3
    x, y = rng.normal(size=(n, 2, 3)), rng.integers(0, 4, n)
    flat = x.reshape(n, -1)
    means = np.array([flat[y == label].mean(axis=0) for label in range(4)])
    assert np.allclose(class_distances(x, y), np.linalg.norm(flat - means[y], axis=1), rtol=1e-12)
    order = np.argsort(np.linalg.norm(flat - flat[2000], axis=1), kind="stable")
    assert np.array_equal(nearest(x, 2000, 50), order[:50])


def test_outliers_are_the_farthest_first():
    whole = digits.load()
    found = rows(Outliers(count=7, batch_size=3).stream(whole, 0))
    assert [len(batch) for batch in found] == [3, 3, 1]
    far = class_distances(whole.x_train, whole.y_train)
    assert [row for batch in found for row in batch] == sorted(range(len(far)), key=lambda row: -far[row])[:7]
    assert found == rows(Outliers(count=7, batch_size=3).stream(whole, 5)), "no seed"


def test_neighbours_of_a_row_that_is_given_or_drawn():
    whole = digits.load()
    (given_row,) = rows(Neighbours(row=17, count=20).stream(whole, 0))
    assert given_row == nearest(whole.x_train, 17, 20).tolist()
    assert np.mean(whole.y_train[given_row] == whole.y_train[17]) > 0.9, "mostly of its class"
    drawn = [rows(Neighbours(count=5).stream(whole, seed))[0] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert rows(Neighbours(count=5, seed=1).stream(whole, 0))[0] == drawn[2]


def test_a_part_of_a_class_is_drawn_from_it_alone():
    whole = digits.load()
    (found,) = rows(OfClass(**{"class": 3}, count=20).stream(whole, 0))
    assert (len(found), len(set(found))) == (20, 20)
    assert set(whole.y_train[found].tolist()) == {3}
    assert found == sorted(found)
    assert found != rows(OfClass(**{"class": 3}, count=20).stream(whole, 1))[0]
    coarse = digits.load(labels="parity")
    (found,) = rows(OfGroup("3", count=20).stream(coarse, 0))
    assert set(whole.y_train[found].tolist()) == {3}


def test_changed_rows_are_those_of_the_corruption():
    whole = corrupted(digits.load(), {"target": 7, "count": 9}, {"share": 0.1})
    assert rows(Poisoned().stream(whole, 0)) == [whole.corruption.poisoned.tolist()]
    assert rows(Mislabelled().stream(whole, 0)) == [whole.corruption.mislabelled.tolist()]
    assert [len(batch) for batch in rows(Poisoned(batch_size=4).stream(whole, 0))] == [4, 4, 1]
    (some,) = rows(Poisoned(count=4).stream(whole, 0))
    assert set(some) < set(whole.corruption.poisoned.tolist())
    with pytest.raises(InvalidValue, match=r"count: got 10, allowed: at most 9, the rows of dataset\.poison"):
        Poisoned(count=10).stream(whole, 0)


@pytest.mark.parametrize(("removal", "kind"), [(Poisoned, "poison"), (Mislabelled, "mislabel")])
def test_nothing_changed_nothing_to_ask_for(removal, kind):
    said = rf"{kind}\w+: got 'dataset=digits_3v8 without it', allowed: images with dataset\.{kind}"
    for whole in (digits_3v8.load(), corrupted(digits_3v8.load(), **other(kind))):
        with pytest.raises(InvalidValue, match=said):
            removal().stream(whole, 0)


def other(kind):
    return {"mislabel": {"count": 1}} if kind == "poison" else {"poison": {"target": 3, "count": 1}}


def test_a_row_is_left():
    whole = corrupted(dataset(classes=2), mislabel={"share": 1.0})
    with pytest.raises(InvalidValue, match="mislabelled: got 'all 12 rows', allowed: fewer than all"):
        Mislabelled().stream(whole, 0)
    assert len(Mislabelled(count=11).stream(whole, 0)) == 1
    for removal in (Outliers, Neighbours):
        with pytest.raises(InvalidValue, match="count: got 12, allowed: at most 11, so that one of 12"):
            removal(count=12).stream(dataset(), 0)
        assert len(rows(removal(count=11).stream(dataset(), 0))[0]) == 11
    with pytest.raises(InvalidValue, match="row: got 12"):
        Neighbours(row=12, count=2).stream(dataset(), 0)
