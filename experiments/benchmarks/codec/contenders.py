"""The codec benchmark's data, and the baselines: each scores candidates given the columns chosen so far.

Azadkia and Chatterjee (2021). With R_i = #{j: Y_j <= Y_i}, L_i = #{j: Y_j >= Y_i} and M(i), N(i) the nearest
neighbours of i, itself left out:

    T(Y, Z)     = sum_i (n min(R_i, R_M(i)) - L_i^2) / sum_i L_i (n - L_i)                     M(i) in Z
    T(Y, Z | X) = sum_i (min(R_i, R_M(i)) - min(R_i, R_N(i))) / sum_i (R_i - min(R_i, R_N(i)))
                                                                           M(i) in (X, Z), N(i) in X
    FOCI: the column with the largest T(Y, X_j), then the largest T(Y, X_j | chosen), until none is above 0
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

LATENTS = 20
DEAD = 0.03
NOISE = 0.01  # what L-CODEC adds to every entry, times a standard normal
BLOCK = 64

Floats = NDArray[np.float64]


class Scorer(Protocol):
    """Scores candidates as one step of the greedy selection does.

    Attributes:
        shared: Searches that a step with chosen columns makes once for all its candidates.
    """

    shared: int

    def scores(self, candidates: Sequence[int], chosen: Sequence[int]) -> Sequence[float]:
        """Return T(Y, X_j), or T(Y, X_j | chosen), of each candidate j."""


def activations(n: int, p: int, seed: int) -> tuple[Floats, Floats]:
    """Columns like the units of a network under input noise, and a target that follows some of them.

    Each column mixes up to four of 20 Gaussian factors with noise of its own, at a scale of its own; half
    are cut to max(0, value - threshold), and 3 in 100 are dead (constant 0).

    Args:
        n: Rows.
        p: Columns.
        seed: Another seed, other data.

    Returns:
        x: (n, p).
        y: (n,) smooth and nonlinear in five factors, plus noise.
    """
    rng = np.random.default_rng([seed, n, p])
    latents = rng.standard_normal((n, LATENTS))
    loadings = np.zeros((LATENTS, p))
    for column in loadings.T:
        used = rng.permutation(LATENTS)[: rng.integers(1, 5)]
        column[used] = rng.standard_normal(len(used))
    x = latents @ loadings + rng.uniform(0.2, 0.8, p) * rng.standard_normal((n, p))
    cut = rng.permutation(p)[: p // 2]
    x[:, cut] = np.maximum(0.0, x[:, cut] - rng.normal(0.0, 0.5, len(cut)))
    x *= np.exp(0.3 * rng.standard_normal(p))
    x[:, rng.permutation(p)[: round(DEAD * p)]] = 0.0
    u = latents.T
    y = np.sin(1.5 * u[0]) + u[1] + 0.7 * np.tanh(u[2]) * u[3] + 0.3 * u[4] ** 2
    return x, y + 0.3 * rng.standard_normal(n)


def attributes(n: int, p: int, seed: int) -> tuple[Floats, Floats]:
    """Binary columns that depend on each other, as the attributes of a picture do, and one more as target.

    Args:
        n: Rows.
        p: Columns.
        seed: Another seed, other data.

    Returns:
        x: (n, p) of 0 and 1.
        y: (n,) of 0 and 1.
    """
    rng = np.random.default_rng([seed, n, p, 2])
    loadings = rng.standard_normal((8, p + 1))
    values = rng.standard_normal((n, 8)) @ loadings + 1.5 * rng.standard_normal((n, p + 1))
    levels = rng.uniform(0.05, 0.6, p + 1)
    binary = (values > np.quantile(values, 1 - levels, axis=0).diagonal()).astype(np.float64)
    return np.ascontiguousarray(binary[:, :p]), binary[:, p]


class Published:
    """The published shape in float32 torch: both searches anew for every candidate, matrices of distances.

    Distances are ``torch.cdist`` at its default, which multiplies matrices beyond 25 rows. The ranks are made
    once, here, and not charged.
    """

    shared = 0

    def __init__(self, x: Floats, y: Floats, seed: int = 0) -> None:
        self._x = torch.tensor(x, dtype=torch.float32)
        values = torch.tensor(y, dtype=torch.float64)
        ordered = values.sort().values
        self._r = torch.searchsorted(ordered, values, right=True).float()
        self._l = (len(y) - torch.searchsorted(ordered, values)).float()
        self._generator = torch.Generator().manual_seed(seed)

    def scores(self, candidates: Sequence[int], chosen: Sequence[int]) -> list[float]:
        """Score one candidate after the other."""
        with torch.inference_mode():
            return [self._score(candidate, chosen) for candidate in candidates]

    def _score(self, candidate: int, chosen: Sequence[int]) -> float:
        r, above, n = self._r, self._l, len(self._r)
        both = r.minimum(r[self.neighbours([*chosen, candidate])])
        if not chosen:
            return float((n * both - above * above).sum() / (above * (n - above)).sum())
        alone = r.minimum(r[self.neighbours(chosen)])
        return float((both - alone).sum() / (r - alone).sum())

    def neighbours(self, columns: Sequence[int]) -> torch.Tensor:
        """(n,) nearest other row in ``columns``."""
        return self.distances(self._x[:, list(columns)]).argmin(dim=1)

    @staticmethod
    def distances(w: torch.Tensor) -> torch.Tensor:
        """(n, n) distances, infinite on the diagonal."""
        return torch.cdist(w, w).fill_diagonal_(torch.inf)


class PublishedTies(Published):
    """CODEC with its tie-breaking: row by row, all neighbours at the least distance, and one at random."""

    def neighbours(self, columns: Sequence[int]) -> torch.Tensor:
        """(n,) one of the nearest other rows."""
        distances = self.distances(self._x[:, list(columns)])
        found = torch.empty(len(distances), dtype=torch.int64)
        for row, (line, least) in enumerate(zip(distances, distances.min(dim=1).values, strict=True)):
            ties = torch.nonzero(line == least).ravel()
            found[row] = ties[torch.randint(len(ties), (), generator=self._generator)]
        return found


class PublishedNoise(Published):
    """L-CODEC: noise breaks the ties beforehand."""

    def neighbours(self, columns: Sequence[int]) -> torch.Tensor:
        """(n,) nearest other row once every entry is disturbed."""
        w = self._x[:, list(columns)]
        noise = torch.randn(w.shape, generator=self._generator)
        return self.distances(w + NOISE * noise).argmin(dim=1)


class Xicorpy:
    """``xicorpy``, by the function that its selection calls at every step."""

    shared = 1

    def __init__(self, x: Floats, y: Floats) -> None:
        self._library: Any = importlib.import_module("xicorpy")
        self._x, self._y = importlib.import_module("pandas").DataFrame(x), y

    def scores(self, candidates: Sequence[int], chosen: Sequence[int]) -> list[float]:
        """Score with one data frame of candidates and one of chosen columns."""
        given = self._x[list(chosen)] if chosen else None
        found = self._library.compute_conditional_dependence_1d(self._y, self._x[list(candidates)], given)
        return [float(found[candidate]) for candidate in candidates]

    def select(self) -> list[int]:
        """Return the columns of its whole selection."""
        return [int(column) for column in self._library.select_features_using_foci(self._y, self._x)]


class Exact:
    """Every distance in float64 from differences, block by block.

    Args:
        x: (n, p).
        y: (n,).
        order: The rows in their order on a circle: of equally near ones, the first that follows is taken.
            None: the one with the lowest number.
        threads: Share the candidates.
    """

    shared = 1

    def __init__(
        self, x: Floats, y: Floats, order: NDArray[np.int64] | None = None, threads: int = 1
    ) -> None:
        self._cyclic, self._threads = order is not None, threads
        rows = np.arange(len(y)) if order is None else order
        self._x, ordered = np.ascontiguousarray(x[rows].T), np.sort(y)
        self._r = np.searchsorted(ordered, y[rows], side="right")
        self._l = len(y) - np.searchsorted(ordered, y[rows], side="left")

    def scores(self, candidates: Sequence[int], chosen: Sequence[int]) -> list[float]:
        """Score all candidates on one matrix of squared distances in the chosen columns."""
        r, above, n = self._r, self._l, len(self._r)
        squared = np.zeros((n, n))
        for column in chosen:
            squared += np.subtract.outer(self._x[column], self._x[column]) ** 2
        np.fill_diagonal(squared, np.inf)
        with ThreadPoolExecutor(self._threads) as pool:
            both = list(pool.map(lambda candidate: self._sum(squared, self._x[candidate]), candidates))
        if not chosen:
            bottom, less = int((above * (n - above)).sum()), int((above * above).sum())
            return [(n * total - less) / bottom if bottom else 0.0 for total in both]
        alone = self._sum(squared, np.zeros(n))
        rest = int(r.sum()) - alone
        return [(total - alone) / rest if rest else 0.0 for total in both]

    def _sum(self, squared: Floats, z: Floats) -> int:
        """Return the sum over i of min(R_i, R_M(i))."""
        total, buffer = 0, np.empty((BLOCK, len(z)))
        for first in range(0, len(z), BLOCK):
            rows = slice(first, min(first + BLOCK, len(z)))
            block = np.subtract(z[rows, None], z, out=buffer[: rows.stop - first])
            block *= block
            block += squared[rows]
            total += int(np.minimum(self._r[rows], self._r[self._nearest(block, first)]).sum())
        return total

    def _nearest(self, block: Floats, first: int) -> NDArray[np.int64]:
        """Return the place of each row's least entry; ``first`` is the number of the first row."""
        nearest = block.argmin(axis=1)
        if self._cyclic:
            ties = block == np.take_along_axis(block, nearest[:, None], axis=1)
            tied = np.count_nonzero(ties, axis=1) > 1 if np.count_nonzero(ties) > len(ties) else []
            for k in np.flatnonzero(tied):
                places = np.flatnonzero(ties[k])
                after = int(np.searchsorted(places, first + k))
                nearest[k] = places[after % len(places)]
        return nearest


