"""What is timed: each serves removal requests and says how long one took."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import hypot
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.harness import in_turns
from experiments.benchmarks.removal.published import PublishedRecipe
from expunge.linear.logistic import LogisticProblem
from expunge.linear.rows import Rows
from expunge.predictors.linear import SETTINGS, LinearModel
from expunge.unlearners.newton import Newton

Clock = Callable[[], float]


class Contender(Protocol):
    """A way to serve removal requests.

    Attributes:
        key: Letter in the tables.
        what: Description in the tables.
        batch: Rows in one request, which share one release.
        per_repeat: Requests timed in each repeat.
    """

    key: str
    what: str
    batch: int
    per_repeat: int

    def serve(self, rows: Sequence[int], clock: Clock = perf_counter) -> float:
        """Remove ``rows`` in one release; return the seconds it took by this clock."""

    def facts(self) -> dict[str, Any]:
        """What became of the requests served so far."""


class Published:
    """The published recipe; copying the row out is not charged, nor is it stopped at its budget.

    Args:
        problems: The loss; of K classes the K losses, on the same rows.
        w: (d,) trained weights; (d, K).
        budget: Of the residual, of all classes together.
        per_repeat: Requests timed in each repeat.
    """

    key, batch = "a", 1
    what = "published recipe, float32: Hessian rebuilt and inverted"

    def __init__(
        self,
        problems: LogisticProblem | Sequence[LogisticProblem],
        w: NDArray[np.float64],
        budget: float,
        per_repeat: int,
    ) -> None:
        self._problems = [problems] if isinstance(problems, LogisticProblem) else list(problems)
        self._budget, self.per_repeat = budget, per_repeat
        first = self._problems[0]
        y = np.stack([problem.y for problem in self._problems], axis=1)
        self._recipe = PublishedRecipe(first.rows.dense(), y, first.lam, w.reshape(-1, y.shape[1]))
        self._removed: list[int] = []
        self._over_budget = 0

    def serve(self, rows: Sequence[int], clock: Clock = perf_counter) -> float:
        """Remove one row."""
        (row,) = rows
        taken = self._recipe.take_out(row)
        begin = clock()
        self._recipe.update(*taken)
        seconds = clock() - begin
        self._removed.append(row)
        self._over_budget += self._recipe.bound > self._budget
        return seconds

    def facts(self) -> dict[str, Any]:
        """Releases whose bound was over the budget, and the residual by a float64 pass."""
        columns = self._recipe.w.numpy().astype(np.float64).T
        gradients = [
            problem.without(self._removed).gradient(w)
            for problem, w in zip(self._problems, columns, strict=True)
        ]
        return {
            "served": len(self._removed),
            "retrained": 0,
            "over_budget": self._over_budget,
            "bound": self._recipe.bound,
            "residual": hypot(*(float(np.linalg.norm(gradient)) for gradient in gradients)),
        }


class Ours:
    """``expunge.unlearners.newton.Newton`` with some update and certificate; a retraining is charged."""

    def __init__(self, key: str, what: str, model: Newton, per_repeat: int, batch: int = 1) -> None:
        self.key, self.what, self.batch, self.per_repeat = key, what, batch, per_repeat
        self.model = model
        self._served, self._retrained = 0, 0

    def serve(self, rows: Sequence[int], clock: Clock = perf_counter) -> float:
        """Remove the rows in one release."""
        begin = clock()
        outcome = self.model.remove(rows)
        seconds = clock() - begin
        self._served += 1
        self._retrained += outcome.outcome == "retrained"
        return seconds

    def facts(self) -> dict[str, Any]:
        """Retrainings, the bound that stands and the residual (of a release, that inside) by another pass."""
        gradients = [column.problem.gradient(column.w) for column in self.model.columns]
        return {
            "served": self._served,
            "retrained": self._retrained,
            "over_budget": 0,
            "bound": self.model.account.beta,
            "residual": hypot(*(float(np.linalg.norm(gradient)) for gradient in gradients)),
        }


def trained(
    rows: Rows,
    y: NDArray[np.int64],
    setting: Mapping[str, Any],
    seed: int,
    kind: Callable[..., LinearModel] = LinearModel,
    **how: Any,
) -> Newton:
    """Train ``kind`` with ``setting`` (lam, std, epsilon, delta); the same seed gives the same model."""
    own = {**setting, **how}
    linear = kind(**{key: own.pop(key) for key in SETTINGS if key in own})
    model = Newton(linear, at_limit="retrain", **own)
    model.fit(rows, y, seed)
    return model


def releasing(rows: Rows, y: NDArray[np.int64], setting: Mapping[str, Any], seed: int, noise: str) -> Newton:
    """Train as ``trained`` does, with noise at release: of ``noise``, for as many releases as can be made."""
    how = {"update": "corrected", "certificate": "measured", "perturbation": "release"}
    plan = {"noise": noise, "releases": len(rows) - 1}
    return trained(rows, y, {**setting, "std": 0.0}, seed, **how, **plan)


def take_turns(
    contenders: Sequence[Contender], stream: Sequence[int], repeats: int, clock: Clock = perf_counter
) -> dict[str, list[list[float]]]:
    """Time all contenders on the same stream of rows, in turns.

    Each goes on where it stopped in the repeat before, so that what an update does only now and then is
    timed too. The first request of each warms up (compilation, thread pools) and is not timed.

    Args:
        contenders: Each holds its own model.
        stream: Row ids in the order of removal; every contender starts at the first.
        repeats: Turns of each.
        clock: What seconds are told by.

    Returns:
        Key -> for each repeat, seconds per removed row of every request.
    """
    served = {contender.key: 0 for contender in contenders}

    def next_request(contender: Contender) -> float:
        first = served[contender.key] * contender.batch
        served[contender.key] += 1
        rows = [int(row) for row in stream[first : first + contender.batch]]
        return contender.serve(rows, clock) / contender.batch

    def turn(contender: Contender, repeat: int) -> list[float]:
        return [next_request(contender) for _ in range(contender.per_repeat)]

    for contender in contenders:
        next_request(contender)
    return in_turns({one.key: partial(turn, one) for one in contenders}, repeats)
