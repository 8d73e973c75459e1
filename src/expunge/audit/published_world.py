"""The published mechanism: b in the objective, and a decision that depends on it."""

from __future__ import annotations

from typing import Any

import numpy as np

from expunge.audit import scores
from expunge.audit.judging import Scores
from expunge.audit.worlds import Array, Data, Effort, World, require_rows
from expunge.predictors.linear import SETTINGS
from expunge.studies.leak_replay import Replay, ToldModel

_HOW = ("epsilon", "delta", "certificate", "update", "perturbation", "anchor", "correct_to")


class PublishedWorld(World):
    """The first request, served by the program with b that it draws itself; and training without these rows.

    There b is drawn here, by the law that the settings promise, so that a program that draws another is
    found. Where a request is refused nothing new is out: such draws are not counted. What is looked at is
    ``b~ = -grad L(w; D')``, which is b in exact retraining.
    """

    def __init__(self, method: Any, data: Data, rng: np.random.Generator) -> None:
        super().__init__(method, data, rng)
        self.x, model = require_rows(data), method.predictor
        settings = {key: getattr(model, key) for key in SETTINGS if key != "progress"}
        how = {key: getattr(method, key) for key in _HOW}
        self.replay = Replay(self.x, data.y, data.gone[0], settings, how)
        self.alone = ToldModel(**settings)
        self.not_tried.append("two models of one b: the published claim is about somebody who sees one")

    def scores(self, effort: Effort) -> Scores:
        """The decision played again, the size of b~, and a test that is learned of b~."""
        out: tuple[list[Array], list[Array]] = [], []
        asked: tuple[list[bool], list[bool]] = [], []

        def see(world: int, weights: Array) -> None:
            out[world].append(self.replay.b_of(weights))
            asked[world].append(self.replay.would_retrain(weights))

        for _ in effort.draws():
            self.method.fit(self.x, self.data.y, self._seed())
            if self._remove(self.method, self.data.gone[0]) != "refused":
                see(0, self.method.predictor.weights)
            self.alone.b = self._b(self.x.dim * self.method.predictor.width)
            self.alone.fit(*self.replay.rest, seed=0)  # which draws nothing
            see(1, self.alone.weights)
            self.drawn += 1
        if not out[0]:
            return {}
        sides = np.stack(out[0]), np.stack(out[1])
        sizes = [np.linalg.norm(side, axis=1) / self.alone.std for side in sides]
        return {
            "would it have retrained?": (np.array(asked[0]), np.array(asked[1])),
            "residual size": (sizes[0], sizes[1]),
            "learned test": scores.fitted(*sides),
        }

    def _b(self, size: int) -> Array:
        """Draw b by the law that is promised, (size,): not by the program's own function."""
        direction = self.rng.normal(size=size)
        if self.method.perturbation == "gaussian":
            return np.asarray(self.alone.std * direction)
        # of density exp(-||b|| / t): ||b|| is Gamma(size, t), and a coordinate has std t sqrt(size + 1)
        length = self.rng.gamma(size, self.alone.std / np.sqrt(size + 1))
        return np.asarray(length * direction / np.linalg.norm(direction))
