"""One unit in the last place on the wrong side is found, in a run folder and planted in the program."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from expunge.certificate import composition, guarantee, release
from tests import cli
from tests.verify.runs import Copy, Runs, at, last, ulp_down, ulp_up

_LINES = [
    ("exact", "budget", ulp_up, "budget"),
    ("exact", "budget", ulp_down, "budget"),
    ("exact", "residual_bound", ulp_up, "residual bound"),
    ("exact", "residual_bound", ulp_down, "residual bound"),
    ("leaving", "budget", ulp_up, "budget"),
    ("rowless", "budget", ulp_up, "budget"),
    ("figures", "budget", ulp_up, "budget"),
    ("published", "budget", ulp_up, "budget"),
    ("published", "epsilon_spent", ulp_down, "epsilon spent"),
    ("published", "epsilon_spent", ulp_up, "epsilon spent"),
    ("pure_eps", "budget", ulp_up, "budget"),
    ("three_published", "epsilon_spent", ulp_down, "epsilon spent"),
]
_SUMMARY = [
    ("figures", "std", ulp_down, "noise"),
    ("exact", "std", ulp_down, "noise"),
    ("rowless", "sensitivity", ulp_up, "budget"),
    ("private", "std", ulp_down, "noise"),
    ("private", "epsilon_total", ulp_down, "composition"),
    ("private", "epsilon_total", ulp_up, "composition"),
    ("private", "delta_total", ulp_down, "composition"),
    ("exact", "epsilon_total", ulp_down, "composition"),
    ("exact", "epsilon", ulp_down, "plan"),
    ("exact", "delta", ulp_up, "plan"),
]


@pytest.mark.parametrize(("run", "key", "off", "line"), _LINES)
def test_an_ulp_in_any_line_is_found(run, key, off, line, copy):
    for place in {0, -2, -1} if run != "pure_eps" else {0, -1}:
        changed = copy(run).records(at(place, **{key: off}))
        if place == -1 and key != "epsilon_spent":
            changed.summary(**{key: off})
        if line != "residual bound" and key == "budget" and run in ("exact", "leaving", "rowless", "figures"):
            changed.records(at(place, residual_bound=off))
            changed.summary(residual_bound=lambda b: off(b) if place == -1 else b)  # noqa: B023
        assert changed.first() == line


@pytest.mark.parametrize(("run", "key", "off", "line"), _SUMMARY)
def test_an_ulp_in_the_summary_is_found(run, key, off, line, copy):
    assert copy(run).summary(**{key: off}).first() == line


def test_an_ulp_of_sensitivity_is_found_where_std_was_given(copy):
    """It is rounded down from what this std hides, and all budgets follow it."""
    changed = copy("given_std").summary(sensitivity=ulp_up)
    names = [line.name for line in changed.verified().lines if line.holds is False]
    assert names[0] == "noise"


def test_composition_is_inexact_where_it_is_tested(runs):
    said = cli.summary(runs("private"))
    exact = Fraction(said["epsilon"]) + Fraction(said["extractor_epsilon"])
    assert exact != Fraction(said["epsilon_total"])


def nearest(x):
    return float(x)


def wrong_way(right):
    """Round to the other side."""

    def rounded(x):
        near = float(x)
        low = near if Fraction(near) <= x else float(np.nextafter(near, -np.inf))
        high = near if Fraction(near) >= x else float(np.nextafter(near, np.inf))
        return low if right == "up" else high

    return rounded


@pytest.mark.parametrize(
    ("run", "module", "name", "fault", "line"),
    [
        ("figures", release, "down", wrong_way("down"), "budget"),
        ("published", guarantee, "down", wrong_way("down"), "budget"),
        ("published", guarantee, "up", wrong_way("up"), "epsilon spent"),
        ("published", guarantee, "up", nearest, "epsilon spent"),
        ("published", guarantee, "down", nearest, "budget"),
        ("private", composition, "sum_up", lambda *x: wrong_way("up")(sum(map(Fraction, x))), "composition"),
    ],
)
def test_a_fault_planted_in_the_program_is_found(run, module, name, fault, line, tmp_path, monkeypatch):
    """Where what it has recorded is wrong: rounding to nearest is so only where that is the wrong side."""
    monkeypatch.setattr(module, name, fault)
    if module is release:  # the promise is what it was: budgets alone are rounded to the other side
        monkeypatch.setattr(module, name, release_down(fault))
    ran = Runs(tmp_path)(run)
    monkeypatch.undo()
    wrong = wrongly_rounded(ran, run)
    assert Copy(ran, tmp_path / "copy").first() == (line if wrong or fault is not nearest else None)
    assert wrong or fault is nearest


def release_down(fault):
    """Of a release's plan only shares are products of three numbers and rows."""
    import sys

    def down(x):
        caller = sys._getframe(1).f_code.co_name
        return fault(x) if caller in ("shares", "<listcomp>", "<dictcomp>") else outward_down(x)

    from expunge.certificate.outward import down as outward_down

    return down


def wrongly_rounded(folder, run):
    """Whether something that was recorded is on the wrong side of what it bounds."""
    said, records = cli.summary(folder), cli.records(folder)
    if run == "private":
        return Fraction(said["epsilon_total"]) < Fraction(said["epsilon"]) + Fraction(
            said["extractor_epsilon"]
        )
    if run == "figures":
        exact = [Fraction(said["sensitivity"]) * Fraction(1e-3) * record["retained"] for record in records]
        return any(Fraction(r["budget"]) > right for r, right in zip(records, exact, strict=True))
    c = guarantee.Guarantee(1.0, 1e-4, 1.0, 64)._exact_c
    return any(
        Fraction(r["budget"]) > 1 / c or Fraction(r["epsilon_spent"]) < c * Fraction(r["residual_bound"])
        for r in records
    )


def test_what_has_slack_is_no_fault(copy):
    """docs/verify.md says which: an ulp of these changes nothing that is promised."""
    assert copy("exact").summary(ratio=ulp_up).verified().first is None
    changed = copy("exact").records(last(epsilon_spent=ulp_down)).summary(epsilon_spent=ulp_down)
    assert changed.verified().first is None
