"""From (epsilon, delta) to distance over noise and back, for any number of releases, by other derivations."""

import sys
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

from expunge.certificate.guarantee import gaussian_profile
from expunge.certificate.indistinguishable import NOISES, epsilon_after, ratio
from expunge.core.errors import InvalidValue
from tests.oracles.indistinguishable import delta_together, discrete_gaussian, hockey_stick, normal_delta

SETTINGS = [(1.0, 1e-5), (1e-3, 1e-12), (50.0, 1e-12), (0.1, 1e-2), (8.0, 0.3), (1e-3, 1e-300)]
epsilons = st.floats(-6, 3).map(lambda x: max(10.0**x, 1e-6))
deltas = st.one_of(st.floats(-300, -1).map(lambda x: 10.0**x), st.floats(0.01, 0.99))
releases = st.one_of(st.integers(1, 20), st.integers(1, 10**9))


@pytest.mark.parametrize("noise", NOISES)
@settings(max_examples=60, deadline=None)
@given(epsilon=epsilons, delta=deltas, k=releases)
def test_ratio_is_the_largest_that_60_digits_allow(noise, epsilon, delta, k):
    allowed = ratio(epsilon, delta, k, noise)
    assert delta_together(noise, allowed, k, epsilon) <= delta
    assert delta_together(noise, allowed * (1 + 1e-7), k, epsilon) > delta, "tight to 1e-7"


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("delta", [5e-324, 1e-308, 1 - 1e-6, 1 - 2.0**-53])
@pytest.mark.parametrize("epsilon", [1e-6, 1.0, 1e6])
def test_the_ends_of_the_range_are_no_exception(noise, delta, epsilon):
    allowed = ratio(epsilon, delta, 1, noise)
    assert delta_together(noise, allowed, 1, epsilon) <= delta
    assert delta_together(noise, allowed, 1, epsilon_after(allowed, delta, 1, noise)) <= delta


@pytest.mark.parametrize("noise", NOISES)
@settings(max_examples=60, deadline=None)
@given(each=st.floats(-9, 1).map(lambda x: 10.0**x), delta=deltas, k=releases)
def test_epsilon_is_the_smallest_that_60_digits_allow(noise, each, delta, k):
    epsilon = epsilon_after(each, delta, k, noise)
    assert delta_together(noise, each, k, epsilon) <= delta
    below = epsilon * (1 - 1e-7) - 1e-12
    assert below < 0 or delta_together(noise, each, k, below) > delta, "tight to 1e-7"


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(("epsilon", "delta"), SETTINGS)
def test_epsilon_rises_with_every_release_to_the_promised_one(noise, epsilon, delta):
    for k in (1, 7, 11981):
        each = ratio(epsilon, delta, k, noise)
        counts = sorted({*range(min(k, 100)), *range(max(k - 100, 0), k + 1)})
        spent = [epsilon_after(each, delta, count, noise) for count in counts]
        assert spent[0] == 0
        assert spent == sorted(spent)
        assert spent[-1] == pytest.approx(epsilon, rel=1e-7)
        assert epsilon_after(each, delta, k + 1, noise) > epsilon


@given(epsilon=epsilons, delta=deltas, k=releases)
@settings(max_examples=100, deadline=None)
def test_lattice_noise_is_never_promised_to_hide_more_than_the_normal(epsilon, delta, k):
    lattice, normal = ratio(epsilon, delta, k, "lattice"), ratio(epsilon, delta, k, "float")
    assert 0 < lattice <= normal


