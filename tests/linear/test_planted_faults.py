"""Whether a bound that is a little too small would be seen, and how little.

What is rounded exactly is seen at one unit in the last place (``tests/certificate`` has the rounding itself,
the sensitivity and the budget). What has slack, since its formula cannot be had exactly, is seen from where
the slack ends: ``SLACK`` says where that is.
"""

from dataclasses import replace
from fractions import Fraction
from math import inf, nextafter

import numpy as np
import pytest
from scipy.special import lambertw

from expunge.certificate import Account, Guarantee, StepFacts, account, indistinguishable
from expunge.certificate.bounds import INCREMENTS
from expunge.linear import logistic, rounding
from expunge.linear.logistic import LogisticProblem
from expunge.linear.rounding import Rounding
from tests.oracles.indistinguishable import delta_together
from tests.problems import make

SIZES = [(1, 1, 1, 1e-3, 0.0), (40, 60, 5, 1e-2, 0.3), (2000, 5000, 784, 0.1, 1.7), (3, 9, 2, 1 / 3, 1e-9)]
LENGTHS = (0.0, 0.1, 52.77, 1e9)


def is_least_above(found, exact):
    return Fraction(found) >= exact > Fraction(nextafter(found, -inf))


def formula(n, places, dim, lam, b, length):
    """What a gradient is charged for its rounding, as ``Rounding`` says it, times 1 + 2^-20."""
    r, lam, b = map(Fraction, (length, lam, b))
    n, blocks = Fraction(n), Fraction(places) / 1024
    depth = min(n, Fraction(1024)) / 2 + 16 + 55 * dim / Fraction(100) + min(n, 1 + blocks)
    total = (dim + 8) * n * r / 4 + depth * n + 8 * (n + lam * n * r + b)
    return (1 + Fraction(1, 2**20)) * total / 2**53


def check_of_gradient():
    for *size, lam, b in SIZES:
        for length in LENGTHS:
            found = Rounding(*size, lam, b).of_gradient_at(length)
            assert is_least_above(found, formula(*size, lam, b, length))


def check_certified():
    """At gradients of which the sum with the rounding is rounded up by more and by less than half a unit."""
    problem = make(3, n=60, d=2)
    for seed in range(40):
        w, gradient = np.random.default_rng(seed).normal(size=(2, 2))
        gradient[1] *= seed % 2
        beta = Fraction(problem.certified(w, gradient)) - Fraction(problem.rounding(w))
        assert beta >= 0
        assert beta**2 >= sum(Fraction(g) ** 2 for g in gradient.tolist())


FACTS = StepFacts(1, 99, 0.01, 0.1, False, 0.5, 2.0, 0.3, 0.7, 0.2, 0.1, 1e-9)


def check_after():
    for certificate, increment in INCREMENTS.items():
        before = Account(Guarantee(1.0, 1e-4, 1.0, 3), certificate, 0.1)
        for facts in (FACTS, replace(FACTS, tau=1 / 3)):
            parts = (0.1, increment(facts), facts.tau, facts.rounding)
            assert is_least_above(before.after(facts).beta, sum(map(Fraction, parts)))


def check_joint():
    for betas in ((0.1, 0.2, 0.3), (1e-9, 1 / 3), (5.0, 7.0)):
        one = Account(Guarantee(1.0, 1e-4, 1.0, 3), "measured", 0.0)
        found = Fraction(account.joint([replace(one, beta=beta) for beta in betas]).beta)
        square = sum(Fraction(beta) ** 2 for beta in betas)
        assert found**2 >= square > Fraction(nextafter(found, 0)) ** 2


ONE_UNIT = {
    "of_gradient": (rounding, "up", check_of_gradient),
    "certified, its norm": (logistic, "norm_up", check_certified),
    "certified, its sum": (logistic, "sum_up", check_certified),
    "certified, its rounding": (LogisticProblem, "certified", check_certified),
    "after": (account, "sum_up", check_after),
    "joint": (account, "norm_up", check_joint),
}


@pytest.mark.parametrize("fault", ONE_UNIT)
def test_one_unit_in_the_last_place_too_little_is_seen(fault, monkeypatch):
    where, name, check = ONE_UNIT[fault]
    right = getattr(where, name)
    check()
    monkeypatch.setattr(where, name, lambda *given: nextafter(right(*given), -inf))
    with pytest.raises(AssertionError):
        check()


def check_ratio():
    for noise in ("lattice", "float"):
        for epsilon, delta, k in ((1.0, 1e-5, 11_981), (0.1, 1e-9, 1), (8.0, 1e-4, 1000)):
            assert (
                delta_together(noise, indistinguishable.ratio(epsilon, delta, k, noise), k, epsilon) <= delta
            )


def check_epsilon():
    for noise in ("lattice", "float"):
        for ratio, delta, k in ((2.2e-3, 1e-5, 11_981), (0.5, 1e-9, 1), (0.01, 1e-4, 1000)):
            assert (
                delta_together(noise, ratio, k, indistinguishable.epsilon_after(ratio, delta, k, noise))
                <= delta
            )


def check_floor():
    for *size, lam, _ in SIZES:
        for width in (1, 10):
            floor = rounding.public_floor(*size, width, lam)
            w = nextafter(rounding.radius(lam) + 256 * floor, 0)
            charged = formula(*size, lam, 0.0, w)
            assert (charged / (Fraction(lam) * size[0])) ** 2 * width <= Fraction(floor) ** 2


def check_radius():
    """Where it is reached: a row of norm 1 whose score is where t / (1 + e^t) is largest, or near 0."""
    t = 1 + float(lambertw(1 / np.e).real)
    assert rounding.radius(1 / (1 + np.exp(t)) / t) >= t
    assert rounding.radius(2.0**40) >= 0.5 / 2.0**40


SLACK = {
    "ratio": (indistinguishable, "ratio", check_ratio, 1 + 2.0**-29),
    "epsilon_after": (indistinguishable, "epsilon_after", check_epsilon, 1 - 2.0**-33),
    "public_floor": (rounding, "public_floor", check_floor, 1 - 2.0**-17),
    "radius": (rounding, "radius", check_radius, 1 - 2.0**-19),
}


@pytest.mark.parametrize("fault", SLACK)
def test_a_fault_as_large_as_the_slack_is_seen(fault, monkeypatch):
    where, name, check, factor = SLACK[fault]
    right = getattr(where, name)
    check()
    monkeypatch.setattr(where, name, lambda *given: right(*given) * factor)
    with pytest.raises(AssertionError):
        check()
