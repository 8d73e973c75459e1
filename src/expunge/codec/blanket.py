"""Markov blankets by grow-shrink, with tests of conditional independence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from expunge.codec.independence import independence_test
from expunge.codec.inputs import columns_of, ranks_of
from expunge.codec.tie_breaking import NOISE, Ties
from expunge.core.checks import require_count, require_probability

Test = Callable[[int, list[int]], tuple[float, float]]
"""Variable and conditioning set (ascending) -> statistic and p-value of the target against the variable."""


def markov_blanket(
    X: Any,
    y: Any,
    *,
    groups: Sequence[Sequence[int]] | None = None,
    confidence: float = 0.95,
    permutations: int = 199,
    neighbours: int = 5,
    ties: Ties = "random",
    noise: float = NOISE,
    rng: int | np.random.Generator = 0,
    threads: int | None = None,
) -> list[int]:
    """Variables given which Y is independent of all others, as far as tests at ``confidence`` can tell.

    ``grow_shrink`` with ``independence_test``, which says what its arguments mean; all tests draw from one
    generator, one after the other. About (size of the set + 1) tests for each variable. X is (n, p), y (n,).
    ``groups`` are the columns of each variable (None: every column is a variable of its own); columns in no
    group are left out, and a column may be in several. A test rejects if p <= 1 - ``confidence``, which takes
    at least 1 / (1 - confidence) - 1 ``permutations``.

    Returns:
        Numbers of the variables (places in ``groups``), ascending. An undefined T counts as independence: Y
        is a function of the set already.

    Raises:
        ValueError: As ``independence_test``; a confidence outside of (0, 1) or beyond what so few
            permutations can reach; ``groups`` that are empty or name columns that do not exist.
    """
    columns = columns_of(X, "X", len(ranks_of(y)[0]))
    members = _members(groups, len(columns))
    _check_confidence(confidence, permutations)
    generator = np.random.default_rng(rng)
    how: Any = {"permutations": permutations, "neighbours": neighbours, "ties": ties, "noise": noise}

    def test(variable: int, given: list[int]) -> tuple[float, float]:
        x = columns[[c for j in given for c in members[j]]].T if given else None
        z = columns[members[variable]].T
        return independence_test(y, z, x, **how, rng=generator, threads=threads)[:2]

    return grow_shrink(len(members), test, confidence)


def grow_shrink(count: int, test: Test, confidence: float) -> list[int]:
    """The grow-shrink search for a Markov blanket (Margaritis and Thrun 1999) with any test.

    Grow: test every variable that is not in the set, given the set; of those whose test rejects, add the one
    with the largest statistic (the lowest number among equals); until none rejects. Shrink: test every member
    given the other members; of those whose test does not reject, drop the one with the largest p-value (among
    equals the smallest statistic, then the lowest number); until all reject. NaN does not reject.

    ``test`` is that of variables 0..count-1 and rejects if p <= 1 - ``confidence``. The set is ascending.
    """
    level = 1 - confidence + 1e-12  # p is a fraction: 0.1 must count as 1 - 0.9
    chosen: list[int] = []
    while True:
        tried = [(*test(j, sorted(chosen)), j) for j in range(count) if j not in chosen]
        rejecting = [(statistic, -j) for statistic, p_value, j in tried if p_value <= level]
        if not rejecting:
            break
        chosen.append(-max(rejecting)[1])
    while True:
        tried = [(*test(j, sorted(set(chosen) - {j})), j) for j in chosen]
        kept = [(-np.inf if np.isnan(p) else -p, s, j) for s, p, j in tried if not p <= level]
        if not kept:
            return sorted(chosen)
        chosen.remove(min(kept)[2])


def _members(groups: Sequence[Sequence[int]] | None, columns: int) -> list[list[int]]:
    members = [[j] for j in range(columns)] if groups is None else [list(group) for group in groups]
    for number, group in enumerate(members):
        for j in group:
            whole = isinstance(j, (int, np.integer)) and not isinstance(j, bool)
            if not whole or not 0 <= j < columns:
                raise ValueError(f"groups: got column {j!r}, allowed: whole numbers from 0 to {columns - 1}")
        if not group:
            raise ValueError(f"groups: got no column in group {number}, allowed: at least 1")
    if not members:
        raise ValueError("groups: got no group, allowed: None or at least 1")
    return members


def _check_confidence(confidence: float, permutations: int) -> None:
    require_probability("confidence", confidence)
    require_count("permutations", permutations)
    if 1 / (permutations + 1) > 1 - confidence + 1e-12:
        needed = int(np.ceil(1 / (1 - confidence) - 1e-9)) - 1
        allowed = f"at least {needed} at confidence {confidence}"
        raise ValueError(f"permutations: got {permutations}, allowed: {allowed}")