@pytest.mark.parametrize(("epsilon", "shift"), [(1.0, 0.3), (0.01, 0.05), (5.0, 2.5), (0.0, 1.0)])
def test_the_profile_is_the_integral_of_what_one_density_exceeds_the_other_by(epsilon, shift):
    with mp.workdps(30):
        start = (
            mpf(epsilon) / shift + mpf(shift) / 2
        )  # from here on the shifted density is e^eps times the other
        excess = mp.quad(
            lambda x: mp.npdf(x, shift) - mp.exp(epsilon) * mp.npdf(x), mp.linspace(start, start + 15, 8)
        )
    assert gaussian_profile(epsilon, shift) == pytest.approx(float(excess), rel=1e-12)
    assert float(normal_delta(epsilon, shift)) == pytest.approx(float(excess), rel=1e-12)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"epsilon": 0.0}, "epsilon"),
        ({"epsilon": 9e-7}, "epsilon"),
        ({"epsilon": float("nan")}, "epsilon"),
        ({"delta": 0.0}, "delta"),
        ({"delta": 1.0}, "delta"),
        ({"releases": 0}, "releases"),
        ({"releases": 2.5}, "releases"),
        ({"noise": "laplace"}, "noise"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(change, name):
    with pytest.raises(InvalidValue) as error:
        ratio(**({"epsilon": 1.0, "delta": 1e-4, "releases": 3, "noise": "lattice"} | change))
    assert error.value.name == name


# -- another library ---------------------------------------------------------------------------------------


def dp_accounting():
    """Another account of the same noise, or a skip.

    Its logger closes, once logging is set up anew, the stream that was standard error when it was imported:
    under pytest the one that captures the output of every later test.
    """
    library = pytest.importorskip("dp_accounting", reason="another account of the same noise")
    from absl import logging

    logging.get_absl_handler().python_handler.stream = sys.__stderr__
    return library


@pytest.mark.parametrize(("epsilon", "delta"), [(1.0, 1e-5), (0.1, 1e-2), (8.0, 1e-9)])
@pytest.mark.parametrize("k", [1, 40])
def test_dp_accounting_agrees(epsilon, delta, k):
    """Gaussian noise in closed form, and zCDP by its own search over orders."""
    library = dp_accounting()
    normal = ratio(epsilon, delta, k, "float")
    assert library.get_epsilon_gaussian(1 / (normal * sqrt(k)), delta) == pytest.approx(epsilon, rel=1e-6)
    each = ratio(epsilon, delta, k, "lattice")
    orders = 1 + np.geomspace(1e-2, 1e3, 4000)
    accountant = library.rdp.RdpAccountant(orders).compose(library.ZCDpEvent(each**2 / 2), k)
    assert accountant.get_epsilon(delta) == pytest.approx(epsilon, rel=1e-4)


@pytest.mark.parametrize("k", [3, 30])
def test_releases_together_are_as_dp_accounting_convolves_them(k):
    """The law of the summed privacy loss of k releases, convolved, against mu sqrt(k) and k rho."""
    library = dp_accounting()
    sigma, delta = 12.0, 1e-6
    normal = library.pld.PLDAccountant().compose(library.GaussianDpEvent(sigma), k).get_epsilon(delta)
    assert epsilon_after(1 / sigma, delta, k, "float") == pytest.approx(normal, rel=1e-3)
    loss = library.pld.privacy_loss_distribution.from_discrete_gaussian_mechanism(sigma)
    discrete = loss.self_compose(k).get_epsilon_for_delta(delta)
    claimed = epsilon_after(1 / sigma, delta, k, "lattice")
    assert discrete <= claimed <= 1.25 * discrete


# -- enumeration -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("vector", [(1,), (3,), (1, 1), (2, -1)])
def test_two_discrete_gaussians_are_as_near_as_is_claimed(scale, vector):
    """All points with a probability above 1e-300, in one and two dimensions."""
    p, q = np.ones(1), np.ones(1)
    for step in vector:
        p = np.multiply.outer(p, discrete_gaussian(scale, step))
        q = np.multiply.outer(q, discrete_gaussian(scale))
    for delta in (0.3, 1e-2, 1e-5, 1e-9):
        epsilon = epsilon_after(float(np.linalg.norm(vector)) / scale, delta, 1, "lattice")
        assert hockey_stick(p, q, epsilon) <= delta
        assert hockey_stick(q, p, epsilon) <= delta


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_a_second_request_chosen_after_the_first_release_gains_nothing(scale):
    """The observer who sees the first release picks what makes the second most telling, for every outcome.

    Exact: given the first outcome x the pair is (p(x) p', q(x) q'), and each x takes its worst distance.
    """
    p, q = discrete_gaussian(scale, 1), discrete_gaussian(scale)
    seconds = {step: discrete_gaussian(scale, step) for step in (-1, 0, 1)}
    for delta in (0.3, 1e-2, 1e-5):
        epsilon = epsilon_after(1 / scale, delta, 2, "lattice")
        exact = sum(
            max(hockey_stick(a * second, b * q, epsilon) for second in seconds.values())
            for a, b in zip(p, q, strict=True)
        )
        assert hockey_stick(p, q, epsilon) < exact <= delta


@pytest.mark.parametrize("noise", NOISES)
def test_an_epsilon_that_says_nothing_is_refused(noise):
    assert epsilon_after(ratio(1e9, 1e-5, 3, noise), 1e-5, 3, noise) <= 1e9 * (1 + 1e-8)
    with pytest.raises(InvalidValue, match=r"epsilon: got 1e\+50, allowed: .*at most 1e\+09"):
        ratio(1e50, 1e-5, 3, noise)
    with pytest.raises(
        InvalidValue, match=r"releases: got 10{15}.*, allowed: a whole number from 1 to 10{12}$"
    ):
        ratio(1.0, 1e-5, 10**320, noise)
