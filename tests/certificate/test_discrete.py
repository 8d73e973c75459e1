"""Discrete Gaussian numbers: each decision against 400 digits, and what comes out against its law.

Where a statistic is looked at the bytes come from a seed, so that a test that passes once passes for ever; of
OpenDP's numbers alone, which nobody can draw again, one test in 10^9 would fail.
"""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from scipy import stats

from expunge.certificate.discrete import Proposals, discrete_gaussian, exp_between
from expunge.core.errors import BrokenInvariant, InvalidValue
from tests.oracles.indistinguishable import discrete_gaussian as probabilities

TINY = [2.0**-1022, 1e-200]
SCALES = [0.01, 0.3, 0.6, 1.0, 1.3, 3.7, 50.0, 2.0**20 / 3, 2.0**40, 2.0**47 / 1.001, 2.0**47]
ALL = 2**31  # the slack that sends every decision to the exact path
SURELY = 1e-9


@pytest.fixture(autouse=True, scope="module")
def of_400_digits():
    with mp.workdps(400):
        yield


def seeded(seed):
    return np.random.default_rng(seed).bytes


class Script:
    """These bytes first, then further ones in words of 8; it knows what it was asked for."""

    def __init__(self, first, further=()):
        self.first, self.further, self.asked = first, iter(further), []

    def __call__(self, size):
        self.asked.append(size)
        if len(self.asked) == 1:
            assert size == len(self.first)
            return self.first
        return next(self.further).to_bytes(size, "little")


def as_bytes(scale, z, k):
    """The words that propose these numbers and begin u with these 31 bits."""
    width = Proposals.of(scale).width
    places, coins = [], []
    for number, start in zip(z, k, strict=True):
        y = number if number >= 0 else -1 - number
        block, low = divmod(y, 2**width)
        places.append(1 << (width + block) | low)
        coins.append(int(start) | (number < 0) << 31)
    return np.array(places, "<u8").tobytes() + np.array(coins, "<u4").tobytes()


def chance(scale, z):
    """2^31 p of a proposal, from the equation."""
    proposals = Proposals.of(scale)
    block = (z if z >= 0 else -1 - z) >> proposals.width
    return mpf(2) ** (31 + block) * mp.exp(-(mpf(z) ** 2) / (2 * mpf(scale) ** 2)) / mpf(proposals.most)


def some_numbers(scale):
    """About zero, about the ends of blocks, and anywhere up to twelve of them."""
    width = Proposals.of(scale).width
    most = 12 * 2**width
    ends = {side + block * 2**width for block in range(13) for side in (-1, 0, 1)}
    anywhere = np.random.default_rng(0).integers(0, most, 10).tolist()
    return sorted({sign * z for z in (*ends, *anywhere) if 0 <= z < most for sign in (-1, 1)})


def first_rejected(scale, z, further, **how):
    """By halving, for each z: the smallest k that rejects it, where the other bits of u are ``further``."""
    low, high = np.zeros(len(z), int), np.full(len(z), 2**31)
    while (high - low > 0).any():
        k = (low + high) // 2
        source = Script(as_bytes(scale, z, np.minimum(k, 2**31 - 1)), itertools.repeat(further))
        kept = np.isin(z, Proposals.of(scale).accepted(len(z), source, **how)) & (k < 2**31)
        low, high = np.where(kept, np.minimum(k + 1, high), low), np.where(kept, high, k)
    return low


@pytest.mark.parametrize("scale", SCALES)
def test_a_number_is_accepted_with_its_probability_to_the_last_bit(scale):
    """Of 2^31 beginnings of u it is as many, with next to nothing, and with all but all, behind them.

    The law follows, without a draw: what is proposed is proposed with the probability of its bits.
    """
    z = some_numbers(scale)
    exact = [chance(scale, number) for number in z]
    least = mpf(2) ** -64 / (1 - mpf(2) ** -64)  # of words that are 1, for ever
    assert first_rejected(scale, z, 1).tolist() == [max(0, int(mp.ceil(p - least))) for p in exact]
    assert first_rejected(scale, z, 2**64 - 1).tolist() == [int(mp.floor(p)) for p in exact]
    assert max(exact) <= 2**31


@pytest.mark.parametrize("scale", [0.3, 3.7, 2.0**47 / 1.001])
def test_a_decision_by_exact_arithmetic_is_the_same(scale):
    z = some_numbers(scale)[::3]
    assert (first_rejected(scale, z, 1, slack=ALL) == first_rejected(scale, z, 1)).all()


@pytest.mark.parametrize("scale", SCALES)
def test_float64_alone_would_be_off_by_one_at_most(scale):
    """In 2^31, where 33 are allowed for: numpy's exp is as good here as is relied on, and far better."""
    z = some_numbers(scale)
    off = first_rejected(scale, z, 1, slack=-1) - [int(mp.floor(chance(scale, number))) for number in z]
    assert np.abs(off).max() <= 1


