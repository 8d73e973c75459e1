"""FOCI, feature ordering by conditional independence (Azadkia and Chatterjee 2021), and L-FOCI."""

from __future__ import annotations

import warnings
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from expunge.codec.device import DeviceScan, device_of, open_scan
from expunge.codec.inputs import columns_of, ranks_of
from expunge.codec.placed import columns_there, jittered
from expunge.codec.scan import Scan
from expunge.codec.statistic import UndefinedCodecWarning, conditional, unconditional
from expunge.codec.tie_breaking import NOISE, Ties, check_options, circle, jitter
from expunge.core.checks import require_choice, require_count


class Selection(NamedTuple):
    """Chosen columns in their order of choice, (k,) int64; the T each was chosen with, (k,) float64."""

    columns: NDArray[np.int64]
    scores: NDArray[np.float64]


def foci(
    X: Any,
    y: Any,
    *,
    max_features: int | None = None,
    stop: bool = True,
    method: Literal["foci", "cheap"] = "foci",
    ties: Ties = "random",
    noise: float = NOISE,
    rng: int | np.random.Generator = 0,
    threads: int | None = None,
) -> Selection:
    """Choose, one after the other, the columns of X that explain most of what is left of Y.

    First the column with the largest T(Y, X_j), then that with the largest T(Y, X_j | chosen), until the
    largest is not above zero, or Y is a function of the chosen columns in the sample (T would be 0/0). Equal
    scores go to the lower column; constant columns are never chosen. ``ties="noise"`` makes this L-FOCI
    (Mehta et al. 2022). See ``codec`` for T and for arguments that have its names.

    X is (n, p), NumPy or torch (on a GPU the scan runs there and chooses the same columns), y (n,). At most
    ``max_features`` are chosen; with ``stop=False`` also those with scores of zero and below. ``method`` is
    ``foci``, or ``cheap``: the first column alone.

    Returns:
        Columns and scores, both empty (with an ``UndefinedCodecWarning``) for a constant ``y``.

    Raises:
        ValueError: NaN or infinite entries, lengths that differ, n < 3, no columns, not numeric, an unknown
            ``ties`` or ``method``, ``max_features`` below 1.
    """
    check_options(ties, noise, threads)
    require_choice("method", method, ("foci", "cheap"))
    if max_features is not None:
        require_count("max_features", max_features)
    most = 1 if method == "cheap" else max_features
    scan, candidates, at_most, at_least = _opened(X, y, ties, noise, rng, threads)
    if at_most.min() == len(at_most):
        warnings.warn("y is constant: nothing to choose", UndefinedCodecWarning, stacklevel=2)
        return Selection(np.empty(0, dtype=np.int64), np.empty(0))
    return _greedy(scan, candidates, at_most, at_least, most, stop)


def scores_alone(
    X: Any,
    y: Any,
    *,
    ties: Ties = "random",
    noise: float = NOISE,
    rng: int | np.random.Generator = 0,
    threads: int | None = None,
) -> NDArray[np.float64]:
    """T(Y, X_j) of each column by itself, (p,) float64: what ``foci`` chooses its first column by.

    The arguments are those of ``foci``; for ``ties`` other than ``noise`` a score is that of ``codec`` with
    the same seed. NaN for a constant column, and for all (with an ``UndefinedCodecWarning``) if ``y`` is
    constant.

    Raises:
        ValueError: As ``foci``.
    """
    check_options(ties, noise, threads)
    scan, candidates, at_most, at_least = _opened(X, y, ties, noise, rng, threads)
    scores = np.full(len(scan.columns), np.nan)
    if at_most.min() == len(at_most):
        warnings.warn("y is constant: T is undefined (0/0)", UndefinedCodecWarning, stacklevel=2)
    elif len(candidates):
        scores[candidates] = [unconditional(int(q), at_least) for q in scan.sums(candidates)]
    return scores


class _Opened(NamedTuple):
    """A scan of the columns, with ties broken; which are not constant; R and L, both (n,)."""

    scan: Scan | DeviceScan
    candidates: NDArray[np.int64]
    at_most: NDArray[np.int64]
    at_least: NDArray[np.int64]


def _opened(
    X: Any, y: Any, ties: Ties, noise: float, rng: int | np.random.Generator, threads: int | None
) -> _Opened:
    at_most, at_least = ranks_of(y)
    generator = np.random.default_rng(rng)
    columns: Any
    if device_of(X) is None:
        columns = columns_of(X, "X", len(at_most))
        order = circle(len(at_most), ties, generator)
        candidates = np.flatnonzero(columns.max(axis=1) > columns.min(axis=1))
        columns = jitter(columns, ties, noise, generator)[:, order]
    else:
        columns, candidates = columns_there(X, "X", len(at_most))
        order = circle(len(at_most), ties, generator)
        columns = jittered(columns, ties, noise, generator, threads)[:, order]
    scan = open_scan(columns, at_most[order], cyclic=ties != "first", threads=threads, like=X)
    return _Opened(scan, candidates, at_most, at_least)


def _greedy(
    scan: Scan | DeviceScan,
    candidates: NDArray[np.int64],
    at_most: NDArray[np.int64],
    at_least: NDArray[np.int64],
    most: int | None,
    stop: bool,
) -> Selection:
    chosen: list[int] = []
    scores: list[float] = []
    reached = 0
    while len(candidates) and (most is None or len(chosen) < most):
        sums = scan.sums(candidates)
        best = int(np.argmax(sums))
        q = int(sums[best])
        score = conditional(q, reached, at_most) if chosen else unconditional(q, at_least)
        if stop and score <= 0:
            break
        chosen.append(int(candidates[best]))
        scores.append(score)
        reached = q
        if reached == int(at_most.sum()):  # y is a function of the chosen columns: the next T is 0/0
            break
        scan.choose(chosen[-1])
        candidates = np.delete(candidates, best)
    return Selection(np.array(chosen, dtype=np.int64), np.array(scores, dtype=np.float64))
