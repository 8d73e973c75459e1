"""A permutation test of conditional independence whose statistic is CODEC."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from expunge.codec.inputs import columns_of, ranks_of
from expunge.codec.permutations import local_permutations, near_rows
from expunge.codec.permuted_sums import sums_of
from expunge.codec.statistic import agreement, conditional, unconditional
from expunge.codec.tie_breaking import NOISE, Ties, check_options, circle, jitter
from expunge.core.checks import require_count

CHUNK = 2**23  # numbers in the copies of Z held at once: 64 MiB


class IndependenceTest(NamedTuple):
    """T of the sample; the share of copies that reach it; T of each copy, (permutations,) float64."""

    statistic: float
    p_value: float
    null: NDArray[np.float64]


def independence_test(
    y: Any,
    z: Any,
    x: Any = None,
    *,
    permutations: int = 199,
    neighbours: int = 5,
    ties: Ties = "random",
    noise: float = NOISE,
    rng: int | np.random.Generator = 0,
    threads: int | None = None,
) -> IndependenceTest:
    """Is Y independent of Z (given X)?  A small p-value: it is not.

    The statistic is ``codec(y, z, x)``. Rows of Z are put in other places, which leaves Z and, nearly, its
    relation to X as they are and takes away what links it to Y; T of such a copy b is T_b, and::

        p = (1 + #{b: T_b >= T}) / (permutations + 1)

    Without X each copy is a permutation of all rows: the test is exact. With X it is a local permutation
    (Runge 2018, AISTATS): rows are visited in random order, and each takes the Z of a random one of its
    ``neighbours`` nearest rows in X, itself included, that has not given yet (where all of them have, of any
    one of them). Then the level is approximate: it is right as far as Z is distributed alike at such
    neighbours, so with many columns in X, or few rows, p is too small. Of rows equally near, donors are those
    that follow on the circle of ``codec``.

    Time is O(n^2 (columns + neighbours)) to find donors, and for the copies that of one scan over
    ``permutations`` candidate columns; for Z of several columns somewhat more, and much more if rows of X are
    equal: then one copy after the other. See Azadkia and Chatterjee (2021) for T.

    There are ``permutations`` copies: p is at least 1 / (permutations + 1). A row may take the Z of 1 (itself
    alone: p = 1) to n ``neighbours``. All else is as in ``codec``: noise is added once, before rows are moved
    as a whole; ``rng`` makes first the draws of ``codec``, then those of the copies.

    Returns:
        Statistic, p-value and the T_b. All NaN, with an ``UndefinedCodecWarning``, where T is 0/0: in the
        sample Y is already a function of X (or constant).

    Raises:
        ValueError: As ``codec``; ``permutations`` below 1; ``neighbours`` not in 1..n.
    """
    check_options(ties, noise, threads)
    at_most, at_least = ranks_of(y)
    n = len(at_most)
    given = np.empty((0, n)) if x is None else columns_of(x, "x", n)
    columns = np.vstack([given, columns_of(z, "z", n)])
    require_count("permutations", permutations)
    require_count("neighbours", neighbours, most=n)
    generator = np.random.default_rng(rng)
    order = circle(n, ties, generator)
    columns = np.ascontiguousarray(jitter(columns, ties, noise, generator)[:, order])
    given, moved, ranks = columns[: len(given)], columns[len(given) :], at_most[order]
    cyclic = ties != "first"
    q_given = 0 if x is None else agreement(given, ranks, cyclic=cyclic, threads=threads)

    def statistic(q: int) -> float:
        return unconditional(q, at_least) if x is None else conditional(q, q_given, at_most)

    if np.isnan(statistic(q_given)):  # the denominator does not depend on Z
        return IndependenceTest(np.nan, np.nan, np.full(permutations, np.nan))
    near = None if x is None else near_rows(given, neighbours, threads)
    sums = [sums_of(given, moved, np.arange(n)[None], ranks, cyclic=cyclic, threads=threads)]
    size = max(1, CHUNK // moved.size)
    for done in range(0, permutations, size):
        drawn = local_permutations(n, near, min(size, permutations - done), generator)
        sums.append(sums_of(given, moved, drawn, ranks, cyclic=cyclic, threads=threads))
    observed, *copies = np.concatenate(sums).tolist()
    reached = sum(q >= observed for q in copies)  # T grows with Q: integers compare without rounding
    p_value = (1 + reached) / (permutations + 1)
    return IndependenceTest(statistic(observed), p_value, np.array([statistic(q) for q in copies]))