@pytest.mark.parametrize("off", [2.0**-26, -(2.0**-26)])
def test_an_exp_that_is_as_wrong_as_is_allowed_for_changes_nothing(off, monkeypatch):
    scale, exp = 3.7, np.exp
    z = some_numbers(scale)
    right = first_rejected(scale, z, 1)
    monkeypatch.setattr(np, "exp", lambda x: exp(x) * (1 + off))
    assert np.abs(first_rejected(scale, z, 1, slack=-1) - right).max() > 10
    assert (first_rejected(scale, z, 1) == right).all()


@given(power=st.fractions(-(10**6), 3) | st.just(Fraction(0)), digits=st.integers(12, 60))
def test_exp_lies_between_its_limits_and_they_are_close(power, digits):
    low, high = (mpf(str(limit)) for limit in exp_between(power, digits))
    exact = mp.exp(mpf(power.numerator) / power.denominator)
    assert low < exact < high
    assert high - low <= exact * (abs(mpf(power.numerator) / power.denominator) + 2) * mpf(10) ** (2 - digits)


@settings(max_examples=150, deadline=None)
@given(
    scale=st.floats(1e-3, 2.0**47) | st.floats(0.1, 100) | st.sampled_from(SCALES),
    block=st.integers(0, 40),
    place=st.integers(0, 2**47),
    negative=st.booleans(),
    near=st.integers(-2, 2),
    k=st.none() | st.integers(0, 2**31 - 1),
    further=st.lists(st.integers(0, 2**64 - 1), min_size=3, max_size=3),
    frac=st.integers(-2, 2) | st.none(),
)
def test_a_decision_is_that_of_400_digits(scale, block, place, negative, near, k, further, frac):
    """Of any k, and of those about 2^31 p; with any further bits, and with those nearest to the rest of p."""
    proposals = Proposals.of(scale)
    y = min(block, 62 - proposals.width) * 2**proposals.width + place % 2**proposals.width
    z = -1 - y if negative else y
    limit = chance(scale, z)
    if k is None:
        k = min(max(int(mp.floor(limit)) + near, 0), 2**31 - 1)
    if frac is not None:
        further[0] = min(max(int(mp.floor((limit - mp.floor(limit)) * 2**64)) + frac, 0), 2**64 - 1)
    words = [*further, *[1] * 4]
    u = k + sum(mpf(word) / mpf(2) ** (64 * i) for i, word in enumerate(words, 1))
    source = Script(as_bytes(scale, [z], [k]), words)
    kept = proposals.accepted(1, source).tolist()
    assert kept == ([z] if u < limit else [])
    assert (len(source.asked) > 1) == (k < limit < k + 1)
    assert proposals.accepted(1, Script(as_bytes(scale, [z], [k]), words), ALL).tolist() == kept


@settings(max_examples=60, deadline=None)
@given(scale=st.floats(1e-3, 2.0**47) | st.sampled_from(SCALES), seed=st.integers(0, 2**32))
def test_the_way_of_a_decision_does_not_matter(scale, seed):
    """The same bytes by float64 where it is sure, and all by exact arithmetic."""
    proposals, first = Proposals.of(scale), seeded(seed)(12 * 20)
    ways = [
        proposals.accepted(20, Script(first, itertools.repeat(seed << 20 | 1)), slack) for slack in (64, ALL)
    ]
    assert (ways[0] == ways[1]).all()


def test_every_number_is_proposed_as_often_as_its_block_says():
    """All patterns of 12 bits, both sides of the coin, and u = 0, so that none is rejected: counted."""
    scale = 50.0  # blocks of 32
    patterns = np.arange(2**12)
    places = np.concatenate([patterns, patterns]) | 1 << 12
    coins = np.repeat([0, 2**31], len(patterns))
    first = places.astype("<u8").tobytes() + coins.astype("<u4").tobytes()
    z = Proposals.of(scale).accepted(len(places), Script(first, itertools.repeat(0)))
    assert len(z) == len(places)
    for block in range(12 - 5):
        for y in range(32 * block, 32 * (block + 1)):
            assert (z == y).sum() == (z == -1 - y).sum() == 2 ** (12 - 5 - block - 1)


def test_bits_that_do_not_suffice_are_followed_by_more():
    """A word of zeros to its end goes on in others; so does u where 31 bits leave both sides of p open."""
    scale = np.nextafter(2.0**47, 0)  # blocks of 2^46
    low = 2**45 + 5
    first = np.array([low], "<u8").tobytes() + np.array([0], "<u4").tobytes()
    source = Script(first, [0, 2**5, *[0] * 40])
    assert Proposals.of(scale).accepted(1, source).tolist() == [(18 + 64 + 5) * 2**46 + low]
    assert source.asked[:3] == [12, 8, 8]
    limit = chance(scale, low)
    k, rest = int(mp.floor(limit)), int((limit - mp.floor(limit)) * 2**128)
    above, below = divmod(rest, 2**64)
    for last, kept in ((below - 1, [low]), (below + 1, [])):
        source = Script(as_bytes(scale, [low], [k]), [above, last])
        assert Proposals.of(scale).accepted(1, source).tolist() == kept
        assert source.asked == [12, 8, 8]


