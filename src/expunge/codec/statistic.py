"""CODEC, the conditional dependence coefficient T(Y, Z | X) of Azadkia and Chatterjee (2021), and L-CODEC."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.codec.device import open_scan
from expunge.codec.inputs import columns_of, ranks_of
from expunge.codec.tie_breaking import NOISE, Ties, check_options, circle, jitter


class UndefinedCodecWarning(RuntimeWarning):
    """The denominator of T is zero: nothing is left of Y for Z to explain."""


def codec(
    y: Any,
    z: Any,
    x: Any = None,
    *,
    ties: Ties = "random",
    noise: float = NOISE,
    rng: int | np.random.Generator = 0,
    threads: int | None = None,
) -> float:
    """How much of Y does Z explain (given X)?  0: nothing; 1: Y is a function of Z (and X).

    With ``R_i = #{j: Y_j <= Y_i}``, ``L_i = #{j: Y_j >= Y_i}``, ``N(i)`` the nearest neighbour of row i in X
    and ``M(i)`` that in (X, Z), or in Z where there is no X (Azadkia and Chatterjee 2021)::

        T(Y, Z)     = sum_i (n min(R_i, R_M(i)) - L_i^2) / sum_i L_i (n - L_i)
        T(Y, Z | X) = sum_i (min(R_i, R_M(i)) - min(R_i, R_N(i))) / sum_i (R_i - min(R_i, R_N(i)))

    Distances are Euclidean, in float64 whatever the input; columns are taken as they are (scale them first if
    their units differ). In finite samples T can be a little below 0.

    Args:
        y: (n,) numbers; only their order matters.
        z: (n,) or (n, q).
        x: (n,) or (n, r); None: the unconditional T(Y, Z).
        ties: Who is the nearest neighbour among several at the same distance. ``random``: the rows are
            arranged on a circle by ``rng.permutation(n)`` and the tie goes to the first that follows, so that
            each is equally likely, and nobody stands in for a whole group; ``first``: the lowest row number;
            ``noise``: L-CODEC (Mehta et al. 2022) - columns get noise first, which leaves no ties.
        noise: For ``ties="noise"``: standard deviation of the noise, as a share of each column's own.
        rng: Seed or generator.
        threads: None: every core. The result is the same for any number.

    Returns:
        T; NaN, with an ``UndefinedCodecWarning``, where the denominator is zero: in the sample Y is already a
        function of X (or constant).

    Raises:
        ValueError: NaN or infinite entries, lengths that differ, n < 3, no columns, not numeric.
    """
    check_options(ties, noise, threads)
    at_most, at_least = ranks_of(y)
    n = len(at_most)
    conditions = np.empty((0, n)) if x is None else columns_of(x, "x", n)
    columns = np.vstack([conditions, columns_of(z, "z", n)])
    generator = np.random.default_rng(rng)
    order = circle(n, ties, generator)
    columns = jitter(columns, ties, noise, generator)[:, order]

    def q(chosen: NDArray[np.float64]) -> int:
        return agreement(chosen, at_most[order], cyclic=ties != "first", threads=threads, like=z)

    if x is None:
        return unconditional(q(columns), at_least)
    return conditional(q(columns), q(columns[: len(conditions)]), at_most)


def agreement(
    columns: NDArray[np.float64],
    ranks: NDArray[np.int64],
    *,
    cyclic: bool,
    threads: int | None,
    like: Any = None,
) -> int:
    """``Q = sum_i min(R_i, R_M(i))`` with M(i) the nearest neighbour in all of ``columns`` (k, n)."""
    still = np.zeros((1, columns.shape[1]))  # a candidate that changes no distance
    scan = open_scan(np.vstack([columns, still]), ranks, cyclic=cyclic, threads=threads, like=like)
    single = len(columns) == 1  # sorting will do
    for j in range(0 if single else len(columns)):
        scan.choose(j)
    return int(scan.sums(np.array([0 if single else len(columns)]))[0])


def unconditional(q: int, at_least: NDArray[np.int64]) -> float:
    """T(Y, Z) from ``Q(Z)`` and L, in exact integers up to the one division."""
    n = len(at_least)
    top = n * int(q) - _total(at_least**2)
    bottom = _total(at_least * (n - at_least))
    return top / bottom if bottom else _undefined("y is constant")


def conditional(q: int, q_given: int, at_most: NDArray[np.int64]) -> float:
    """T(Y, Z | X) from ``Q(X, Z)``, ``Q(X)`` and R."""
    bottom = _total(at_most) - int(q_given)
    return (int(q) - int(q_given)) / bottom if bottom else _undefined("y is a function of x in this sample")


def _total(values: NDArray[np.int64]) -> int:
    """The sum, without overflow: of squares it leaves 64 bits at three million rows."""
    return sum(int(part.sum()) for part in np.array_split(values, len(values) // 4096 + 1))


def _undefined(why: str) -> float:
    warnings.warn(f"{why}: T is undefined (0/0), NaN returned", UndefinedCodecWarning, stacklevel=3)
    return float("nan")
