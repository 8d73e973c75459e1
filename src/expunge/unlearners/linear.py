"""What the unlearners of the binary linear model share: labels, training, prediction, row bookkeeping."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.errors import InvalidValue, UserError, require_count, require_positive
from expunge.linear.logistic import LogisticProblem
from expunge.linear.newton import Fit, train
from expunge.linear.rows import Array, Rows
from expunge.seeds import stream
from expunge.unlearners.base import State

log = logging.getLogger(__name__)


class LinearModel:
    """Logistic regression ``L_b`` on two classes; the larger label is +1.

    Args:
        lam: Regularisation per example, > 0.
        tol: Training stops at ||grad||_2 < tol (of the summed loss).
        max_iter: Newton steps at most.
    """

    def __init__(self, lam: float, tol: float = 1e-8, max_iter: int = 200) -> None:
        self.lam = require_positive("lam", lam)
        self.tol = require_positive("tol", tol)
        self.max_iter = require_count("max_iter", max_iter)

    def _encode(self, x: Rows, y: NDArray[np.int64], b: Array) -> LogisticProblem:
        """Take over labels and rows."""
        self.classes_ = np.unique(y)
        if len(self.classes_) != 2:
            named = ", ".join(map(str, self.classes_[:6])) + (", ..." if len(self.classes_) > 6 else "")
            raise UserError(
                f"labels: got {len(self.classes_)} classes ({named}), allowed: two; "
                "choose two of them with dataset.classes"
            )
        signs = np.where(y == self.classes_[1], 1.0, -1.0)
        return LogisticProblem(x, signs, self.lam, b)

    def _train(self, problem: LogisticProblem, **how: Any) -> Fit:
        fit = train(problem, tol=self.tol, max_iter=self.max_iter, **how)
        self.problem, self.w = problem, fit.w
        return fit

    def _checked(self, rows: Sequence[int]) -> NDArray[np.int64]:
        """Validate a request against the rows that are still there."""
        index = np.asarray(rows)
        if index.ndim != 1 or not len(index) or not np.issubdtype(index.dtype, np.integer):
            raise InvalidValue("rows", rows, "a list of one or more whole numbers")
        index = index.astype(np.int64)
        last = len(self.problem.rows) - 1
        for bad in index[(index < 0) | (index > last)][:1]:
            raise InvalidValue("rows", int(bad), f"training rows from 0 to {last}")
        values, counts = np.unique(index, return_counts=True)
        for bad in values[counts > 1][:1]:
            raise InvalidValue("rows", int(bad), "each row once in a request")
        for bad in index[self.problem.rows.scale[index] == 0][:1]:
            raise InvalidValue("rows", int(bad), "rows that have not been removed before")
        if len(index) >= self.problem.n:
            raise InvalidValue(
                "rows", f"{len(index)} rows", f"at most {self.problem.n - 1}: one row at least must stay"
            )
        return index

    def decision(self, x: Rows) -> Array:
        """``x_i.w``, (n,)."""
        return x.scores(self.w)

    def predict(self, x: Rows) -> NDArray[np.int64]:
        """Labels, (n,)."""
        return self.classes_[(self.decision(x) > 0).astype(np.int64)]

    def residual(self) -> float:
        """||grad L_b(w; D)||_2 over the retained rows, by one float64 pass."""
        return float(np.linalg.norm(self.problem.gradient(self.w)))

    def model(self) -> dict[str, NDArray[Any]]:
        """``weight`` w and ``perturbation`` b, (d,) float64: enough to recompute the residual."""
        return {"weight": self.w, "perturbation": self.problem.b}

    def state(self) -> State:
        """Weights, perturbation and which rows have left."""
        removed = np.flatnonzero(self.problem.rows.scale == 0)
        return State({**self.model(), "removed_rows": removed}, {"classes": self.classes_.tolist()})

    def load_state(self, state: State, x: Rows, y: NDArray[np.int64]) -> None:
        """Continue from ``state`` with the rows and labels that ``fit`` was given."""
        problem = self._encode(x, y, state.arrays["perturbation"])
        self.problem = problem.without(state.arrays["removed_rows"])
        self.w = state.arrays["weight"]


def draw(seed: int | None, dim: int, std: float) -> Array:
    """A Gaussian perturbation for methods that need no certificate; std 0 gives zeros.

    With the same seed it is the b that a certified Gaussian method draws first.
    """
    return std * stream(seed, "perturbation", 0).normal(size=dim)
