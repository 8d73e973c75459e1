"""Noisy fine-tuning of a network: from where it stands, and from a network that never saw the rows."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from itertools import islice

import numpy as np

from expunge.audit import scores
from expunge.audit.judging import Scores
from expunge.audit.worlds import Array, Data, Effort, World
from expunge.core.errors import BrokenInvariant
from expunge.training.compute import torch_threads
from expunge.unlearners.noisy_finetune import NoisyFinetune
from expunge.unlearners.noisy_steps import gradient, passes
from expunge.unlearners.tuning import Tuning

LOW_BITS = "low bits"


class NoisyWorld(World):
    """The weights after the noisy steps of each request, before the repair: more than anybody gets to see.

    The network is trained once; every pair serves the requests on a copy, by the program. The other world is
    written here once more: a network trained without the rows, its projection, clipped steps on the same
    batches, and normal noise of the standard deviation that is promised. Beside them, ``at the edge``: the
    program's noise around two starts at opposite ends of the ball whose gradients point away from each other
    at their full length, which is what the noise is said to cover.

    Attributes:
        starts: Weights of the network trained without the rows of the first request, of the first two, ...
        began: Weights of the network as it was trained.
    """

    def __init__(self, method: NoisyFinetune, data: Data, rng: np.random.Generator) -> None:
        super().__init__(method, data, rng)
        method.repair = replace(method.repair, epochs=0)
        seed = self._seed() if method.noise != "lattice" else 0
        method.fit(data.x, data.y, seed)
        self.plan = method.guarantee
        self.gone = data.gone[: self.plan.releases - 1]
        self.releases = len(self.gone)
        self.began, self.starts = method.flat(), []
        for number in range(1, self.releases + 1):
            left = np.array([row for request in self.gone[:number] for row in request])
            other = deepcopy(method)
            other.predictor = method.predictor.retrained(data.x, data.y, method.predictor.staying(left))
            self.starts.append(other.flat())
        if self.plan.noise == "float":
            self.excused = (LOW_BITS,)
            self.not_tried.append("low bits, which float noise does not hide")
        self.not_tried.append("decisions: the program makes none by what it sees")

    def scores(self, effort: Effort) -> Scores:
        """All attacks of this world on the weights that were drawn, (draws, requests, p) in either world."""
        removed, retrained = [], []
        for _ in effort.draws():
            removed.append(self._served())
            retrained.append(self._other())
            self.drawn += 1
        sides = [np.stack(removed), np.stack(retrained)]
        std = self.plan.gathered
        centre = np.stack([self._steps(t, start, noise=False) for t, start in enumerate(self.starts)])
        found = {
            "likelihood ratio, to first order": [self._ratio(side) for side in sides],
            "size of the noise": [scores.residual_size(side, centre, std) for side in sides],
            "learned test": list(
                scores.fitted(*(((side - centre) / std).reshape(len(side), -1) for side in sides))
            ),
            "at the edge": self._at_the_edge(effort.bulk),
        }
        if self.releases > 1:
            found["change between releases"] = [scores.change_size(side, centre, std) for side in sides]
        return {name: (one, other) for name, (one, other) in found.items()}

    def _served(self) -> Array:
        """What the program makes of the requests, one after the other, (requests, p)."""
        method = self._copy()
        out = []
        for request in self.gone:
            if (ended := self._remove(method, request)) != "removed":
                raise BrokenInvariant("outcome", ended, "removed")
            out.append(method.flat())
        return np.stack(out)

    def _other(self) -> Array:
        return np.stack([self._steps(t, start) for t, start in enumerate(self.starts)])

    def _copy(self) -> NoisyFinetune:
        """The method as it was after training; float noise, which comes of the seed, is another's."""
        made: NoisyFinetune = deepcopy(self.method)
        if self.plan.noise == "float":
            made.predictor.seed = self._seed()
        return made

    def _steps(self, number: int, start: Array, noise: bool = True) -> Array:
        """The noisy steps of request ``number`` (from 0), from ``start``: nothing but batches is shared."""
        plan, method = self.plan, self._copy()
        for request in self.gone[:number]:
            method.predictor.leave(np.array(request))
        index = np.array(self.gone[number])
        x = start * min(1.0, plan.radius / float(np.linalg.norm(start)))
        with torch_threads(method.predictor.learner.threads):
            tuning = Tuning(method.predictor, index, method.training, number + 1)
            for batch in islice(passes(tuning), plan.steps):
                method.put(x)
                g = gradient(tuning, batch)
                g *= min(1.0, plan.clip / max(float(np.linalg.norm(g)), 1e-300))
                x = x - plan.lr * (g + plan.decay * x)
                if noise:
                    x = x + plan.std * self.rng.normal(size=len(x))
        method.put(x)
        return method.flat()

    def _ratio(self, side: Array) -> Array:
        """Log-likelihood ratio of all requests without gradients: starts pulled in, all noise at once."""
        plan = self.plan
        pull = plan.contraction**plan.steps
        total = np.zeros(len(side))
        for t, start in enumerate(self.starts):
            before = np.broadcast_to(self.began, side[:, 0].shape) if t == 0 else side[:, t - 1]
            one = pull * np.stack([plan.start(row) for row in before])
            other = pull * plan.start(start)
            total += np.sum((one - other) * (2 * side[:, t] - one - other), axis=1)
        return total / (2 * plan.gathered**2)

    def _at_the_edge(self, draws: int) -> list[Array]:
        """Where two trajectories end that are driven apart as far as is covered, along the line between them.

        Those of k requests at that distance are those of one at ``sqrt(k)`` times it.
        """
        plan, root, self.bulk = self.plan, float(np.sqrt(self.plan.releases - 1)), draws
        ends = []
        for sign, ours in ((1.0, True), (-1.0, False)):
            x = np.full(draws, sign * root * plan.radius)
            for _ in range(plan.counted):
                x = plan.contraction * x + sign * root * plan.lr * plan.clip
                x = plan.noisy(x, self.rng) if ours else x + plan.std * self.rng.normal(size=draws)
            ends.append(x)
        return ends
