"""Rounding outward, against rational numbers: the nearest float64 on the safe side, not the one before."""

from fractions import Fraction
from math import inf, isnan, nan, nextafter
from sys import float_info

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from expunge.certificate import outward

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TINY = Fraction(1, 10**400)
ODD = [0.0, 5e-324, 1.5e-323, 2.2250738585072014e-308, 1e-161, 0.1, 1 / 3, 1.0, 1 + 2**-52, 3e160, 1.7e308]
WHOLE = st.integers(1, 2**70)
RATIONALS = st.one_of(
    st.fractions(),
    FLOATS.map(Fraction),
    st.builds(lambda x, sign: Fraction(x) + sign * TINY, FLOATS, st.sampled_from([-1, 1])),
    st.builds(lambda x, y: (Fraction(x) + Fraction(y)) / 2, FLOATS, FLOATS),
    st.builds(lambda p, q, e: Fraction(p, q) * Fraction(2) ** e, WHOLE, WHOLE, st.integers(-1200, 1200)),
)
VECTORS = arrays(np.float64, st.integers(0, 12), elements=st.one_of(FLOATS, st.sampled_from(ODD)))


def is_least(result, above):
    """Whether ``result`` is the smallest float64 of which ``above`` (of an exact number) is true."""
    assert not isnan(result)
    reaches = result == inf or above(Fraction(result))
    below = nextafter(result, -inf)
    return reaches and (below == -inf or not above(Fraction(below)))


def check_up(x):
    assert is_least(outward.up(x), lambda r: r >= x)


def check_down(x):
    assert is_least(-outward.down(x), lambda r: -r <= x)


def check_root_up(x):
    assert is_least(outward.root_up(abs(x)), lambda r: r >= 0 and r * r >= abs(x))


def check_sum_up(numbers):
    assert is_least(outward.sum_up(*numbers), lambda r: r >= sum(map(Fraction, numbers)))


def check_norm_up(vector):
    square = sum(Fraction(x) ** 2 for x in vector.ravel().tolist())
    assert is_least(outward.norm_up(vector), lambda r: r >= 0 and r * r >= square)


@given(RATIONALS)
@settings(max_examples=300, deadline=None)
def test_a_rational_number_and_its_root_are_bounded_by_the_nearest_float(x):
    check_up(x)
    check_down(x)
    check_root_up(x)
    check_root_up(x * x)


@given(st.lists(FLOATS, max_size=8))
@settings(max_examples=200, deadline=None)
def test_a_sum_is_bounded_by_the_nearest_float(numbers):
    check_sum_up(numbers)


@given(VECTORS)
@settings(max_examples=200, deadline=None)
def test_a_norm_is_bounded_by_the_nearest_float(vector):
    check_norm_up(vector)


@pytest.mark.parametrize("scale", [1e-320, 1e-161, 1e-8, 1.0, 1e150, 1e304])
def test_a_norm_of_a_model_of_ten_classes(scale):
    vector = np.random.default_rng(0).normal(size=(784, 10)) * scale
    check_norm_up(vector)
    check_norm_up(np.asfortranarray(vector)[::2])


@given(VECTORS)
@settings(max_examples=50, deadline=None)
def test_a_norm_does_not_depend_on_how_many_entries_are_zero(vector):
    """Few entries are summed another way."""
    assert outward.norm_up(vector) == outward.norm_up(np.concatenate([np.ravel(vector), np.zeros(40)]))


def test_what_is_no_finite_number_bounds_nothing():
    for strange in (nan, inf, -inf):
        assert outward.sum_up(1.0, strange) == inf
        assert outward.norm_up(np.array([1.0, strange])) == inf
    assert outward.up(Fraction(float_info.max) + TINY) == inf
    assert outward.up(-(Fraction(10) ** 400)) == -float_info.max
    assert outward.sum_up(float_info.max, float_info.max) == inf
    assert outward.sum_up() == outward.norm_up(np.empty(0)) == 0


THIRD, HUGE = Fraction(1, 3), Fraction(10) ** 200
INEXACT = {  # of each the exact value is no float64, so that both of its neighbours are at stake
    "up": (check_up, [THIRD, -THIRD, 1 + TINY, 3 * TINY, HUGE + 1]),
    "down": (check_down, [THIRD, -THIRD, 1 - TINY, -TINY, HUGE - 1]),
    "root_up": (check_root_up, [Fraction(2), 1 + TINY, TINY, 10 * HUGE**2, THIRD / HUGE]),
    "sum_up": (check_sum_up, [[0.1, 0.2], [1.0, 5e-324], [1e300, 1.0, -5e-324], [1e16, 1.0, 1e-16]]),
    "norm_up": (check_norm_up, list(map(np.array, ([1.0, 1.0], [1.0, 1e-200], [3e-170, 1e-171])))),
}


@pytest.mark.parametrize("direction", [-inf, inf])
@pytest.mark.parametrize("name", INEXACT)
def test_one_unit_in_the_last_place_either_way_would_be_found(name, direction, monkeypatch):
    """A planted fault: every one of these checks fails, where without it every one holds."""
    check, cases = INEXACT[name]
    right = getattr(outward, name)
    for case in cases:
        check(case)
    monkeypatch.setattr(outward, name, lambda *given: nextafter(right(*given), direction))
    for case in cases:
        with pytest.raises(AssertionError):
            check(case)
