"""Noise at release: the internal models of both worlds are known, and only noise is drawn."""

from __future__ import annotations

import time
from copy import deepcopy
from typing import Any

import numpy as np

from expunge.audit import scores
from expunge.audit.judging import Scores
from expunge.audit.worlds import Array, Data, Effort, World, require_rows
from expunge.core.errors import BrokenInvariant
from expunge.studies.leak_replay import minimiser, without
from expunge.studies.leak_worlds import log_ratio
from expunge.unlearners import release

_SLOW = 0.25  # seconds of a training, beyond which one serves all pairs
LOW_BITS = "low bits"


class ReleasedWorld(World):
    """The first release and one for each request, by the program; and exact retraining at every step.

    Exact retraining is w*, solved to rounding, with noise that is drawn here by the law and the standard
    deviation that are promised, so that a program that draws another is found. Every pair goes through
    ``fit`` and ``remove``; where training takes long it is done once, and every pair removes rows from a
    copy.
    Beside them, ``at the edge``: the program's noise around models that are as far from w* as the noise is
    said to cover, which no program that works ever is.

    Attributes:
        exact: w* after each release, (k, p).
        near: w~ likewise.
    """

    def __init__(self, method: Any, data: Data, rng: np.random.Generator) -> None:
        super().__init__(method, data, rng)
        x, model = require_rows(data), method.predictor
        self.seeded = method.noise != "lattice"
        method.rehearse(x, data.y)
        begun = time.perf_counter()
        method.fit(x, data.y, self._seed() if self.seeded else None)
        self.slow = time.perf_counter() - begun > _SLOW
        self.guarantee = method.guarantee
        gone = [data.rows[: sum(map(len, data.gone[:k]))] for k in range(len(data.gone) + 1)]
        gone = gone[1:] if self.slow else gone  # of the first release there would be one draw
        self.releases = len(gone)
        self.exact = np.stack([minimiser(*without(x, data.y, rows), model.lam).ravel() for rows in gone])
        self.near = self.exact
        if self.guarantee.noise == "float":
            self.excused = (LOW_BITS,)
        if self.slow:
            self.not_tried.append("the first release: training takes long here and was done once")

    def scores(self, effort: Effort) -> Scores:
        """All attacks of this world on the releases that were drawn."""
        std, grid = self.guarantee.std, self.guarantee.grid
        removed, retrained = self._drawn(effort)
        sides = removed, retrained
        found = {
            "likelihood ratio of a release": [
                log_ratio(side[:, -1:], self.near[-1:], self.exact[-1:], std) for side in sides
            ],
            "likelihood ratio of all releases": [
                log_ratio(side, self.near, self.exact, std) for side in sides
            ],
            "residual size": [scores.residual_size(side, self.exact, std) for side in sides],
            LOW_BITS: [scores.low_bits(side, self.near, self.exact, grid) for side in sides],
            "learned test": list(
                scores.fitted(*(((side - self.exact) / std).reshape(len(side), -1) for side in sides))
            ),
            "at the edge": self._at_the_edge(effort.bulk),
        }
        if self.releases > 1:
            found["change between releases"] = [scores.change_size(side, self.exact, std) for side in sides]
        return {name: (one, other) for name, (one, other) in found.items()}

    def _drawn(self, effort: Effort) -> tuple[Array, Array]:
        """What is released in so many pairs, (draws, k, p) in either world."""
        removed: list[Array] = []
        for _ in effort.draws():
            out, kept = self._served()
            self.near = np.array(kept)
            removed.append(np.array(out))
            self.drawn += 1
        return np.stack(removed), self._noisy(self.exact, self.drawn)

    def _served(self) -> tuple[list[Array], list[Array]]:
        """All releases of one draw, and the models inside."""
        seed = self._seed() if self.seeded else None
        if self.slow:
            method = deepcopy(self.method)
            if seed is not None:
                method.predictor.seed = seed
        else:
            method = self.method
            method.fit(self.data.x, self.data.y, seed)
        out, kept = [], []
        for number, request in enumerate(((), *self.data.gone)):
            if number and (ended := self._remove(method, request)) != "removed":
                raise BrokenInvariant("outcome", ended, "removed", f"release {number + 1}")
            if number or not self.slow:
                out.append(method.predictor.weights.ravel())
                kept.append(np.stack([column.w for column in method.columns], axis=1).ravel())
        return out, kept

    def _noisy(self, centre: Array, draws: int) -> Array:
        """Exact models with the noise that is promised, (draws, k, p): not by the program's own functions.

        The discrete Gaussian is a normal number, rounded: with s at least a thousand steps of the lattice the
        two laws are less than 1e-7 apart, and no number of draws that is made here tells them apart.
        """
        std, grid = self.guarantee.std, self.guarantee.grid
        noise = std * self.rng.normal(size=(draws, *centre.shape))
        if not grid:
            return np.asarray(centre + noise)
        return np.asarray(grid * (np.rint(centre / grid) + np.rint(noise / grid)))

    def _at_the_edge(self, draws: int) -> list[Array]:
        """Likelihood ratios of as many releases as are covered, with w~ as far off as the noise covers.

        Those of k releases at distance Delta are those of one at ``sqrt(k) Delta``: that is what is drawn.
        """
        guarantee, exact = self.guarantee, self.exact[-1:, :1]
        std, grid = guarantee.std, guarantee.grid
        near = exact + np.sqrt(guarantee.releases) * guarantee.sensitivity
        self.bulk = draws
        around = np.broadcast_to(near, (draws, *near.shape))
        if grid:
            noisy = release.on_lattice(around, std, grid)
        else:
            noisy = release.with_float_noise(around, std, self.rng)
        return [log_ratio(side, near, exact, std) for side in (noisy, self._noisy(exact, draws))]
