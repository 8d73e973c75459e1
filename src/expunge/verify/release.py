"""Noise at release: what was fixed beforehand, what each line says, and the model that is out."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import frexp, isfinite, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.verify import draws, privacy, spread
from expunge.verify.exact import covered, norm_above, number, shares
from expunge.verify.files import mapping
from expunge.verify.ledger import same_number
from expunge.verify.lines import Faults, Line
from expunge.verify.minimum import Minimum, minimum
from expunge.verify.subject import Subject

TOO_LITTLE, TOO_MUCH = 1e-6, 1e-9
"""Chances at which noise of the claimed size is called another: less hides less, more is another model's."""
_ROUNDING = 2.0**-48
_PLAN = ("releases", "std", "sensitivity", "noise", "grid", "ratio", "released", "epsilon_spent")
_ABOVE_0 = ("releases", "std", "sensitivity", "ratio", "epsilon", "delta")


def check_release(subject: Subject) -> Iterator[Line]:
    """The lines of a run with noise at release."""
    yield _plan(subject)
    figures = {key: subject.figure(key) for key in (*_PLAN, "epsilon", "delta") if key != "noise"}
    if None in figures.values() or min(figures[key] or 0 for key in _ABOVE_0) <= 0:
        return
    w = subject.weights()
    if w is not None and subject.settings.noise == "lattice":
        yield _lattice(subject, w)
    yield _ratio(subject)
    yield _noise(subject)
    yield _releases(subject)
    yield _budget(subject)
    yield _bound(subject)
    yield _epsilon_spent(subject)
    if w is None:
        return
    best = minimum(subject.loss(), w)
    yield _model(subject, w, best)
    yield _seed(subject, w, best)
    yield _secret(subject, w, best)


def _plan(subject: Subject) -> Line:
    """What was fixed beforehand is there, and is what the configuration asked for."""
    faults, settings, claimed = Faults(), subject.settings, subject.claimed
    for key in (*_PLAN, "epsilon", "delta"):
        there = isinstance(claimed(key), str) if key == "noise" else subject.figure(key) is not None
        lacks = claimed(key) is None
        why = "has no" if lacks else "has no number in"
        old = ", as of a version that did not keep what is to be checked" if lacks else ""
        faults.need(there, f"summary.json {why} {key}{old}", claimed(key))
    for key, right in (
        *((key, settings.get(key)) for key in ("epsilon", "delta", "releases")),
        ("noise", settings.noise if settings.noise in ("float", "lattice") else "lattice or float"),
        *((("std", settings.of("unlearner")["std"]),) if settings.of("unlearner").get("std") else ()),
    ):
        faults.need(same_number(claimed(key), right), f"{key} by the configuration", claimed(key), right)
    grid = subject.figure("grid")
    if grid is not None:
        exact = settings.noise == "lattice"
        good = frexp(grid)[0] == 0.5 if exact else grid == 0
        faults.need(good, "grid", grid, "a power of two" if exact else "0 with float noise")
    for key in _ABOVE_0:
        faults.need((subject.figure(key) or 0) > 0, key, claimed(key), "above 0")
    releases = subject.figure("releases")
    faults.need(releases is None or releases.is_integer(), "releases", claimed("releases"), "a whole number")
    words = f"{claimed('noise')}, {claimed('releases')}"
    return faults.line("plan", "noise, releases, epsilon, delta, std: the configuration's", words, words)


def _ratio(subject: Subject) -> Line:
    """``ratio`` of one release, ``releases`` times, is (epsilon, delta)."""
    faults = Faults()
    ratio, releases = subject.figure("ratio"), subject.figure("releases")
    epsilon, delta = subject.figure("epsilon"), subject.figure("delta")
    assert ratio is not None
    assert releases is not None
    assert epsilon is not None
    assert delta is not None
    good = ratio > 0 and releases >= 1 and epsilon > 0 and 0 < delta < 1
    faults.need(
        good, "ratio, releases, epsilon, delta", [ratio, releases, epsilon, delta], "above 0, delta below 1"
    )
    found = privacy.epsilon_of(ratio, int(releases), subject.settings.noise, delta) if good else None
    within = good and privacy.is_within(ratio, int(releases), subject.settings.noise, epsilon, delta)
    faults.need(within, f"epsilon of {int(releases)} releases of this ratio", epsilon, found)
    return faults.line("ratio", f"{int(releases)} releases of this ratio are within epsilon", epsilon, found)


def _noise(subject: Subject) -> Line:
    """``sensitivity + grid sqrt(dim) <= ratio std``, of exact numbers."""
    faults = Faults()
    sensitivity, grid, ratio, std = (
        float(subject.figure(key) or 0) for key in ("sensitivity", "grid", "ratio", "std")
    )
    dim = subject.table.dim * _first_width(subject)
    hidden = float(privacy.apart(sensitivity, grid, dim))
    held = sensitivity > 0 and grid >= 0 and covered(sensitivity, grid, dim, ratio, std)
    faults.need(held, "what is to be hidden, against ratio std", ratio * std, hidden)
    return faults.line("noise", "sensitivity + grid sqrt(dim) is at most ratio std", ratio * std, hidden)


