"""Runs with b in the objective, as published, and exact training: a minimiser up to a residual."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from expunge.verify import draws, privacy
from expunge.verify.exact import least_above, most_below, number
from expunge.verify.gradient import Gradient, Loss
from expunge.verify.ledger import same_number
from expunge.verify.lines import Faults, Line
from expunge.verify.subject import Subject

_LAST_BITS = 1e-13  # of what a seed draws, multiplied once or twice
_ADDS_UP = ("worst_case", "data_dependent", "third_order")


def check_published(subject: Subject) -> Iterator[Line]:
    """The lines of a run of ``perturbation`` ``gaussian`` or ``pure_eps``."""
    yield _plan(subject)
    epsilon, delta, std = (
        subject.figure("epsilon"),
        subject.figure("delta"),
        number(subject.settings.get("std")),
    )
    if epsilon is None or delta is None or std is None or min(epsilon, std) <= 0:
        return
    if subject.settings.scheme == "gaussian" and not 0 < delta < 1:
        return
    dim = subject.table.dim * _first_width(subject)
    c = privacy.constant(subject.settings.scheme, delta, dim)
    budget = most_below(Fraction(std) * Fraction(epsilon) / c)
    yield _constant(subject, epsilon, delta, c)
    yield _budget(subject, budget)
    yield _bound(subject, budget)
    if (measured := _measured(subject)) is not None:
        loss, w, gradient = measured
        yield _residual(subject, gradient, budget)
        yield _residual_measured(subject, loss, w, gradient)
        yield _perturbation(subject, loss.b, std, epsilon)
    yield _epsilon_spent(subject, c, std)


def check_reference(subject: Subject) -> Iterator[Line]:
    """The lines of exact training: the gradient is as small as the training was told to make it."""
    measured = _measured(subject)
    if measured is None:
        return
    loss, w, gradient = measured
    tol = number(subject.settings.get("tol", "training")) or 0.0
    if subject.settings.get("joint_training") is False:
        tol *= sqrt(w.shape[1])
    most, (low, _) = max(tol, loss.float_error(w)), gradient.joint
    faults = Faults()
    note = "gradient over the rows that stay, against tol and the rounding of float64"
    faults.need(low <= most, note, most, low)
    yield faults.line("residual", note, most, low)
    if subject.ledger.records and subject.ledger.records[-1]["outcome"] != "refused":
        yield _residual_measured(subject, loss, w, gradient)
    yield _perturbation(subject, loss.b, number(subject.settings.get("std")) or 0.0, None)


def _first_width(subject: Subject) -> int:
    classes = len(subject.ledger.classes)
    return classes if classes > 2 else 1


def _measured(subject: Subject) -> tuple[Loss, NDArray[np.float64], Gradient] | None:
    w, b = subject.weights(), subject.weights("perturbation")
    if w is None or b is None:
        return None
    loss = subject.loss(b)
    return loss, w, loss.gradient(w)


def _plan(subject: Subject) -> Line:
    faults, settings = Faults(), subject.settings
    for key in ("epsilon", "delta"):
        claimed, right = subject.claimed(key), settings.get(key)
        faults.need(same_number(claimed, right), f"{key} by the configuration", claimed, right)
        faults.need(number(right) is not None, f"{key} of the configuration", right, "a number")
    delta, exact = number(settings.get("delta")) or 0, settings.scheme == "pure_eps"
    faults.need(delta == 0 if exact else 0 < delta < 1, "delta", delta, 0 if exact else "between 0 and 1")
    faults.need(settings.scheme in ("gaussian", "pure_eps"), "perturbation", settings.scheme)
    std = number(settings.get("std"))
    faults.need(std is not None and std > 0, "std of the configuration", settings.get("std"), "above 0")
    for key in ("releases", "released", "grid", "ratio", "sensitivity", "noise"):
        faults.need(
            subject.claimed(key) is None, f"{key} of a run without noise at release", subject.claimed(key)
        )
    words = f"({subject.claimed('epsilon')}, {subject.claimed('delta')})"
    return faults.line("plan", "epsilon, delta and std are those of the configuration", words, words)


def _constant(subject: Subject, epsilon: float, delta: float, c: Fraction) -> Line:
    """The constant c is enough noise for (epsilon, delta) by the exact profile of the Gaussian mechanism."""
    faults = Faults()
    if subject.settings.scheme == "pure_eps":
        faults.need(delta == 0, "delta of pure_eps", delta, 0)
    else:
        shift = privacy.as_real(Fraction(epsilon) / c)
        enough = 0 < delta < 1 and privacy.is_within(shift, 1, "float", epsilon, delta)
        faults.need(enough, "c is not enough for so large an epsilon", epsilon, float(c))
    return faults.line("constant", "c between std and the budget", None, float(c))


def _budget(subject: Subject, budget: float) -> Line:
    faults = Faults()
    for place, record in enumerate(subject.ledger.records, start=1):
        said = record["budget"]
        faults.need(same_number(said, budget), f"line {place}: budget", said, budget)
    return faults.line("budget", "std epsilon / c, rounded down", subject.claimed("budget"), budget)


def _bound(subject: Subject, budget: float) -> Line:
    """Every model that was released had a bound within the budget; bounds that add up never fall."""
    faults, settings = Faults(), subject.settings
    adds_up = (
        settings.get("certificate") in _ADDS_UP
        and settings.get("update") != "corrected"
        and not settings.get("anchor")
    )
    before, columns = 0.0, 0
    for place, (record, counts) in enumerate(
        zip(subject.ledger.records, subject.counts, strict=True), start=1
    ):
        bound = number(record["residual_bound"])
        if not faults.need(bound is not None, f"line {place}: residual_bound", record["residual_bound"]):
            continue
        assert bound is not None
        measured = number(record["residual_measured"])
        if record["outcome"] != "refused":
            above = measured is not None and measured > bound
            faults.need(not above, f"line {place}: residual_measured is above it", bound, measured)
            faults.need(bound <= budget, f"line {place}: residual_bound above the budget", bound, budget)
        if adds_up and record["outcome"] == "removed" and len(counts) == columns:
            faults.need(bound >= before, f"line {place}: residual_bound falls", bound, before)
        before, columns = bound, len(counts)
    return faults.line("residual bound", "within the budget", subject.claimed("residual_bound"), budget)


def _epsilon_spent(subject: Subject, c: Fraction, std: float) -> Line:
    faults, last = Faults(), None
    for place, record in enumerate(subject.ledger.records, start=1):
        bound, said = number(record["residual_bound"]), record["epsilon_spent"]
        last = None if bound is None else least_above(c * Fraction(bound) / Fraction(std))
        faults.need(same_number(said, last), f"line {place}: epsilon_spent", said, last)
    said = subject.ledger.records[-1]["epsilon_spent"] if subject.ledger.records else None
    return faults.line("epsilon spent", "c residual_bound / std, rounded up", said, last)


def _residual(subject: Subject, gradient: Gradient, budget: float) -> Line:
    """``||grad L_b(w)||`` over the rows that stay is at most the last bound."""
    faults, (low, high) = Faults(), gradient.joint
    records = subject.ledger.records
    bound = (number(records[-1]["residual_bound"]) or 0.0) if records else budget
    note = "norm of the gradient over the rows that stay, against the last residual_bound"
    if low > bound:
        faults.add(note, bound, low)
    elif high > bound:
        faults.add(f"{note}: cannot be told apart by the arithmetic there is here", bound, high)
    return faults.line("residual", note, bound, high)


def _residual_measured(subject: Subject, loss: Loss, w: NDArray[np.float64], gradient: Gradient) -> Line:
    """The last residual as measured, within what float64 may have added to it."""
    faults, claimed = Faults(), subject.claimed("residual_measured")
    low, high = gradient.joint
    if claimed is None:
        return Line("residual measured", None, note="not measured by the run")
    value, off = number(claimed), loss.float_error(w)
    good = value is not None and low - off <= value <= high + off
    note = "norm of the gradient as the run measured it, within the rounding of float64"
    faults.need(good, note, claimed, high)
    return faults.line("residual measured", note, claimed, high)


def _perturbation(subject: Subject, b: NDArray[np.float64], std: float, epsilon: float | None) -> Line:
    """The perturbation b is what the seed draws, with the std that was said, after as many retrainings."""
    faults, settings = Faults(), subject.settings
    epoch = sum(record["outcome"] == "retrained" for record in subject.ledger.records)
    first, d = _first_width(subject), subject.table.dim
    scale = None
    if epsilon is None:
        epoch = 0  # a reference keeps its b
    elif settings.scheme == "pure_eps":
        scale = std / sqrt(d * first + 1)
    drawn_like = settings.seed, epoch, d, first, std, scale, settings.repeat
    right = draws.perturbation(*drawn_like)[:, subject.columns.places]
    size, drawn = float(np.linalg.norm(b)), float(np.linalg.norm(right))
    same = bool(np.all(np.abs(b - right) <= _LAST_BITS * np.abs(right).max()))
    note = "length of b, which the seed draws with the std that was said"
    faults.need(same, note, size, drawn)
    return faults.line("perturbation", note, size, drawn)
