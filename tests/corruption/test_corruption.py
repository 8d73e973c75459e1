"""A small form of ``python -m tests.corruption``: whatever happens to a file, nobody is misled by it."""

from __future__ import annotations

import pytest

from tests.corruption.judge import cases

QUICK = ("estimator", "estimator_published", "estimator_rowless", "estimator_away", "lattice")


@pytest.mark.parametrize("name", QUICK)
def test_a_corruption_is_refused_in_one_line_or_changes_nothing(name):
    found = list(cases(6 if name == "lattice" else 24, seed=1, names=(name,)))
    assert [case for case in found if not case.good] == []
    assert sum(case.verdict == "refused" for case in found) > len(found) / 2