def _first_width(subject: Subject) -> int:
    """Columns of the first release: what was fixed beforehand was fixed for these."""
    classes = len(subject.ledger.classes)
    return classes if classes > 2 else 1


def _releases(subject: Subject) -> Line:
    """The first model, one for each served request, those of replaced records; no more than promised."""
    faults, right = Faults(), 1 + subject.ledger.released[-1]
    claimed, most = subject.claimed("released"), subject.figure("releases") or 0
    faults.need(same_number(claimed, right), "released: 1, each served request, the replaced", claimed, right)
    faults.need(right <= most, "releases made, of those that are covered", right, most)
    note = f"the first, each served request, the replaced, at most {most:g}"
    return faults.line("releases", note, claimed, right)


def _budget(subject: Subject) -> Line:
    """``budget`` of every line is what the noise covers at the rows that stay, to the last bit."""
    faults, last = Faults(), None
    sensitivity, lam = float(subject.figure("sensitivity") or 0), subject.settings.lam
    known: dict[tuple[int, ...], float] = {}
    for place, (record, counts) in enumerate(
        zip(subject.ledger.records, subject.counts, strict=True), start=1
    ):
        key = tuple(counts)
        if key not in known:
            known[key] = norm_above(shares(sensitivity, lam, counts))
        last = known[key]
        faults.need(same_number(record["budget"], last), f"line {place}: budget", record["budget"], last)
    claimed = subject.claimed("budget")
    return faults.line("budget", "lam n sensitivity, of each line's own n", claimed, last)


def _bound(subject: Subject) -> Line:
    """``residual_bound`` is the budget: what is published must not depend on the model inside."""
    faults, exact = Faults(), subject.settings.noise == "lattice"
    for place, record in enumerate(subject.ledger.records, start=1):
        bound, budget = record["residual_bound"], record["budget"]
        faults.need(same_number(bound, budget), f"line {place}: residual_bound", bound, budget)
        above = number(measured := record["residual_measured"])
        if above is not None and number(bound) is not None and record["outcome"] != "refused":
            faults.need(above <= bound, f"line {place}: residual_measured is above it", bound, measured)
        if exact:
            said = f"line {place}: residual_measured, a secret"
            faults.need(measured is None, said, measured, None)
    claimed = subject.claimed("residual_bound")
    return faults.line("residual bound", "the budget of its line", claimed, subject.claimed("budget"))


def _epsilon_spent(subject: Subject) -> Line:
    """Each line's epsilon is not below that of the releases so far, and never falls."""
    faults, before, known = Faults(), 0.0, dict[tuple[int, float], bool]()
    figure, noise = subject.figure, subject.settings.noise
    dim = subject.table.dim * _first_width(subject)
    delta, epsilon = float(figure("delta") or 0), float(figure("epsilon") or 0)
    distance = privacy.apart(float(figure("sensitivity") or 0), float(figure("grid") or 0), dim)
    ratio = distance / privacy.as_real(Fraction(figure("std") or 1))
    said = [record["epsilon_spent"] for record in subject.ledger.records]
    counts = [1 + released for released in subject.ledger.released]
    last = (subject.claimed("epsilon_spent"), counts[-1], "summary.json")
    lines = [(s, c, f"line {k}") for k, (s, c) in enumerate(zip(said, counts[1:], strict=True), start=1)]
    for spent, count, where in [*lines, last]:
        value = number(spent)
        if not faults.need(value is not None, f"{where}: epsilon_spent", spent, "a number"):
            continue
        assert value is not None
        if (count, value) not in known:
            known[count, value] = privacy.is_within(ratio, count, noise, value, delta)
        if not known[count, value] and not faults:
            right = privacy.epsilon_of(ratio, count, noise, delta)
            faults.add(f"{where}: epsilon of {count} releases together", value, right)
        faults.need(value >= before, f"{where}: epsilon_spent falls", value, before)
        faults.need(value <= epsilon, f"{where}: more than epsilon", value, epsilon)
        before = max(before, value)
    right = privacy.epsilon_of(ratio, last[1], noise, delta)
    return faults.line("epsilon spent", f"not below that of {last[1]} releases together", last[0], right)


def _lattice(subject: Subject, w: NDArray[np.float64]) -> Line:
    """Every weight is a whole number of steps: what float noise, called exact, is not."""
    faults, grid = Faults(), float(subject.figure("grid") or 1)
    with np.errstate(over="ignore"):
        steps = w / grid
    off = int(np.count_nonzero((steps != np.rint(steps)) | ~np.isfinite(steps)))
    faults.need(off == 0, f"weights that are no whole number of steps of {grid:g}: float noise", 0, off)
    return faults.line("lattice", f"every weight is a whole number of steps of {grid:.3g}", 0, off)


