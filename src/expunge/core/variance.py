"""Where the variance of a number comes from: levels of chance, each within the one above it.

The model is the random-effects nested one, of three levels

    y_ijk = mu + a_i + b_ij + e_ijk,    Var a = s_1, Var b = s_2, Var e = s_3,

all effects independent with mean 0. The variances are estimated by the method of moments (nested analysis of
variance; Searle, Casella and McCulloch, *Variance Components*, 1992, chapters 3 and 5), which asks for no
distribution, and of any numbers of observations.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

import numpy as np
from numpy.typing import NDArray

Draws = tuple[Hashable, ...]
"""The path to an observation: which member of each level it is of, the outermost first."""
_CONFIDENCE = 0.95
_ROUNDING = 1e-12  # of a mean square
_ULPS = 2.0**-49  # of the largest number


@dataclass(frozen=True)
class Component:
    """The part of one level.

    Attributes:
        estimate: Of its variance, without bias; below 0 by chance where the true one is small.
        variance: The same, and 0 in the place of what is below.
        share: ``variance`` over the sum of those of all levels; None where that sum is 0.
    """

    estimate: float
    variance: float
    share: float | None


@dataclass(frozen=True)
class Decomposition:
    """What is said of a number over nested levels.

    Attributes:
        mean: Every member of the outermost level counts once, whatever is below it.
        error: Standard error of the mean, ``sqrt(MS_1 / n)`` where every level has equally many members; None
            where nothing outermost was drawn twice.
        low, high: Its 95% interval, by Student's t with one degree of freedom less than there are members.
        components: Of each level, the outermost first; None of a level of which nothing was drawn twice.
    """

    mean: float
    error: float | None
    low: float | None
    high: float | None
    components: tuple[Component | None, ...]


def decomposed(values: Mapping[Draws, float]) -> Decomposition:
    """Return mean and variance components of observations that may be of any number in each cell.

    With SS_l the sum over groups g of level l of ``n_g (mean_g - mean_of_its_parent)^2`` and df_l the number
    of groups less that of the level above, ``E MS_l = sum_{m >= l} c_lm s_m`` with

        c_lm = (sum_{g of l} sum_{h of m in g} n_h^2 / n_g - the same of the level above) / df_l;

    the equations are solved from the innermost level outwards. With I x J x K these are the usual ones:
    ``MS_3 = s_3``, ``MS_2 = s_3 + K s_2``, ``MS_1 = s_3 + K s_2 + J K s_1``. A level of which nothing was
    drawn twice has df 0, and no part: what would vary there was the same throughout. What is no more than
    rounding is 0.

    Args:
        values: Draws -> number, finite; one at least, and all paths of equal length.
    """
    paths, y = list(values), np.array(list(values.values()), dtype=np.float64)
    depth, nothing = len(paths[0]), (_ULPS * float(np.abs(y).max())) ** 2
    groups = [_members([path[:level] for path in paths]) for level in range(depth + 1)]
    means = [_means(y - y[0], of) for of in groups]  # a shift changes no variance, and digits are wanted
    weights = [[_weight(outer, inner) for inner in groups] for outer in groups]
    estimates: dict[int, float] = {}
    for level in range(depth, 0, -1):
        if not (free := len(groups[level]) - len(groups[level - 1])):
            continue
        factors = {m: (weights[level][m] - weights[level - 1][m]) / free for m in range(level, depth + 1)}
        square = float(np.sum((means[level] - means[level - 1]) ** 2)) / free
        found = (square - sum(factors[m] * one for m, one in estimates.items())) / factors[level]
        nothing = max(nothing, _ROUNDING * square)
        estimates[level] = found if abs(found) > nothing else 0.0
    clipped = {level: max(estimate, 0.0) for level, estimate in estimates.items()}
    whole = sum(clipped.values())
    components = tuple(
        Component(estimates[level], clipped[level], clipped[level] / whole if whole else None)
        if level in estimates
        else None
        for level in range(1, depth + 1)
    )
    return Decomposition(nested_mean(values), *_spread(values), components)


def nested_mean(values: Mapping[Draws, float]) -> float:
    """Return the mean in which every member of a level counts as much as its siblings do."""
    return fmean(outermost(values).values())


def outermost(values: Mapping[Draws, float]) -> dict[Hashable, float]:
    """Return the mean of each member of the outermost level, of which each member counts alike, and so on."""
    found = dict(values)
    while any(len(path) > 1 for path in found):
        inner: dict[Draws, list[float]] = {}
        for path, value in found.items():
            inner.setdefault(path[:-1], []).append(value)
        found = {path: fmean(some) for path, some in inner.items()}
    return {path[0]: value for path, value in found.items()}


def _spread(values: Mapping[Draws, float]) -> tuple[float | None, float | None, float | None]:
    """Standard error and interval of the mean of the outermost members, which are independent."""
    means = list(outermost(values).values())
    if len(means) < 2:
        return None, None, None
    from scipy.special import stdtrit  # which takes its time: not for --help

    middle, error = fmean(means), stdev(means) / sqrt(len(means))
    reach = error * float(stdtrit(len(means) - 1, (1 + _CONFIDENCE) / 2))
    return error, middle - reach, middle + reach


def _members(prefixes: Sequence[Draws]) -> list[list[int]]:
    """The places of the observations of each group."""
    found: dict[Draws, list[int]] = {}
    for place, prefix in enumerate(prefixes):
        found.setdefault(prefix, []).append(place)
    return list(found.values())


def _means(y: NDArray[np.float64], groups: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """For each observation the mean of its group."""
    found = np.empty_like(y)
    for group in groups:
        found[group] = y[group].mean() if len(group) > 1 else y[group]
    return found


def _weight(outer: Sequence[Collection[int]], inner: Sequence[Collection[int]]) -> float:
    """``sum_g sum_{h in g} n_h^2 / n_g``: of groups h of one level, each in a g of it or of one above."""
    size = {place: len(group) for group in outer for place in group}
    return sum(len(group) ** 2 / size[next(iter(group))] for group in inner)