def greedy(scorer: Scorer, x: Floats) -> tuple[list[int], list[Floats]]:
    """Select columns until no score is above 0; constant columns do not take part.

    Returns:
        The columns, and for every step (one more than columns, unless all are chosen) the scores of all p
        columns; one that does not take part, or no longer, has -infinity.
    """
    chosen: list[int] = []
    history: list[Floats] = []
    varying = np.flatnonzero(x.max(axis=0) > x.min(axis=0))
    while len(chosen) < len(varying):
        left = np.setdiff1d(varying, chosen)
        scores = np.full(x.shape[1], -np.inf)
        scores[left] = scorer.scores(left.tolist(), chosen)
        history.append(scores)
        if scores.max() <= 0:
            break
        chosen.append(int(scores.argmax()))
    return chosen, history


def seconds_along(
    scorer: Scorer, path: Sequence[int], p: int, share: int, rng: np.random.Generator, ends: bool = True
) -> float:
    """Time a share of the candidates at every step of a selection, and scale up to all of them.

    Args:
        scorer: What is timed.
        path: Columns in the order of their choice, so that every step has the right number chosen.
        p: Columns in all.
        share: Candidates timed at a step.
        rng: Draws them.
        ends: Charge the last step too, which finds that no score is above 0.
    """
    total = 0.0
    for step in range(min(p, len(path) + ends)):
        left = np.setdiff1d(np.arange(p), path[:step])
        some = rng.permutation(left)[:share].tolist()
        shared = scorer.shared if step else 0
        begin = perf_counter()
        scorer.scores(some, path[:step])
        total += (perf_counter() - begin) * (len(left) + shared) / (len(some) + shared)
    return total