@pytest.mark.parametrize("scale", TINY)
def test_of_a_tiny_scale_all_is_zero_but_for_one_in_more_than_can_be_counted(scale):
    z, k = [0, 1, -1, 30], [2**31 - 2**13, 0, 0, 0]
    for slack in (64, ALL):
        source = Script(as_bytes(scale, z, k), [0, 0, 1, 0, 1, 1])
        assert Proposals.of(scale).accepted(4, source, slack).tolist() == [0]


def test_a_generator_of_zeros_is_no_generator():
    with pytest.raises(BrokenInvariant, match="generator of random bits"):
        discrete_gaussian(3, 5.0, bytes)


@pytest.mark.parametrize("scale", [0.01, 0.3, 1.0, 3.7, 50.0])
def test_numbers_have_their_law(scale):
    draws = 1_000_000
    z = discrete_gaussian(draws, scale, seeded(int(100 * scale)))
    law = probabilities(scale)
    reach = len(law) // 2
    counts, means = np.bincount(z + reach, minlength=len(law)), law * draws
    enough = means >= 10
    assert counts[~enough].sum() <= means[~enough].sum() + 40
    if enough.sum() == 1:
        assert counts[enough] == draws  # of .01 any other number is one in e^5000
    else:
        assert (
            stats.chisquare(counts[enough], means[enough] * counts[enough].sum() / means[enough].sum()).pvalue
            > SURELY
        )


@pytest.mark.parametrize("scale", [2.0**20, 2.0**20 * 1.999, 2.0**40, 2.0**40 * 1.37, 2.0**47])
def test_of_large_scales_the_low_digits_are_uniform_and_the_rest_is_normal(scale):
    z = discrete_gaussian(400_000, scale, seeded(int(scale) % 1000))
    for modulus in (2, 3, 7, 16, 1024):
        assert stats.chisquare(np.bincount(z % modulus, minlength=modulus)).pvalue > SURELY, modulus
    assert stats.chisquare(np.bincount((z >> 4) % 256, minlength=256)).pvalue > SURELY
    x = z / scale
    assert stats.kstest(x, "norm").pvalue > SURELY
    assert abs(x.mean()) * np.sqrt(len(x)) < 6
    assert abs((x**2).mean() - 1) * np.sqrt(len(x) / 2) < 6
    assert abs((x**4).mean() - 3) * np.sqrt(len(x) / 96) < 6
    near, far = (np.histogram(part, np.linspace(-4, 4, 81))[0] for part in np.split(x, 2))
    assert stats.chi2_contingency([near[near > 5], far[near > 5]]).pvalue > SURELY, "first and later ones"


@pytest.mark.parametrize("scale", [3.7, 2.0**30 / 3])
def test_opendp_draws_from_the_same_law(scale):
    import opendp.prelude as dp

    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="i64")
    theirs = np.array((space >> dp.m.then_gaussian(scale=scale))([0] * 20_000))
    ours = discrete_gaussian(400_000, scale, seeded(1))
    if scale > 100:
        assert stats.ks_2samp(theirs, ours).pvalue > SURELY
        theirs, ours = theirs % 16, ours % 16
    table = np.array([[(part == z).sum() for z in np.unique(ours)] for part in (theirs, ours)])
    assert stats.chi2_contingency(table[:, table.sum(axis=0) > 200]).pvalue > SURELY


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(0, 300) | st.just(20_000),
    scale=st.floats(2.0**-1022, 2.0**47) | st.sampled_from(SCALES + TINY) | st.integers(1, 2**47),
    seed=st.integers(0, 2**32),
)
def test_as_many_as_are_asked_for_and_the_same_of_the_same_bytes(size, scale, seed):
    z = discrete_gaussian(size, scale, seeded(seed))
    assert (z.shape, z.dtype) == ((size,), np.int64)
    assert (np.abs(z) <= 1 + 20 * scale).all()
    assert (z == discrete_gaussian(size, scale, seeded(seed))).all()


@pytest.mark.parametrize("scale", SCALES + TINY)
def test_few_bytes_are_asked_for_and_seldom(scale):
    """As much is accepted as is said, so that one call of the generator, of 12 / rate bytes each, will do."""
    asked = []
    bits = seeded(3)

    def counting(size):
        asked.append(size)
        return bits(size)

    for _ in range(100):
        discrete_gaussian(784, scale, counting)
    assert len(asked) < 110
    assert sum(asked) / 78_400 < (30 if scale >= 1 else 58)
    proposals = Proposals.of(scale)
    assert 0.25 * (1 - 1e-5) <= proposals.rate < 0.58
    assert proposals.rate >= 0.48 or scale < 1
    found = proposals.accepted(100_000, bits).size / 100_000
    assert 0.99 < found / proposals.rate < (1.02 if not 0.3 < scale < 1 else 1.15)


@pytest.mark.parametrize(
    "scale", [np.nan, np.inf, 0, -1.0, np.nextafter(2.0**47, np.inf), 2.0**-1023, "1", True, None, [1.0]]
)
def test_a_scale_out_of_range_is_refused(scale):
    with pytest.raises(InvalidValue, match="scale: got"):
        discrete_gaussian(2, scale)
