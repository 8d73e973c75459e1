"""``experiments.truth`` in a small form: bounds, counts and words of random problems against the truth."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from experiments.truth.__main__ import main
from experiments.truth.check import WIDE, check
from experiments.truth.problems import STRUCTURES, draw
from experiments.truth.runs import check_run, is_for_a_run

from expunge.linear.rows import Rows
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

    problems = [problem for number in range(30) if is_for_a_run(problem := draw(number, 17))][:2]
    assert len(problems) == 2
    for number, problem in enumerate(problems):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert check_run(problem, folder, expunge).wrong == []


def test_what_is_wrong_is_seen():
    """Rows a thousandth too long: every release is far from what it says."""
    right = Rows.normalised

    def wrong(*given, **how):
        rows = right(*given, **how)
        return Rows(rows.raw, rows.scale * 1.001, rows.offset)

    with mock.patch.object(Rows, "normalised", wrong):
        numbers = [number for number in range(40) if draw(number, 17).settings["normalize"]]
        assert sum(bool(check(draw(number, 17)).wrong) for number in numbers) > len(numbers) / 2


def test_the_command_says_what_it_found(capsys):
    assert main(["--count", "3", "--runs", "0", "--seed", "17"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in table[2:6]] == [*list(STRUCTURES)[:3], "all"]
    assert f"Seed 17, numpy {np.__version__}." in table
