"""The published mechanism with a b that is told: what an observer who knows the data can play again.

With the minimiser for b itself ``b~ = -grad L(w; D')`` is b (Guo et al. 2020, section 3.3), so that who sees
a model can replay the mechanism with b~ and ask what it would have done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.seeds import Noise
from expunge.linear.given import Array
from expunge.linear.operations import RowOperations
from expunge.predictors.linear import LinearModel
from expunge.unlearners.newton import Newton

_EXACT = 1e-13  # gradient norm of what counts as exactly retrained


class _Told:
    """Noise that is known already: what a perturbation of standard deviation 1 is to be, and b's length."""

    def __init__(self, values: Array, length: float) -> None:
        self.values, self.length = values, length

    def normal(self, *, size: int) -> Array:
        assert size == self.values.size
        return self.values

    def gamma(self, shape: int, scale: float) -> float:
        return self.length


class ToldModel(LinearModel):
    """The linear model with a b, flat as it is drawn, that is told; a retraining's own comes from ``rng``."""

    b: Array
    rng: Noise

    def noise(self, epoch: int) -> Noise:
        """What b is made of, whichever law it has."""
        return self.rng if epoch else _Told(self.b / self.std, float(np.linalg.norm(self.b)))


class Replay:
    """'Would it have retrained?', of a model that is out after the removal of ``gone``.

    Args:
        x: All rows.
        y: Their labels.
        gone: The rows that have left.
        model: Settings of the linear model, ``std`` > 0.
        how: Settings of ``Newton``, but for ``at_limit``.

    Attributes:
        rest: The rows that stay, and their labels.
    """

    def __init__(
        self,
        x: RowOperations,
        y: NDArray[np.int64],
        gone: Sequence[int],
        model: Mapping[str, Any],
        how: Mapping[str, Any],
    ) -> None:
        self.x, self.y, self.gone = x, y, list(gone)
        self.rest = without(x, y, gone)
        plain = LinearModel(**{**model, "std": 0.0})
        plain.begin(*self.rest, seed=0)  # which draws nothing where all classes use all rows
        self._losses = plain.problems()
        self._told = ToldModel(**model)
        self._method = Newton(self._told, **{**how, "at_limit": "refuse"})

    def b_of(self, weights: Array) -> Array:
        """``b~ = -grad L(w; D')``, flat as b is drawn; the weights are (d,) or (d, K)."""
        columns = weights.reshape(self.x.dim, -1).T
        return -np.concatenate(
            [loss.gradient(np.ascontiguousarray(w)) for loss, w in zip(self._losses, columns, strict=True)]
        )

    def would_retrain(self, weights: Array) -> bool:
        """Whether the bound passes the budget in a replay with the b that the weights give away."""
        self._told.b = self.b_of(weights)
        self._method.fit(self.x, self.y, seed=0)
        return self._method.remove(self.gone).outcome == "refused"


def without(
    x: RowOperations, y: NDArray[np.int64], gone: Sequence[int]
) -> tuple[RowOperations, NDArray[np.int64]]:
    """The rows that are left, as if the others had never been there."""
    stay = np.delete(np.arange(len(y)), list(gone))
    return x.alone(stay), y[stay]


def minimiser(x: RowOperations, y: NDArray[np.int64], lam: float) -> Array:
    """w*, (d,) or (d, K), as exactly as float64 has it."""
    model = LinearModel(lam, 0.0, tol=_EXACT)
    model.fit(x, y, seed=0)
    return model.model()["weight"]
