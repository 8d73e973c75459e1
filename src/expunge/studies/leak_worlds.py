"""Two worlds on a small problem, by the program's own unlearners: a removal, and exact retraining.

The attack is on what is released, w after the removal of a row. With the minimiser for b itself,
``b~ = -grad L(w; D')`` is b (Guo et al. 2020, section 3.3), so that an observer who knows the data can replay
the mechanism with b~ and ask what it would have done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.certificate.empirical import Seen
from expunge.core.errors import BrokenInvariant, InvalidValue
from expunge.linear.operations import RowOperations
from expunge.linear.rows import Array, Rows
from expunge.predictors.linear import LinearModel
from expunge.studies.leak_replay import Replay, ToldModel, minimiser, without
from expunge.unlearners.newton import Newton


@dataclass(frozen=True)
class Small:
    """Rows of norm 1 in random directions, and the side of a random plane that they are on, -1 or 1."""

    rows: RowOperations
    y: NDArray[np.int64]

    @classmethod
    def drawn(cls, n: int, dim: int, seed: int) -> Small:
        """Draw n rows of ``dim`` features; ``seed`` is of the problem, and no secret."""
        rng = np.random.default_rng(seed)
        rows = Rows.normalised(rng.normal(size=(n, dim)))
        return cls(rows, np.where(rows.dense() @ rng.normal(size=dim) > 0, 1, -1))

    def without_first(self, count: int) -> Small:
        """The first ``count`` rows were never there."""
        return Small(*without(self.rows, self.y, range(count)))

    def minimiser(self, lam: float) -> Array:
        """w*, (d,)."""
        return minimiser(self.rows, self.y, lam)


class Published:
    """Removal of the first row with b in the objective, and the question 'would it have retrained?'.

    Args:
        small: The problem.
        lam: Regularisation per example.
        std: Standard deviation of b.
        claim: ``epsilon`` and ``delta``.
        how: ``certificate`` and ``update``.
        rng: What every b is drawn from.
    """

    def __init__(
        self,
        small: Small,
        lam: float,
        std: float,
        claim: dict[str, Any],
        how: dict[str, Any],
        rng: np.random.Generator,
    ) -> None:
        self.small, self.rest, self.rng = small, small.without_first(1), rng
        models = [ToldModel(lam, std) for _ in range(2)]
        for model in models:
            model.rng = rng
        self._alone = models[1]
        how = {**claim, **how, "perturbation": "gaussian"}
        self._mechanism = Newton(models[0], **how, at_limit="retrain")
        replay = Replay(small.rows, small.y, [0], {"lam": lam, "std": std}, how)
        self.would_retrain = replay.would_retrain

    def removed(self) -> tuple[str, Array]:
        """Train with a fresh b, remove the row; return how that ended and the model that is out, (d,).

        Raises:
            InvalidValue: ``std`` is too small for a retrained model to be certified.
        """
        model = self._mechanism.predictor
        assert isinstance(model, ToldModel)
        model.b = self._fresh_b()
        self._mechanism.fit(self.small.rows, self.small.y, seed=0)  # which draws nothing
        outcome = self._mechanism.remove([0]).outcome
        if outcome == "refused":
            raise InvalidValue("std", self._alone.std, "a larger value: a retrained model is not certified")
        return outcome, model.w

    def retrained(self) -> Array:
        """Train on the other rows alone, with a fresh b; return the model, (d,)."""
        model = self._alone
        model.b = self._fresh_b()
        model.fit(self.rest.rows, self.rest.y, seed=0)  # which draws nothing
        return model.w

    def _fresh_b(self) -> Array:
        return self._alone.std * self.rng.normal(size=self.small.rows.dim)


def ask_published(world: Published, draws: int) -> dict[str, list[Seen]]:
    """Draw both worlds so often, and ask of each model: ``retrain``, and ``refuse`` of what was served.

    Both policies release the same where the bound is within the budget. Beyond it one trains again; the other
    releases nothing, so that its draws count where a removal was served.
    """
    # How often, and how often the answer is yes.
    asked = {"removed": [0, 0], "retrained": [0, 0], "exact": [0, 0]}
    for _ in range(draws):
        for name, w in (world.removed(), ("exact", world.retrained())):
            asked[name][0] += 1
            asked[name][1] += world.would_retrain(w)
    served, again, (_, exact) = asked["removed"], asked["retrained"], asked["exact"]
    return {
        "retrain": [Seen(served[1] + again[1], draws, exact, draws)],
        "refuse": [Seen(served[1], served[0], exact, draws)],
    }


class Released:
    """Removals of the first rows one by one with noise at release, and exact retraining with the same noise.

    Args:
        small: The problem.
        lam: Regularisation per example.
        std: Standard deviation of the noise; None: the smallest that covers what the program holds.
        claim: ``epsilon`` and ``delta``.
        releases: k, the trained model and one for each of k - 1 removals, all covered.
        rng: What all noise is drawn from.

    Attributes:
        exact: w*, the minimisers over the rows that stay, (k, d).
    """

    def __init__(
        self,
        small: Small,
        lam: float,
        std: float | None,
        claim: dict[str, Any],
        releases: int,
        rng: np.random.Generator,
    ) -> None:
        self.small, self.releases, self.rng = small, releases, rng
        how: Any = {"certificate": "measured", "update": "corrected", "perturbation": "release"}
        self.method = Newton(LinearModel(lam, 0.0), **claim, **how, std=std, releases=releases, noise="float")
        self.exact = np.stack([small.without_first(k).minimiser(lam) for k in range(releases)])

    def drawn(self, draws: int) -> tuple[Array, Array, Array]:
        """Serve all requests so often; return W and w~, (draws, k, d), and W of exact retraining likewise."""
        out, kept = (np.empty((draws, *self.exact.shape)) for _ in range(2))
        for draw in range(draws):
            self.method.fit(self.small.rows, self.small.y, int(self.rng.integers(2**63 - 1)))
            for k in range(self.releases):
                if k and (ended := self.method.remove([k - 1])).outcome != "removed":
                    raise BrokenInvariant("outcome", ended.outcome, "removed", f"release {k + 1}")
                out[draw, k], kept[draw, k] = self.method.predictor.weights[:, 0], self.method.predictor.w
        noise = self.method.guarantee.std * self.rng.normal(size=out.shape)
        return out, kept, self.exact + noise

    def farthest(self) -> Array:
        """Models as far from w* as the noise covers, (k, d)."""
        dim = self.exact.shape[1]
        return self.exact + self.method.guarantee.sensitivity * np.full(dim, dim**-0.5)


def ask_released(world: Released, replay: Published, draws: int, epsilons: Array) -> dict[str, list[Seen]]:
    """Draw both worlds so often, and ask what tells them apart.

    ``replay``: the question of the published method, of the release after the first removal; and those of
    ``ask_ratios``.
    """
    removed, kept, retrained = world.drawn(draws)
    yes = [sum(replay.would_retrain(w) for w in side[:, 1]) for side in (removed, retrained)]
    return {
        "replay": [Seen(yes[0], draws, yes[1], draws)],
        **ask_ratios(world, removed, kept, retrained, epsilons),
    }


def ask_ratios(
    world: Released, removed: Array, kept: Array, retrained: Array, epsilons: Array
) -> dict[str, list[Seen]]:
    """Ask for the likelihood ratio of what ``world.drawn`` gave, with w~ and w* known.

    Whether it is above e^epsilon, and whether it is below e^-epsilon: no other event needs more. ``one``: of
    the release after the first removal alone. ``all``: of all releases together. ``edge``: the same with w~
    moved as far from w* as the noise covers, and the very noise of the program put around it.
    """
    std, far = world.method.guarantee.std, world.farthest()
    asked = {
        "one": (slice(1, 2), removed, kept[0]),
        "all": (slice(None), removed, kept[0]),
        "edge": (slice(None), removed - kept + far, far),
    }
    seen = {}
    for name, (of, out, near) in asked.items():
        ratios = [log_ratio(side[:, of], near[of], world.exact[of], std) for side in (out, retrained)]
        seen[name] = ratio_events(epsilons, *ratios)
    return seen


def log_ratio(released: Array, near: Array, exact: Array, std: float) -> Array:
    """``log N(W; w~, std^2) / N(W; w*, std^2)`` of all releases of each draw together, (draws,).

    ``released`` is (draws, k, d), ``near`` (w~) and ``exact`` (w*) are (k, d).
    """
    return np.sum((near - exact) * (2 * released - near - exact), axis=(1, 2)) / (2 * std**2)


def ratio_events(epsilons: Array, removed: Array, retrained: Array) -> list[Seen]:
    """Log-likelihood ratios, (draws,) in each world, above each epsilon and below minus each."""
    sides = [side[:, None] for side in (removed, retrained)]
    above, below = ([np.sum(sign * side > epsilons, axis=0) for side in sides] for sign in (1, -1))
    return [Seen(one, len(removed), other, len(retrained)) for one, other in (above, below)]
