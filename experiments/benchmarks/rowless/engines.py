"""The models that are timed, and others of the same training with other noise."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.removal.contenders import Clock, trained
from expunge.linear.logistic import LogisticProblem
from expunge.linear.rowless_column import RowlessColumn
from expunge.linear.rows import Array, Rows
from expunge.predictors.linear import LinearModel
from expunge.unlearners.newton import Newton

UPDATE = "rowless"
RELEASES = 1000
PROMISE: dict[str, Any] = {"epsilon": 1.0, "delta": 1e-5}
SEED = 0


def releasing(rows: Rows, y: NDArray[np.int64], lam: float, update: str = UPDATE, **plan: Any) -> Newton:
    """Train with float noise at release; ``plan`` may hold ``std`` or ``residual``."""
    how = {"certificate": "measured", "perturbation": "release", "releases": RELEASES, "noise": "float"}
    model = Newton(LinearModel(lam=lam, std=0.0), update=update, **PROMISE, **how, **plan)
    model.fit(rows, y, SEED)
    return model


def published(rows: Rows, y: NDArray[np.int64], lam: float) -> Newton:
    """Train as published, with the noise in the objective: the Hessian is made anew at every request."""
    setting = {**PROMISE, "lam": lam, "std": 10.0}
    return trained(rows, y, setting, SEED, update="fresh", certificate="data_dependent")


def another(model: Newton, noise: str = "float", std: float | None = None) -> Newton:
    """The model of the same training with other noise, planned as if it had been trained with it.

    Training goes as far as it can, whatever the noise, so that nothing else differs; no row may have left.
    """
    made = copy(model)
    made.predictor = copy(model.predictor)
    made.noise, made.std, made.released = noise, std, 1
    scheme: Any = model.scheme
    made.guarantee = scheme._planned(made, [column.problem.n for column in made.columns])
    made.predictor.protected = noise == "lattice"
    return made


class Served:
    """A model that serves requests, one row each, and what became of them; a ``Contender``.

    ``rows`` and ``y`` are those of the fit: what is left of the gradient is told by them, and not by what the
    model has kept.
    """

    batch = 1

    def __init__(
        self, key: str, what: str, model: Newton, rows: Rows, y: NDArray[np.int64], per_repeat: int = 1
    ) -> None:
        self.key, self.what, self.model, self.per_repeat = key, what, model, per_repeat
        self._rows, self._y = rows, y
        self.removed: list[int] = []
        self.passes: list[int] = []

    def serve(self, rows: Sequence[int], clock: Clock = perf_counter) -> float:
        """Remove the rows; return the seconds it took by this clock."""
        begin = clock()
        outcome = self.model.remove(rows)
        seconds = clock() - begin
        assert outcome.outcome == "removed", outcome.reason
        self.removed += rows
        self.passes.append(int(outcome.figures.get("passes", len(self.passes) + 1)))
        return seconds

    def passed(self) -> NDArray[np.bool_]:
        """Whether each request so far took a pass over the rows, (requests,)."""
        return np.diff(self.passes, prepend=0) > 0

    def weights(self) -> Array:
        """The model inside, (d,)."""
        (column,) = self.model.columns
        return column.w

    def facts(self) -> dict[str, Any]:
        """Passes so far, the bound that stands, and the norm of the gradient over the rows that stay."""
        (column,) = self.model.columns
        signs = np.where(self._y == 1, 1.0, -1.0)
        b = getattr(column.problem, "b", np.zeros(self._rows.dim))
        left = LogisticProblem(self._rows.without(self.removed), signs, self.model.predictor.lam, b)
        account = self.model.account
        return {
            "served": len(self.removed),
            "passes": self.passes[-1],
            "bound": account.beta,
            "residual": float(np.linalg.norm(left.gradient(column.w))),
        }


class Passing(Served):
    """The same, where every request takes a pass over the rows, needed or not."""

    def serve(self, rows: Sequence[int], clock: Clock = perf_counter) -> float:
        """Remove the rows, and anchor the model where it is then."""
        seconds = super().serve(rows, clock)
        (column,) = self.model.columns
        assert isinstance(column, RowlessColumn)
        (covered,) = self.model.guarantee.shares(self.model.predictor.lam, [column.problem.n])
        begin = clock()
        column.passed(covered)
        return seconds + clock() - begin
