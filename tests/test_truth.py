"""``experiments.truth`` in a small form: bounds, counts and words of random problems against the truth."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from experiments.truth import sensitivity
from experiments.truth.__main__ import main
from experiments.truth.check import WIDE, check
from experiments.truth.exact import BITS, Exact, fixed_rows
from experiments.truth.problems import STRUCTURES, draw, of_release
from experiments.truth.runs import check_run, is_for_a_run
from mpmath import mp

from expunge.certificate.release import ReleaseGuarantee
from expunge.certificate.release import sensitivity as right
from expunge.core.errors import DataError
from expunge.linear.logistic import LogisticProblem
from expunge.linear.rows import Rows
from expunge.linear.solver import train
from expunge.unlearners import release
from expunge.unlearners.release import Release
from tests import cli

pytestmark = pytest.mark.skipif(not WIDE, reason="this machine's long double has no mantissa of 64 bits")


@pytest.mark.parametrize("structure", range(len(STRUCTURES)), ids=STRUCTURES)
def test_random_problems_keep_their_bounds(structure):
    """Ten of each structure, of a seed of their own; the whole is ``python -m experiments.truth``."""
    found = [check(draw(number, 17)) for number in range(structure, 60, len(STRUCTURES))]
    assert [line for one in found for line in one.wrong] == []
    assert sum(one.looked for one in found) > 10


def test_runs_of_the_command_line_record_what_is_true(tmp_path):
    def expunge(arguments, folder):
        ended = cli.expunge(*arguments, cwd=folder)
        return ended.code, ended.err

    problems = [problem for number in range(60) if is_for_a_run(problem := draw(number, 17))]
    ways = {problem.settings["perturbation"]: problem for problem in problems if len(problem.possible()) > 2}
    assert {"release", "gaussian"} <= set(ways)
    for way in ("release", "gaussian"):
        (tmp_path / way).mkdir()
        found = check_run(ways[way], tmp_path / way, expunge)
        assert found.wrong == []
        assert found.looked


def test_what_is_wrong_is_seen():
    """Rows a thousandth too long: every release is far from what it says."""
    right = Rows.normalised

    def wrong(*given, **how):
        rows = right(*given, **how)
        return Rows(rows.raw, rows.scale * 1.001, rows.offset)

    with mock.patch.object(Rows, "normalised", wrong):
        numbers = [number for number in range(40) if draw(number, 17).settings["normalize"]]
        assert sum(bool(check(draw(number, 17)).wrong) for number in numbers) > len(numbers) / 2


spent, shares, drawn = ReleaseGuarantee.spent, ReleaseGuarantee.shares, Release._drawn
FAULTS = {
    "epsilon": (ReleaseGuarantee, "spent", lambda *given: spent(*given) * (1 - 1e-9)),
    "budget": (ReleaseGuarantee, "shares", lambda *given: [100 * share for share in shares(*given)]),
    "noise used twice": (
        Release,
        "_drawn",
        lambda self, engine, columns, number: drawn(self, engine, columns, 0),
    ),
    "noise in float64": (
        release,
        "on_lattice",
        lambda w, std, grid: w + std * np.random.default_rng().normal(size=w.shape),
    ),
    "no noise": (release, "on_lattice", lambda w, std, grid: grid * np.rint(w / grid)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_release_that_is_wrong_is_seen(fault, monkeypatch):
    where, name, wrong = FAULTS[fault]
    monkeypatch.setattr(where, name, wrong)
    assert any(_seen(number) for number in range(40))


def _seen(number):
    try:
        return check(of_release(number, 18)).wrong
    except DataError:  # a model whose noise is none of ours is not even loaded
        return True


def test_the_command_says_what_it_found(capsys):
    assert main(["--count", "3", "--runs", "0", "--seed", "17"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in table[2:6]] == [*list(STRUCTURES)[:3], "all"]
    assert f"Seed 17, numpy {np.__version__}." in table


@pytest.mark.parametrize("structure", range(len(STRUCTURES)), ids=STRUCTURES)
def test_models_inside_are_as_near_to_60_digits_as_their_noise_was_planned_for(structure):
    """Ten of each structure, first and last models; all: ``python -m experiments.truth.sensitivity``."""
    found = sensitivity.Found()
    for number in range(structure, 100, len(STRUCTURES)):
        found.add(sensitivity.check(of_release(number, 18), every=False))
    assert found.wrong == []
    assert found.models > 10


def test_the_60_digits_are_those_of_plain_newton_steps():
    """Whole numbers times 2^-256, stepped by a float64 Hessian, against mpmath with the exact one."""
    rng = np.random.default_rng(0)
    rows, y, lam = Rows.normalised(rng.normal(size=(12, 3))), rng.choice([-1.0, 1.0], size=12), 1e-3
    near = train(LogisticProblem(rows, y, lam, np.zeros(3))).w
    found = Exact(fixed_rows(rows), y, lam).minimiser(near)
    with mp.workdps(75):
        x = mp.matrix(
            [[mp.mpf(s) * v for v in row] for s, row in zip(rows.scale, rows.raw.tolist(), strict=True)]
        )
        w, ridge = mp.zeros(3, 1), mp.mpf(lam) * 12
        for _ in range(12):
            slopes, gradient = mp.eye(3) * ridge, w * ridge
            for i in range(12):
                row = x[i, :].T
                s = 1 / (1 + mp.exp(y[i] * (row.T * w)[0]))
                gradient -= y[i] * s * row
                slopes += s * (1 - s) * row * row.T
            w -= mp.lu_solve(slopes, gradient)
        assert (
            max(abs(mp.mpf(int(v)) / 2**BITS - u) for v, u in zip(found, w, strict=True)) < mp.mpf(10) ** -60
        )


def test_a_model_farther_off_than_it_says_is_seen():
    """The sensitivity a hundredth too small: of a hundred models one that is that near to it is found."""
    with mock.patch.object(sensitivity, "sensitivity", lambda *given: 0.99 * right(*given)):
        assert any(sensitivity.check(of_release(number, 18)).wrong for number in range(50))
