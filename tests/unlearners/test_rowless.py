"""Removals that never touch the rows: every bound that is carried holds, and a fault in it would be seen.

The oracle is ``experiments.truth.rowless``: the gradient over the rows that stay, in long doubles, of rows
that it normalises itself. The whole, 100,000 requests, is ``python -m experiments.truth.rowless``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from experiments.truth import rowless as truth
from experiments.truth.check import WIDE
from experiments.truth.rowless import Found, follow
from experiments.truth.rowless_cases import KINDS, ORDERS, draw
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expunge.linear import anchor
from expunge.linear.anchor import Anchor
from expunge.linear.rows import Rows
from expunge.predictors.linear import LinearModel
from expunge.unlearners.newton import Newton

pytestmark = pytest.mark.skipif(not WIDE, reason="this machine's long double has no mantissa of 64 bits")
SEED = 19


@pytest.mark.parametrize("kind", range(len(KINDS)), ids=KINDS)
def test_every_bound_is_above_the_truth(kind):
    """Of each kind of rows one case for every order of removal."""
    found = Found(0)
    for number, order in enumerate(ORDERS):
        most = 5 if order == "closest" else 20
        found.add(follow(draw(kind + len(KINDS) * number, SEED, largest=150, most=most)))
    assert found.wrong == []
    assert found.requests > 60
    assert found.carried, "none was served without a pass"


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_of_any_case_too(number, seed):
    assert follow(draw(number, seed, largest=60, most=20)).wrong == []


def test_with_the_rows_out_of_reach_too():
    found = Found(0)
    for number in range(55):
        found.add(follow(draw(number, SEED, largest=80, most=10), away=True))
    assert found.wrong == []
    assert found.passes == 0
    assert len(found.carried) > 100


beyond, without, without_rows = anchor.beyond_anchor, Anchor.without, anchor.data_gradient


def _with(**changes):
    """``Anchor.without``, that gets something wrong in what it returns."""

    def wrong(self, departing):
        left = without(self, departing)
        return replace(left, **{name: change(self, left) for name, change in changes.items()})

    return wrong


FAULTS = {
    "third derivatives left out": (anchor, "beyond_anchor", lambda t, c, size: beyond(0.0, c, size)),
    "third derivatives halved": (anchor, "beyond_anchor", lambda t, c, size: beyond(t / 2, c, size)),
    "fourth derivatives left out": (anchor, "beyond_anchor", lambda t, c, size: beyond(t, 0.0, size)),
    "departed rows' gradient kept": (anchor, "data_gradient", lambda w, x, y: 0 * w),
    "its sign wrong": (anchor, "data_gradient", lambda w, x, y: -without_rows(w, x, y)),
    "departed rows' curvature kept": (Anchor, "without", _with(slopes=lambda self, left: 0 * left.slopes)),
    "departed rows counted": (Anchor, "without", _with(n=lambda self, left: self.n)),
    "their regulariser kept": (
        Anchor,
        "without",
        _with(gradient=lambda self, left: left.gradient + self.lam * (self.n - left.n) * self.w),
    ),
    "labels swapped": (anchor, "data_gradient", lambda w, x, y: without_rows(w, x, -y)),
    "the misfit not charged": (anchor, "norm_up", lambda misfit: 0.0),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(fault, monkeypatch):
    where, name, wrong = FAULTS[fault]
    monkeypatch.setattr(where, name, wrong)
    assert any("above its bound" in line for number in range(60) for line in _wrong(number))


def _wrong(number):
    return follow(draw(number, SEED, largest=100, most=20)).wrong


def _trained(x, y, subsample_ratio=1.0, **plan):
    model = LinearModel(lam=1e-3, std=0.0, subsample_ratio=subsample_ratio)
    how = {"certificate": "measured", "update": "rowless", "perturbation": "release", "noise": "float"}
    engine = Newton(model, epsilon=1.0, delta=1e-5, **how, **plan)
    engine.fit(Rows.normalised(x), y, seed=1)
    return engine


@pytest.mark.parametrize("residual", [1e2, 1e6])
def test_noise_that_covers_more_than_any_gradient_is_served_without_an_end(residual):
    """A step to a minimum that far off would leave more than staying does."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 6)), rng.integers(2, size=40)
    engine = _trained(x, y, residual=residual)
    for row in range(30):
        assert engine.remove([row]).outcome in ("removed", "refused")
        assert engine.account.beta <= engine.account.budget


def test_columns_of_different_numbers_of_rows_keep_to_the_bound_that_is_recorded():
    """The sensitivity weighs a column by its rows; the norm of the gradient does not."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(150, 4)), np.minimum(3, rng.geometric(0.7, size=150) - 1)
        engine = _trained(x, y, subsample_ratio=0.2, residual=0.1)
        for row in range(30):
            outcome = engine.remove([row])
            assert engine.account.beta <= outcome.residual_bound


def test_a_pass_is_made_when_the_bound_asks_for_it_and_only_then():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(400, 8)), rng.integers(2, size=400)
    passes = {}
    for residual in (1e-6, 1e-2, 1.0):
        engine = _trained(x, y, residual=residual)
        counts = [engine.remove([row]).figures["passes"] for row in range(40)]
        assert np.all(np.diff([0, *counts]) >= 0)
        passes[residual] = counts[-1]
    assert passes[1e-6] >= 40
    assert 0 < passes[1e-2] < 40
    assert passes[1.0] == 0


def test_the_command_says_what_it_found_and_writes_it(capsys, tmp_path, monkeypatch):
    page = tmp_path / "README.md"
    page.write_text(f"before\n{truth.BEGIN}\nold\n{truth.END}\nafter\n")
    monkeypatch.setattr(truth, "PAGE", page)
    assert truth.main(["--requests", "40", "--largest", "20", "--seed", "19", "--write"]) == 0
    table = capsys.readouterr().out
    assert page.read_text() == f"before\n{truth.BEGIN}\n\n{table}\n{truth.END}\nafter\n"
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if "|" in line]
    totals = [row for row in rows if row[0] == "all"]
    assert len(totals) == 2
    assert totals[0][1:] == totals[1][1:]
    assert int(totals[0][2]) >= 40
    assert totals[0][6] == "0"
    monkeypatch.setattr(anchor, "data_gradient", lambda w, x, y: 0 * w)
    assert truth.main(["--requests", "300", "--largest", "40", "--seed", "19"]) == 1
    assert "above its bound" in capsys.readouterr().err
