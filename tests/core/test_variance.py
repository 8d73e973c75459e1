"""Variance components of nested levels: closed forms, oracles, and what is not defined."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from expunge.core.variance import decomposed, nested_mean, outermost
from tests.oracles import variance as oracle

numbers = st.floats(-1e3, 1e3, allow_nan=False).map(lambda x: round(x, 6))


def paths(table: np.ndarray) -> dict:
    return {index: float(table[index]) for index in np.ndindex(*table.shape)}


def estimates(found) -> list[float | None]:
    return [None if one is None else one.estimate for one in found.components]


def centred(effect: np.ndarray) -> np.ndarray:
    """Effects whose mean is 0 within each member of the level above."""
    return effect - effect.mean(axis=-1, keepdims=True)


def test_a_case_by_hand():
    """Two originals, two unlearnings, two evaluations: 10 i + 2 j + k, with effects 5, 1 and 1/2."""
    table = np.array([[[10 * i + 2 * j + k for k in (0, 1)] for j in (0, 1)] for i in (0, 1)], dtype=float)
    found = decomposed(paths(table))
    ms_e, ms_b, ms_a = 8 * 0.25 / 4, 8 * 1.0 / 2, 8 * 25.0 / 1
    assert estimates(found) == pytest.approx([(ms_a - ms_b) / 4, (ms_b - ms_e) / 2, ms_e])
    assert sum(one.share for one in found.components) == pytest.approx(1.0)
    assert (found.mean, found.error) == pytest.approx((6.5, np.sqrt(ms_a / 8)))
    reach = stats.t.ppf(0.975, 1) * found.error
    assert (found.low, found.high) == pytest.approx((6.5 - reach, 6.5 + reach))


@given(st.integers(2, 4), st.integers(2, 4), st.integers(2, 4), st.data())
def test_additive_data_give_their_own_components(i, j, k, data):
    """With effects centred within their parents each mean square is that of one kind of effect alone."""

    def draw(*shape: int) -> np.ndarray:
        size = int(np.prod(shape))
        return centred(np.array(data.draw(st.lists(numbers, min_size=size, max_size=size))).reshape(shape))

    a, b, e = draw(i), draw(i, j), draw(i, j, k)
    found = decomposed(paths(7.0 + a[:, None, None] + b[:, :, None] + e))
    ms_a, ms_b = j * k * np.sum(a**2) / (i - 1), k * np.sum(b**2) / (i * (j - 1))
    ms_e = np.sum(e**2) / (i * j * (k - 1))
    aim, near = [(ms_a - ms_b) / (j * k), (ms_b - ms_e) / k, ms_e], 1e-9 * (1 + ms_a + ms_b + ms_e)
    assert estimates(found) == pytest.approx(aim, rel=1e-9, abs=near)
    assert [one.variance for one in found.components] == [max(one, 0.0) for one in estimates(found)]
    assert found.mean == pytest.approx(7.0, abs=1e-9)


@given(st.integers(2, 4), st.integers(2, 3), st.integers(2, 3), st.integers(0, 2**32 - 1))
def test_balanced_tables_as_in_the_textbook(i, j, k, seed):
    table = np.random.default_rng(seed).normal(3.0, 2.0, (i, j, k))
    found = decomposed(paths(table))
    assert estimates(found) == pytest.approx(list(oracle.balanced(table)), abs=1e-10)
    assert found.mean == pytest.approx(table.mean())
    assert found.error == pytest.approx(np.std(table.mean(axis=(1, 2)), ddof=1) / np.sqrt(i))


@given(st.sets(st.tuples(*[st.integers(0, 2)] * 3), min_size=1), st.integers(0, 2**32 - 1))
def test_any_numbers_of_cells_as_by_dense_matrices(places, seed):
    names = sorted(places)
    y = np.random.default_rng(seed).normal(0.9, 0.1, len(names))
    aim = oracle.components(names, y)
    found = estimates(decomposed(dict(zip(names, y, strict=True))))
    assert [one is None for one in found] == [one is None for one in aim]
    known = [pair for pair in zip(found, aim, strict=True) if pair[0] is not None]
    assert [one for one, _ in known] == pytest.approx([one for _, one in known], abs=1e-10)


@pytest.mark.parametrize("missing", [0, 7])
def test_known_variances_come_out_of_many_drawings(missing):
    """The mean of 300 estimates is within 4 of its own standard errors, where cells are missing too."""
    rng, sizes, truth = np.random.default_rng(missing), (5, 3, 2), np.array([4.0, 1.0, 0.25])
    gone = {tuple(map(int, index)) for index in rng.permutation(list(np.ndindex(*sizes)))[:missing]}
    drawn = []
    for _ in range(300):
        a, b, e = rng.normal(size=5), rng.normal(size=(5, 3)), rng.normal(size=sizes)
        table = 100 + 2 * a[:, None, None] + b[:, :, None] + 0.5 * e
        drawn.append(estimates(decomposed({p: v for p, v in paths(table).items() if p not in gone})))
    errors = np.std(drawn, axis=0, ddof=1) / np.sqrt(len(drawn))
    assert np.all(np.abs(np.mean(drawn, axis=0) - truth) < 4 * errors)
    assert np.all(errors < 0.15 * (1 + truth))


def test_the_interval_covers_as_often_as_it_says():
    """Of the mean over 5 originals, 1000 drawings: 95% within 4 binomial standard errors."""
    rng, inside = np.random.default_rng(1), 0
    for _ in range(1000):
        a, b, e = rng.normal(size=5), rng.normal(size=(5, 2)), rng.normal(size=(5, 2, 2))
        found = decomposed(paths(1.0 + a[:, None, None] + b[:, :, None] + e))
        inside += found.low <= 1.0 <= found.high
    assert abs(inside / 1000 - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 1000)


def test_a_level_that_was_not_varied_has_no_part():
    rng = np.random.default_rng(2)
    one = decomposed(paths(rng.normal(size=(1, 3, 2))))  # one original: no interval of originals
    assert (one.components[0], one.error, one.low, one.high) == (None,) * 4
    assert one.components[1].share + one.components[2].share == pytest.approx(1.0)
    repeats = decomposed(paths(y := rng.normal(size=(4, 1, 1))))
    assert repeats.components[1:] == (None, None)
    assert repeats.components[0].estimate == pytest.approx(np.var(y, ddof=1))
    assert decomposed({(0, 0, 0): 3.0}).components == (None,) * 3


def test_a_negative_estimate_is_zero_and_told_apart():
    """Means of originals that are nearer to each other than their parts allow."""
    found = decomposed({(0, 0): 0.0, (0, 1): 2.0, (1, 0): 0.0, (1, 1): 2.0})
    assert (found.components[0].estimate, found.components[0].variance) == (-1.0, 0.0)
    assert (found.components[0].share, found.components[1].share) == (0.0, 1.0)


@pytest.mark.parametrize("value", [0.1, 1.0, 1e-300, 12345.678])
def test_equal_numbers_have_no_shares(value):
    found = decomposed({p: value for p in product(range(3), range(3), range(2))})
    assert [(one.estimate, one.share) for one in found.components] == [(0.0, None)] * 3
    assert (found.mean, found.error) == (pytest.approx(value), pytest.approx(0.0))


def test_what_is_rounding_is_no_variance():
    """Unlearnings that come to the same, up to the last digit of a sum, are not told apart by it."""
    table = {(i, j): 0.1 * i + sum([0.1] * 3) - (0.1 * 3) * j for i in range(3) for j in range(2)}
    table |= {(i, 1): table[i, 0] * (1 + 2**-52) for i in range(3)}
    assert [one.estimate > 0 for one in decomposed(table).components] == [True, False]


def test_members_count_alike_whatever_is_below_them():
    values = {(0, 0, 0): 1.0, (0, 1, 0): 3.0, (0, 1, 1): 5.0, (1, 0, 0): 10.0}
    assert outermost(values) == {0: (1.0 + 4.0) / 2, 1: 10.0}
    assert nested_mean(values) == 6.25