def _model(subject: Subject, w: NDArray[np.float64], best: Minimum) -> Line:
    """The model that is out is as far from exact retraining as noise of this size takes it."""
    faults, std, p = Faults(), float(subject.figure("std") or 0), w.size
    with np.errstate(over="ignore", invalid="ignore"):
        apart = w - best.w
        found, grid = float(np.linalg.norm(apart)), float(subject.figure("grid") or 0)
        slack = float(subject.figure("sensitivity") or 0) + grid * sqrt(p) + best.off
        slack += _ROUNDING * (found + float(np.linalg.norm(w)))
    right = std * sqrt(p)
    note = "distance from exact retraining, of noise std sqrt(dim)"
    if not best.off <= max(float(subject.figure("sensitivity") or 0), std):
        faults.add("exact retraining cannot be told to within the noise here", right, best.off)
    elif not isfinite(found + slack):
        faults.add("a model of something else", right, found)
    elif privacy.chance_below(found + slack, std, p) < TOO_LITTLE:
        faults.add(f"{note}: less noise than was said", right, found)
    elif privacy.chance_above(found - slack, std, p) < TOO_MUCH:
        faults.add(f"{note}: more noise than was said, or a model of something else", right, found)
    if not faults:
        most = spread.allowed(p, slack / std, grid / std, TOO_MUCH)
        uneven = spread.distance(apart / std)
        faults.need(uneven <= most, "noise is spread over the weights as no normal noise is", most, uneven)
        _check_columns(apart, std, slack, faults)
    return faults.line("model", note, right, found)


def _check_columns(apart: NDArray[np.float64], std: float, slack: float, faults: Faults) -> None:
    """Each column has noise of that size, and its own: sums and differences of two have it as well."""
    d, columns = apart.shape
    if columns == 1:
        return
    found = spread.lengths(apart)
    least = privacy.length_at(lambda x: privacy.chance_below(x, std, d) < TOO_LITTLE / len(found), std, d)
    most = privacy.length_at(lambda x: privacy.chance_above(x, std, d) >= TOO_MUCH / len(found), std, d)
    said = "noise of a column, or of two together, against std sqrt(features)"
    faults.need(bool((found + slack >= least).all()), f"{said}: less", std * sqrt(d), float(found.min()))
    faults.need(bool((found - slack <= most).all()), f"{said}: more", std * sqrt(d), float(found.max()))


def _seed(subject: Subject, w: NDArray[np.float64], best: Minimum) -> Line:
    """Float noise is drawn again from the seed: without it the model is within the sensitivity of w*.

    Exact noise must not be that of the seed.
    """
    faults, figure = Faults(), subject.figure
    sensitivity, std = float(figure("sensitivity") or 0), float(figure("std") or 0)
    z = draws.release(subject.settings.seed, subject.ledger.released[-1], w.shape, subject.settings.repeat)
    with np.errstate(over="ignore"):
        off = float(np.linalg.norm((w - std * z) - best.w))
    slack = best.off + _ROUNDING * (float(np.linalg.norm(w)) + std * float(np.linalg.norm(z)))
    if subject.settings.noise == "float":
        note = "distance from exact retraining once the seed's noise is taken away"
        faults.need(off <= sensitivity + slack, note, sensitivity, off)
        return faults.line("noise of the seed", note, sensitivity, off)
    step = float(figure("grid") or 0) * sqrt(w.size)
    faults.need(
        off > sensitivity + slack + step, "float noise of the run's seed, called exact", sensitivity, off
    )
    return faults.line("noise of no seed", "the seed's noise does not uncover the model", sensitivity, off)


def _secret(subject: Subject, w: NDArray[np.float64], best: Minimum) -> Line:
    """The model inside, where it is given: within the sensitivity of w*, by its own gradient, too."""
    files, faults = subject.files, Faults()
    if files.state is None:
        fault = files.state_fault or ""
        return Line("secret state", None if "secret" in fault else False, note=fault)
    arrays, plan = files.state, mapping(files.state_values.get("release"))
    sensitivity = float(subject.figure("sensitivity") or 0)
    for key in ("std", "sensitivity", "grid", "noise", "released"):
        faults.need(same_number(plan.get(key), subject.claimed(key)), f"{key} in the state", plan.get(key))
    gone = np.flatnonzero(~subject.ledger.kept)
    there = arrays.get("removed_rows")
    faults.need(
        there is not None and np.array_equal(there, gone), "removed rows in the state", None, len(gone)
    )
    drawn, inside = _as(arrays.get("drawn"), w), _as(arrays.get("weight"), w)
    faults.need(
        drawn is not None and np.array_equal(drawn, w), "the release in the state is model.safetensors"
    )
    distance = None
    if faults.need(inside is not None, "the model inside") and inside is not None:
        loss = subject.loss()
        distance = float(np.linalg.norm(inside - best.w))
        by_gradient = loss.gradient(inside).distance(loss.lam, loss.columns.counts)
        good = by_gradient <= sensitivity and distance <= sensitivity + best.off
        faults.need(good, "distance of the model inside from retraining", sensitivity, by_gradient)
    return faults.line("secret state", "the model inside is within the sensitivity", sensitivity, distance)


def _as(array: Any, like: NDArray[np.float64]) -> NDArray[np.float64] | None:
    if array is None or array.dtype != np.float64 or array.size != like.size or not np.isfinite(array).all():
        return None
    return np.asarray(array).reshape(like.shape)
