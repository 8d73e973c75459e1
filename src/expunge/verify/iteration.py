"""Noisy fine-tuning: that the noise hides what it must, worked out again from settings and model."""

from __future__ import annotations

from collections.abc import Iterator
from math import frexp
from typing import Any

import mpmath as mp

from expunge.verify import privacy
from expunge.verify.exact import number
from expunge.verify.ledger import same_number
from expunge.verify.lines import Faults, Line
from expunge.verify.subject import Subject

_DIGITS = 60
_MOST_STEPS = 100_000
_PLAN = ("epsilon", "delta", "releases", "std", "sensitivity", "grid", "ratio", "released", "epsilon_spent")
_SETTINGS = ("epsilon", "delta", "releases")
_STEPS = ("radius", "clip", "lr", "weight_decay", "steps")


def check_iteration(subject: Subject) -> Iterator[Line]:
    """The lines of a run of it. What is not checked: that the steps were taken (``expunge-audit`` does)."""
    yield (plan := _plan(subject))
    if not plan.holds:
        return
    mu = _hidden(subject)
    yield _noise(subject, mu)
    yield _requests(subject, mu)


def _plan(subject: Subject) -> Line:
    """What was fixed beforehand is there, and is the configuration's."""
    faults, settings, claimed = Faults(), subject.settings, subject.claimed
    for key in _PLAN:
        faults.need(number(claimed(key)) is not None, f"summary.json has no number in {key}", claimed(key))
    for key in _SETTINGS:
        right = settings.of("unlearner").get(key)
        faults.need(same_number(claimed(key), right), f"{key} by the configuration", claimed(key), right)
    for key in _STEPS:
        given = number(settings.of("unlearner").get(key))
        least = given is not None and (given > 0 or (key == "weight_decay" and given == 0))
        faults.need(least, f"unlearner.{key}", given, "above 0")
    if not faults:
        faults.need(settings.require("steps") <= _MOST_STEPS, "unlearner.steps", settings.get("steps"))
        faults.need(0 < (subject.figure("delta") or 0) < 1, "delta", claimed("delta"), "in (0, 1)")
        above = min(subject.figure(key) or 0 for key in ("epsilon", "std", "ratio", "releases"))
        faults.need(above > 0, "epsilon, std, ratio, releases", above, "above 0")
        right = 2 * settings.require("radius")
        faults.need(same_number(claimed("sensitivity"), right), "sensitivity", claimed("sensitivity"), right)
        grid, exact = float(subject.figure("grid") or 0), settings.noise == "lattice"
        good = frexp(grid)[0] == 0.5 if exact else grid == 0
        faults.need(good, "grid", grid, "a power of two" if exact else "0 with float noise")
        faults.need(claimed("noise") == settings.noise, "noise", claimed("noise"), settings.noise)
    words = f"{claimed('noise')}, {claimed('releases')}"
    return faults.line("plan", "noise, releases, epsilon, delta: the configuration's", words, words)


def _hidden(subject: Subject) -> Any:
    """The mu of one request: ``min_k (a^k 2 C_0 + b sum a^j) / (s sqrt(sum a^2j))``, docs/certificate.md."""
    radius, clip, lr, decay = (subject.settings.require(key) for key in _STEPS[:4])
    dim = sum(array.size for array in subject.files.model.values())
    with mp.workdps(_DIGITS):
        a = mp.mpf(max(0.0, 1.0 - lr * decay))  # the float64 that steps are taken with
        moved = 3 * mp.mpf(subject.figure("grid") or 0) * mp.sqrt(dim)
        drift = 2 * mp.mpf(lr) * mp.mpf(clip) + moved
        power, once, twice, found = mp.mpf(1), mp.mpf(0), mp.mpf(0), []
        for _ in range(int(subject.settings.require("steps"))):
            once, twice, power = once + power, twice + power**2, power * a
            found.append((power * 2 * mp.mpf(radius) + drift * once) / mp.sqrt(twice))
        return min(found) / mp.mpf(subject.figure("std") or 1)


def _noise(subject: Subject, mu: Any) -> Line:
    """All requests that are covered, with noise of this size, are (epsilon, delta)."""
    faults, settings = Faults(), subject.settings
    count = int(subject.figure("releases") or 0) - 1
    epsilon, delta = float(subject.figure("epsilon") or 0), float(subject.figure("delta") or 0)
    found = privacy.epsilon_of(mu, count, settings.noise, delta)
    within = count >= 1 and privacy.is_within(mu, count, settings.noise, epsilon, delta)
    faults.need(within, f"epsilon of {count} requests with this std", epsilon, found)
    ratio = float(subject.figure("ratio") or 0)
    faults.need(float(mu) <= ratio * (1 + 1e-12), "ratio, against that of this std", ratio, float(mu))
    return faults.line("noise", f"{count} requests with this std are within epsilon", epsilon, found)


def _requests(subject: Subject, mu: Any) -> Line:
    """Each line's epsilon is not below that of the requests so far; what is covered is that of the ball."""
    faults, counts = Faults(), subject.ledger.released
    delta, noise = float(subject.figure("delta") or 0), subject.settings.noise
    released, most = 1 + counts[-1], subject.figure("releases") or 0
    claimed = subject.claimed("released")
    faults.need(same_number(claimed, released), "released: 1 and each request", claimed, released)
    faults.need(released <= most, "releases made, of those that are covered", released, most)
    for place, (record, count) in enumerate(zip(subject.ledger.records, counts[1:], strict=True), start=1):
        for key in ("budget", "residual_bound"):
            right = subject.figure("sensitivity")
            faults.need(same_number(record[key], right), f"line {place}: {key}", record[key], right)
        spent = number(record["epsilon_spent"])
        enough = spent is not None and privacy.is_within(mu, count, noise, spent, delta)
        faults.need(enough, f"line {place}: epsilon of {count} requests", spent)
    last = number(said := subject.claimed("epsilon_spent"))
    right = privacy.epsilon_of(mu, counts[-1], noise, delta)
    enough = last is not None and privacy.is_within(mu, counts[-1], noise, last, delta)
    faults.need(enough, f"epsilon of {counts[-1]} requests together", said, right)
    return faults.line("epsilon spent", f"not below that of {counts[-1]} requests together", said, right)
