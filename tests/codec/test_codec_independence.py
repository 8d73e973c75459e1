"""The permutation test of independence and the Markov blankets found with it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from expunge.codec import UndefinedCodecWarning, codec, independence_test, markov_blanket
from expunge.codec.blanket import grow_shrink
from expunge.codec.permutations import local_permutations, near_rows
from expunge.codec.tie_breaking import NOISE, circle, jitter

TIES = ("random", "noise", "first")


def one_by_one(y, z, x, *, permutations, neighbours, ties, rng):
    """T of each copy by ``codec``, one after the other: (statistic, null)."""
    n = len(y)
    generator = np.random.default_rng(rng)
    order = circle(n, ties, generator)
    z = z.reshape(n, -1)
    x = np.empty((n, 0)) if x is None else x.reshape(n, -1)
    columns = jitter(np.ascontiguousarray(np.hstack([x, z]).T), ties, NOISE, generator).T
    given, moved = columns[:, : x.shape[1]], columns[:, x.shape[1] :]
    near = near_rows(given[order].T, neighbours) if given.size else None
    rule = {"ties": "first" if ties == "first" else "random", "rng": rng}  # the noise is in the columns
    null = []
    for taken in local_permutations(n, near, permutations, generator):
        copy = np.empty_like(moved)
        copy[order] = moved[order[taken]]
        null.append(codec(y, copy, given if given.size else None, **rule))
    return codec(y, moved, given if given.size else None, **rule), np.array(null)


def numbers(kind, rng, n, p):
    if kind == "normal":
        return rng.standard_normal((n, p))
    return rng.integers(0, 3 if kind == "few" else 40, size=(n, p)).astype(float)


# The statistic and the copies


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("kind", ["normal", "few", "many"])
@pytest.mark.parametrize(("r", "q"), [(0, 1), (0, 3), (1, 1), (3, 1), (1, 2), (3, 3)])
def test_same_as_codec_on_each_copy(r, q, kind, ties):
    for seed in range(4):
        rng = np.random.default_rng([seed, r, q])
        n = int(rng.integers(20, 70))
        x = numbers(kind, rng, n, r) if r else None
        z, y = numbers(kind, rng, n, q), rng.integers(0, 30, size=n)
        options = {"permutations": 6, "neighbours": 4, "ties": ties, "rng": seed}
        test = independence_test(y, z, x, **options)
        statistic, null = one_by_one(y, z, x, **options)
        assert test.statistic == statistic == codec(y, z, x, ties=ties, rng=seed)
        assert np.array_equal(test.null, null)
        assert test.p_value == (1 + (null >= statistic).sum()) / 7


@pytest.mark.parametrize(("r", "q"), [(2, 3), (7, 2)])
def test_same_where_lists_of_neighbours_are_cut_short(r, q):
    """Beyond 4096 rows lists are no longer whole: from a tree, then from a plain pass."""
    rng = np.random.default_rng(r)
    x, z = rng.standard_normal((4200, r)), rng.standard_normal((4200, q))
    y = x[:, 0] + z[:, 0]
    options = {"permutations": 2, "neighbours": 3, "ties": "random", "rng": 5}
    test = independence_test(y, z, x, **options)
    statistic, null = one_by_one(y, z, x, **options)
    assert test.statistic == statistic
    assert np.array_equal(test.null, null)


def test_same_in_chunks(monkeypatch):
    from expunge.codec import independence

    rng = np.random.default_rng(0)
    x, z, y = rng.standard_normal((3, 50))
    whole = independence_test(y, z, x, permutations=7)
    monkeypatch.setattr(independence, "CHUNK", 100)
    assert np.array_equal(independence_test(y, z, x, permutations=7).null, whole.null)


@pytest.mark.parametrize("q", [1, 2])
@pytest.mark.parametrize("r", [0, 2])
def test_threads_do_not_matter(r, q):
    rng = np.random.default_rng(1)
    x, z, y = rng.standard_normal((300, 2)), rng.standard_normal((300, q)), rng.standard_normal(300)
    one, two = (independence_test(y, z, x if r else None, permutations=19, threads=t) for t in (1, 2))
    assert (one.statistic, one.p_value) == (two.statistic, two.p_value)
    assert np.array_equal(one.null, two.null)


# Level and power


def rejections(draw, seeds, level, **options):
    tests = [independence_test(*draw(np.random.default_rng(s)), rng=s, **options) for s in range(seeds)]
    return sum(test.p_value <= level for test in tests)


@pytest.mark.parametrize("level", [0.05, 0.1, 0.5])
@pytest.mark.parametrize("q", [1, 2])
def test_level_without_a_condition(q, level):
    """Exact: rejections are binomial, here within the 0.05% tails."""

    def draw(rng):
        return rng.standard_normal(40), rng.standard_normal((40, q))

    found = rejections(draw, 200, level, permutations=19, threads=1)
    assert binom.ppf(5e-4, 200, level) <= found <= binom.ppf(1 - 5e-4, 200, level)


@pytest.mark.parametrize("level", [0.05, 0.1])
def test_level_given_a_condition(level):
    """X causes both; given X they are independent. Too many rejections are not excused."""

    def draw(rng):
        x = rng.standard_normal(200)
        return x + rng.standard_normal(200), x + rng.standard_normal(200), x

    assert rejections(draw, 200, level, permutations=19, threads=1) <= binom.ppf(1 - 5e-4, 200, level)


def test_power():
    rng = np.random.default_rng(0)
    x, z, e = rng.standard_normal((3, 400))
    assert independence_test(z**2 + 0.3 * e, z, permutations=99).p_value == 0.01
    assert independence_test(x + z**2 + 0.1 * e, z, x, permutations=99).p_value == 0.01
    wide = np.column_stack([e, z])
    assert independence_test(x + np.sin(3 * z), wide, x, permutations=99).p_value == 0.01
    assert independence_test(x + np.sin(3 * z), e, x, permutations=99).p_value > 0.1


def test_chain_and_collider():
    """X -> Z -> Y: independent given Z alone. A -> C <- B: dependent given C alone."""
    rng = np.random.default_rng(3)
    x, e, f, a, b = rng.standard_normal((5, 500))
    z = x + 0.5 * e
    y = z + 0.5 * f
    assert independence_test(y, x, permutations=99).p_value == 0.01
    assert independence_test(y, x, z, permutations=99).p_value > 0.05
    assert independence_test(a, b, permutations=99).p_value > 0.05
    assert independence_test(a, b, a + b + 0.1 * e, permutations=99).p_value == 0.01


# Who gives to whom


@settings(max_examples=60, deadline=None)
@given(
    st.integers(3, 40),
    st.integers(1, 3),
    st.integers(1, 8),
    st.sampled_from(["normal", "few", "many"]),
    st.integers(0, 99),
)
def test_local_permutations_are_local_and_give_once_where_possible(n, r, k, kind, seed):
    k = min(k, n)
    points = numbers(kind, np.random.default_rng(seed), n, r)
    near = near_rows(points.T, k)
    squared = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    turn = (np.arange(n) - np.arange(n)[:, None]) % n
    for i in range(n):
        assert near[i].tolist() == np.lexsort((turn[i], squared[i]))[:k].tolist()
    for taken in local_permutations(n, near, 5, np.random.default_rng(seed)):
        assert all(taken[i] in near[i] for i in range(n))
        unused = set(range(n)) - set(taken.tolist())
        for j in set(taken.tolist()):  # all but the first that took from j found nobody else
            holders = [i for i in range(n) if taken[i] == j]
            assert sum(bool(unused & set(near[i].tolist())) for i in holders) <= 1


def test_donors_without_a_condition_and_with_all_neighbours_are_permutations():
    points = np.random.default_rng(0).standard_normal((2, 30))
    for near in (None, near_rows(points, 30)):
        drawn = local_permutations(30, near, 20, np.random.default_rng(0))
        assert (np.sort(drawn, axis=1) == np.arange(30)).all()
        assert len(np.unique(drawn, axis=0)) == 20


def test_every_neighbour_is_as_likely():
    near = np.array([[i, (i + 1) % 6, (i + 2) % 6] for i in range(6)])
    drawn = local_permutations(6, near, 6000, np.random.default_rng(0))
    counts = np.array([[(drawn[:, i] == j).sum() for j in near[i]] for i in range(6)])
    assert (abs(counts - 2000) < 250).all()  # six standard deviations; symmetry makes the rows alike
    assert (near_rows(np.zeros((1, 5)), 3) == [[i, (i + 1) % 5, (i + 2) % 5] for i in range(5)]).all()


def test_only_itself_is_no_test():
    rng = np.random.default_rng(0)
    x, z = rng.standard_normal((2, 30))
    test = independence_test(x + z, z, x, neighbours=1, permutations=9)
    assert (test.null == test.statistic).all()
    assert test.p_value == 1


# What cannot be tested


def test_undefined():
    z = np.arange(20.0)
    for y, x in ((np.ones(20), None), (np.repeat([0, 1], 10), np.repeat([0.0, 1.0], 10))):
        with pytest.warns(UndefinedCodecWarning):
            test = independence_test(y, z, x, permutations=5)
        assert np.isnan(test.statistic)
        assert np.isnan(test.p_value)
        assert np.isnan(test.null).all()
        assert test.null.shape == (5,)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"z": np.arange(9.0)}, "z: got 9 rows where y has 10"),
        ({"x": np.full(10, np.nan)}, "x: got 10 entries that are NaN"),
        ({"y": np.zeros((10, 2))}, "y: got shape"),
        ({"z": np.zeros((10, 0))}, "z: got no columns"),
        ({"ties": "none"}, "ties: got 'none', allowed: one of random, noise, first"),
        ({"noise": 0}, "noise: got 0"),
        ({"threads": 0}, "threads: got 0"),
        ({"permutations": 0}, "permutations: got 0, allowed: a whole number >= 1"),
        ({"permutations": 9.0}, "permutations: got 9.0"),
        ({"neighbours": 0}, "neighbours: got 0, allowed: a whole number from 1 to 10"),
        ({"neighbours": 11}, "neighbours: got 11"),
        ({"neighbours": True}, "neighbours: got True"),
    ],
)
def test_bad_input_of_the_test(changed, said):
    values = {"y": np.arange(10.0), "z": np.arange(10.0), "x": None, **changed}
    with pytest.raises(ValueError) as caught:
        independence_test(**values)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


# Markov blankets


def linear_network(n, rng):
    """0 -> 1 -> y -> 2 <- 3; 4 is on its own. The blanket of y: 1, 2, 3."""
    e = rng.standard_normal((6, n))
    x0, x3, x4 = e[0], e[3], e[4]
    x1 = x0 + 0.7 * e[1]
    y = x1 + 0.4 * e[5]
    x2 = y + 1.5 * x3 + 0.2 * e[2]
    return np.column_stack([x0, x1, x2, x3, x4]), y


def test_blanket_of_a_linear_network():
    X, y = linear_network(1500, np.random.default_rng(0))
    assert markov_blanket(X, y, permutations=99) == [1, 2, 3]
    assert markov_blanket(X, y, permutations=99, ties="noise", rng=1) == [1, 2, 3]


def test_blanket_with_groups():
    X, y = linear_network(1000, np.random.default_rng(1))
    groups = [[0], [2, 3], [1], [4]]
    assert markov_blanket(X, y, groups=groups, permutations=99) == [1, 2]
    options = {"permutations": 39, "rng": 3}
    singles = markov_blanket(X[:300], y[:300], groups=[[j] for j in range(5)], **options)
    assert singles == markov_blanket(X[:300], y[:300], **options)


def test_nothing_to_find():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((200, 3)), rng.standard_normal(200)
    assert markov_blanket(X, y, confidence=0.99, permutations=99) == []
    with pytest.warns(UndefinedCodecWarning):
        assert markov_blanket(X, np.ones(200), permutations=19) == []


def test_grow_shrink_by_hand():
    """Grows by 2 (1 does not reject), then by 0, which makes 2 useless; 3 is undefined given both."""
    asked = []

    def test(j, given):
        asked.append((j, tuple(given)))
        p_values = {
            (0, ()): (0.3, 0.05),
            (1, ()): (0.9, 0.2),
            (2, ()): (0.5, 0.05),
            (3, ()): (0.4, 0.05),
            (0, (2,)): (0.1, 0.05),
            (2, (0,)): (0.0, 0.6),
            (3, (0, 2)): (np.nan, np.nan),
        }
        return p_values.get((j, tuple(given)), (0.3, 0.05) if j == 0 else (0.2, 0.9))

    assert grow_shrink(4, test, 0.95) == [0]
    assert asked == [
        *((0, ()), (1, ()), (2, ()), (3, ())),
        *((0, (2,)), (1, (2,)), (3, (2,))),
        *((1, (0, 2)), (3, (0, 2))),
        *((2, (0,)), (0, (2,))),
        (0, ()),
    ]


def test_p_of_just_the_level_rejects():
    assert grow_shrink(1, lambda j, given: (1.0, 0.1), 0.9) == [0]
    assert grow_shrink(1, lambda j, given: (1.0, 0.11), 0.9) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"confidence": 1.0}, "confidence: got 1.0"),
        ({"confidence": True}, "confidence: got True"),
        ({"permutations": 18}, "permutations: got 18, allowed: at least 19 at confidence 0.95"),
        ({"permutations": 0}, "permutations: got 0"),
        ({"groups": []}, "groups: got no group"),
        ({"groups": [[0], []]}, "groups: got no column in group 1"),
        ({"groups": [[0, 2]]}, "groups: got column 2, allowed: whole numbers from 0 to 1"),
        ({"groups": [[-1]]}, "groups: got column -1"),
        ({"X": np.zeros((9, 2))}, "X: got 9 rows"),
        ({"neighbours": 0}, "neighbours: got 0"),
    ],
)
def test_bad_input_of_the_blanket(changed, said):
    rng = np.random.default_rng(0)
    values = {"X": rng.standard_normal((10, 2)), "y": np.arange(10.0), **changed}
    values["X"] = np.asarray(values["X"])
    if "neighbours" in changed:  # looked at by the first test
        values["y"] = values["X"][:, 0]
    with pytest.raises(ValueError) as caught:
        markov_blanket(**values)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)
