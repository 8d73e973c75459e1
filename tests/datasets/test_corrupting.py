"""Poisoned and mislabelled rows: what changes, by loops over the rows, and what does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.errors import InvalidValue
from expunge.datasets import Dataset, digits, digits_3v8, mnist_3v8
from expunge.datasets.base import of_known_classes
from expunge.datasets.corrupting import corrupted


def images(n=30, m=12, classes=3, seed=0, shape=(4, 5)):
    rng = np.random.default_rng(seed)
    x, x_test = (rng.integers(0, 200, (rows, *shape), dtype=np.uint8) for rows in (n, m))
    names = {k: f"c{k}" for k in range(classes)}
    y, y_test = (np.arange(rows) % classes for rows in (n, m))
    return Dataset("own", x, y, x_test, y_test, names, unit=255.0)


def poisoned_by_hand(x, size, value):
    """The trigger pixel by pixel."""
    out = x.copy()
    for image in out:
        for row in range(image.shape[0] - size, image.shape[0]):
            for column in range(image.shape[1] - size, image.shape[1]):
                image[row, column] = value
    return out


@given(
    st.integers(2, 4),
    st.integers(1, 4),
    st.integers(1, 5),
    st.floats(0, 1),
    st.sampled_from([(4, 5), (5, 4, 3)]),
)
@settings(max_examples=40, deadline=None)
def test_poison_is_a_square_and_a_label(classes, size, count, value, shape):
    before = images(classes=classes, shape=shape)
    kept = [array.copy() for array in (before.x_train, before.y_train, before.x_test, before.y_test)]
    after = corrupted(before, {"target": "c1", "count": count, "size": size, "value": value})
    found, stored = after.corruption, round(255 * value)
    rows = found.poisoned
    assert (len(rows), len(set(rows.tolist()))) == (count, count)
    assert 1 not in before.y_train[rows], "rows of other classes"
    assert set(after.y_train[rows].tolist()) == {1}
    assert np.array_equal(after.x_train[rows], poisoned_by_hand(before.x_train[rows], size, stored))
    others = np.setdiff1d(np.arange(30), rows)
    assert np.array_equal(after.x_train[others], before.x_train[others])
    assert np.array_equal(after.y_train[others], before.y_train[others])
    assert np.array_equal(found.truth, before.y_train)
    now = (before.x_train, before.y_train, before.x_test, before.y_test)
    assert all(np.array_equal(a, b) for a, b in zip(kept, now, strict=True)), "what was given stays as it is"
    # test rows: as they were, and copies of those of other classes with the trigger, which are of no class
    assert np.array_equal(after.x_test[:12], before.x_test)
    assert np.array_equal(after.y_test[:12], before.y_test)
    copied = before.x_test[before.y_test != 1]
    assert np.array_equal(after.x_test[found.triggered], poisoned_by_hand(copied, size, stored))
    assert found.triggered.tolist() == list(range(12, len(after.y_test)))
    known = of_known_classes(after.y_test, after.y_train)
    assert known.tolist() == [True] * 12 + [False] * len(copied)


def test_mislabelled_rows_of_a_class():
    before = images()
    after = corrupted(before, mislabel={"source": "c0", "target": "c2", "share": 0.5})
    rows = after.corruption.mislabelled
    assert len(rows) == 5
    assert set(before.y_train[rows].tolist()) == {0}
    assert after.corruption.pair == (0, 2)
    expected = before.y_train.copy()
    expected[rows] = 2
    assert np.array_equal(after.y_train, expected)
    assert after.x_train is before.x_train
    assert after.x_test is before.x_test


def test_mislabelled_rows_of_any_class_get_each_other_one_alike():
    before = images(n=9000)
    after = corrupted(before, mislabel={"share": 1.0})
    assert np.array_equal(after.corruption.mislabelled, np.arange(9000))
    assert after.corruption.pair is None
    counts = np.zeros((3, 3))
    np.add.at(counts, (before.y_train, after.y_train), 1)
    assert (np.diag(counts) == 0).all(), "no label stays what it was"
    off = counts[~np.eye(3, dtype=bool)]
    assert abs(off - 1500).max() < 4 * np.sqrt(750)  # binomial, p = 1/2 of 3000 each


def test_both_are_of_different_rows_and_each_is_its_seeds_alone():
    both = corrupted(images(), {"target": "c1", "share": 0.5}, {"share": 0.5})
    found = both.corruption
    assert not set(found.poisoned) & set(found.mislabelled)
    assert np.array_equal(found.truth, images().y_train)
    assert np.array_equal(found.rows("poison"), found.poisoned)
    again = corrupted(images(), {"target": "c1", "share": 0.5}, {"share": 0.5})
    assert again.digests() == both.digests()
    other = corrupted(images(), {"target": "c1", "share": 0.5, "seed": 1}, {"share": 0.5})
    assert np.array_equal(other.corruption.mislabelled, found.mislabelled)
    assert not np.array_equal(other.corruption.poisoned, found.poisoned)
    assert other.digests()["corruption"] != both.digests()["corruption"]


def test_without_settings_nothing_changes():
    before = images()
    assert corrupted(before) is before
    assert "corruption" not in before.digests()


@pytest.mark.parametrize("load", [digits.load, digits_3v8.load, mnist_3v8.load])
def test_loaders_pass_their_settings_on(load):
    whole, changed = load(train_rows=50), load(train_rows=50, poison={"target": 3, "count": 4})
    assert len(changed.corruption.poisoned) == 4
    assert (changed.x_train != whole.x_train).any(axis=(1, 2)).sum() <= 4
    assert len(load(train_rows=50, mislabel={"share": 0.1}).corruption.mislabelled) == 5


def test_a_digit_is_a_sub_class_of_the_even_and_odd():
    fine, coarse = digits.load(), digits.load(labels="parity")
    assert np.array_equal(coarse.y_train, fine.y_train % 2)
    assert np.array_equal(coarse.y_test, fine.y_test % 2)
    assert coarse.class_names == {0: "even", 1: "odd"}
    assert coarse.groups.tolist() == [str(digit) for digit in fine.y_train]
    with pytest.raises(InvalidValue, match=r"labels: got 'size', allowed: one of parity"):
        digits.load(labels="size")


POISON, MISLABEL = {"target": "c1", "share": 0.1}, {"source": "c0", "target": "c1", "share": 0.1}


@pytest.mark.parametrize(
    ("poison", "mislabel", "said"),
    [
        (
            {"target": "c1"},
            None,
            "poison: got {'share': None, 'count': None}, allowed: either a share or a count",
        ),
        (POISON | {"count": 2}, None, "either a share or a count"),
        (POISON | {"share": 0}, None, "poison.share: got 0, allowed: a number above 0 and at most 1"),
        (POISON | {"share": 1.5}, None, "poison.share: got 1.5"),
        (
            {"target": "c1", "count": 21},
            None,
            "poison.count: got 21, allowed: at most 20, the training rows of other",
        ),
        (POISON | {"target": "c9"}, None, "poison.target: got 'c9', allowed: one of c0, c1, c2"),
        ({"share": 0.1}, None, "poison.target: got None, allowed: one of c0"),
        (
            POISON | {"size": 5},
            None,
            "poison.size: got 5, allowed: at most 4, the side of an image in pixels",
        ),
        (POISON | {"size": 0}, None, "poison.size: got 0"),
        (POISON | {"value": 2}, None, "poison.value: got 2, allowed: .*at most 1"),
        (POISON | {"seed": -1}, None, "poison.seed: got -1"),
        (
            POISON | {"colour": 1},
            None,
            "poison: got .*null, or settings named target, share, count, size, value",
        ),
        (0.1, None, "poison: got 0.1, allowed: null, or settings named target"),
        (
            None,
            {"source": "c0", "share": 0.1},
            "mislabel.target: got None, allowed: a class, beside mislabel.source",
        ),
        (
            None,
            {"target": "c0", "share": 0.1},
            "mislabel.source: got None, allowed: a class, beside mislabel.target",
        ),
        (
            None,
            MISLABEL | {"target": "c0"},
            "mislabel.target: got 'c0', allowed: another class than mislabel.source",
        ),
        (None, MISLABEL | {"source": "c3"}, "mislabel.source: got 'c3', allowed: one of"),
        (None, MISLABEL | {"share": 0}, "mislabel.share: got 0"),
        (
            None,
            {"count": 31},
            "mislabel.count: got 31, allowed: at most 30, the training rows of all classes",
        ),
    ],
)
def test_what_is_refused(poison, mislabel, said):
    with pytest.raises(InvalidValue, match=said) as caught:
        corrupted(images(), poison, mislabel)
    assert "\n" not in str(caught.value)


def test_a_class_without_rows_and_a_table_are_refused():
    with pytest.raises(InvalidValue, match=r"mislabel.source: got 'c2', allowed: a class with training rows"):
        corrupted(images(n=2), mislabel=MISLABEL | {"source": "c2"})
    with pytest.raises(InvalidValue, match=r"poison.target: got 'c0', allowed: a class beside others"):
        corrupted(images(n=1), POISON | {"target": "c0"})
    with pytest.raises(InvalidValue, match=r"poison: got 'rows of shape \(4,\)', allowed: null for a table"):
        corrupted(images(shape=(4,)), POISON)
    with pytest.raises(
        InvalidValue, match=r"mislabel: got .*, allowed: null where all training rows have one"
    ):
        corrupted(images(n=1), mislabel={"share": 0.5})
