"""Noise at release: its law, and what the low bits of what is released tell of the model inside."""

import os
from concurrent.futures import ThreadPoolExecutor
from math import sqrt

import numpy as np
import pytest
from scipy import stats

from expunge.certificate.discrete import discrete_gaussian
from expunge.certificate.lattice import on_lattice, with_float_noise
from expunge.core.errors import BrokenInvariant
from tests.oracles.indistinguishable import discrete_gaussian as probabilities

STEP = 2.0**-7
SURELY = 1e-9  # the noise is the system's: no two runs of a test see the same


def chi_square(counts, expected):
    """p-value of counts against what is expected, cells of fewer than 10 put together with the next."""
    seen, wanted, kept = [0.0], [0.0], []
    for count, mean in zip(counts, expected, strict=True):
        seen[-1], wanted[-1] = seen[-1] + count, wanted[-1] + mean
        if wanted[-1] >= 10:
            kept.append((seen[-1], wanted[-1]))
            seen, wanted = [0.0], [0.0]
    rest = (kept[-1][0] + seen[-1], kept[-1][1] + wanted[-1])
    table = np.array([*kept[:-1], rest])
    return stats.chisquare(table[:, 0], table[:, 1] * table[:, 0].sum() / table[:, 1].sum()).pvalue


@pytest.mark.parametrize(("scale", "draws"), [(0.5, 200_000), (1.0, 300_000), (3.0, 500_000)])
def test_what_is_published_has_the_law_that_is_enumerated(scale, draws):
    """10^6 draws in all, about models that lie anywhere: W / g - rint(w / g) has the same law for each."""
    rng = np.random.default_rng(draws)
    whole = rng.integers(-(2**40), 2**40, size=draws)
    w = (whole + rng.uniform(-0.49, 0.49, size=draws)) * STEP
    steps = on_lattice(w.reshape(-1, 10), scale * STEP, STEP).ravel() / STEP - whole
    law = probabilities(scale)
    reach = len(law) // 2
    counts = np.bincount(steps.astype(int) + reach, minlength=len(law))
    assert (steps == np.rint(steps)).all()
    assert counts.sum() == draws
    assert chi_square(counts, law * draws) > SURELY
    near, far = (np.bincount(part.astype(int) + reach, minlength=len(law)) for part in np.split(steps, 2))
    used = near + far >= 10
    assert stats.chi2_contingency([near[used], far[used]]).pvalue > SURELY


def test_shape_and_lattice_are_kept():
    w = np.random.default_rng(0).normal(size=(7, 3))
    published = on_lattice(w, 1e-3, 2.0**-30)
    assert published.shape == w.shape
    assert published.dtype == np.float64
    assert (published * 2.0**30 == np.rint(published * 2.0**30)).all()
    assert 0 < np.abs(published - w).max() < 1e-2
    assert (published != on_lattice(w, 1e-3, 2.0**-30)).any(), "drawn afresh"


@pytest.mark.parametrize("strange", [np.nan, np.inf, 2.0**53])
def test_what_has_no_place_on_the_lattice_is_no_release(strange):
    with pytest.raises(BrokenInvariant, match="the model"):
        on_lattice(np.array([0.0, strange]), 1.0, 1.0)


def test_threads_draw_side_by_side():
    with ThreadPoolExecutor(4) as pool:
        draws = list(pool.map(lambda _: discrete_gaussian(2, 1e9), range(200)))
    assert len(np.unique(draws)) == 400


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_draws_other_noise():
    """A generator that two workers have in common would cancel in the difference of what they release."""
    discrete_gaussian(1, 1e9)
    end, start = os.pipe()
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            try:
                os.write(start, discrete_gaussian(4, 1e9).tobytes())
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    draws = [os.read(end, 32) for _ in range(2)] + [discrete_gaussian(4, 1e9).tobytes()]
    os.close(end)
    os.close(start)
    assert len(set(draws)) == 3


# -- low bits ----------------------------------------------------------------------------------------------
# Two candidate models a millionth of the noise apart, both known to the attacker, who is to tell which of
# them was released. The promise leaves next to nothing to tell. Low bits do: where w + s z cancels, W has
# finer bits than the z that would lead from the other candidate to W, and no float64 is that z.

TRIALS, DIM, STD, GRID = 600, 48, 1e-3, 2.0**-36
APART = 1e-6 * STD


def not_rounded(w):
    """The planted fault: exact noise, on a model that is not on the lattice."""
    return w + GRID * discrete_gaussian(w.size, STD / GRID).reshape(w.shape)


def candidates():
    rng = np.random.default_rng(0)
    one, direction = rng.normal(size=(2, DIM))
    return STD * one, STD * one + direction * (APART / np.linalg.norm(direction))


def witnesses(released, candidate):
    """From how many coordinates of the candidate a float64 leads to W, and how many by whole steps."""
    steps = (released - candidate) / GRID
    return (
        (candidate + (released - candidate) == released).sum(axis=1),
        (np.abs(steps - np.rint(steps)) < 1e-9).sum(axis=1),
    )


def advantage(publish):
    """P(says one | one) - P(says one | other), and a lower limit (Clopper-Pearson, 99.9% each).

    The attacker says the candidate with more witnesses, and the nearer where they have as many.
    """
    one, other = candidates()
    says = []
    for truth in (one, other):
        released = publish(np.broadcast_to(truth, (TRIALS, DIM)))
        lead = ((released - other) ** 2 - (released - one) ** 2).sum(axis=1)
        for ours, theirs in zip(witnesses(released, one), witnesses(released, other), strict=True):
            lead = np.where(ours == theirs, lead, ours - theirs)
        says.append(int((lead > 0).sum()))
    low, high = (stats.binomtest(said, TRIALS).proportion_ci(0.998) for said in says)
    return (says[0] - says[1]) / TRIALS, low.low - high.high


def most_that_is_promised():
    """Total variation <= sqrt(KL / 2) <= sqrt(rho / 2) = ratio / 2, whatever the attacker does."""
    return (APART + GRID * sqrt(DIM)) / STD / 2


def test_low_bits_tell_two_models_apart_under_float_noise():
    told, surely = advantage(lambda w: with_float_noise(w, STD, np.random.default_rng(1)))
    assert surely > 0.9, told


def test_low_bits_tell_two_models_apart_that_were_not_moved_to_the_lattice():
    told, surely = advantage(not_rounded)
    assert surely > 0.9, told


def test_on_the_lattice_low_bits_tell_nothing():
    told, surely = advantage(lambda w: on_lattice(w, STD, GRID))
    assert surely <= most_that_is_promised() < 1e-4
    assert abs(told) < 0.15, "as far as 1,200 fair coins go"


def test_the_lowest_bits_of_what_is_released_are_uniform_whichever_model_it_was():
    counts = []
    for truth in (*candidates(), np.zeros(DIM)):
        released = on_lattice(np.broadcast_to(truth, (200, DIM)), STD, GRID)
        counts.append(np.bincount((released / GRID).astype(int).ravel() % 16, minlength=16))
        assert stats.chisquare(counts[-1]).pvalue > SURELY
    assert stats.chi2_contingency(counts).pvalue > SURELY
