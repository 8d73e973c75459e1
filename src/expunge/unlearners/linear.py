"""What the unlearners of the binary linear model share: labels, training, prediction, row bookkeeping."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from expunge.errors import InvalidValue, UserError, require_count, require_positive
from expunge.linear.logistic import LogisticProblem
from expunge.linear.newton import Fit, train
from expunge.linear.parallel import one_blas_thread
from expunge.linear.rows import BLOCK_ROWS, Array, Rows
from expunge.seeds import stream
from expunge.unlearners.base import State
from expunge.unlearners.row_ids import checked

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
        return LogisticProblem(x, self._signs(y), self.lam, b)

    def _signs(self, y: NDArray[np.int64]) -> Array:
        return np.where(y == self.classes_[1], 1.0, -1.0)

    def _train(self, problem: LogisticProblem, **how: Any) -> Fit:
        fit = train(problem, tol=self.tol, max_iter=self.max_iter, **how)
        self.problem, self.w = problem, fit.w
        return fit

    def _checked(self, rows: Sequence[int]) -> NDArray[np.int64]:
        """Validate a request against the rows that are still there."""
        return checked(rows, self.problem.rows.scale != 0)

    def decision(self, x: Rows) -> Array:
        """``x_i.w``, (n,)."""
        return x.scores(self.w)

    def predict(self, x: Rows) -> NDArray[np.int64]:
        """Labels, (n,)."""
        return self.classes_[(self.decision(x) > 0).astype(np.int64)]

    def residual(self) -> float:
        """||grad L_b(w; D)||_2 over the retained rows, by one float64 pass."""
        return float(np.linalg.norm(self.problem.gradient(self.w)))

    @one_blas_thread()
    def losses(self, x: Rows, y: NDArray[np.int64], rows: NDArray[np.int64]) -> Array:
        """``log(1 + exp(-y_i x_i.w))`` of each of these rows of ``x``, (m,), removed or not."""
        terms = [np.logaddexp(0.0, -signs * (block @ self.w)) for block, signs in self._blocks(x, y, rows)]
        return np.concatenate([np.empty(0), *terms])

    @one_blas_thread()
    def gradient_norm(self, x: Rows, y: NDArray[np.int64], rows: NDArray[np.int64]) -> float:
        """``||1/m sum_i -y_i sigmoid(-y_i x_i.w) x_i||_2``: the gradient of the mean of those losses."""
        total = np.zeros(x.dim)
        for block, signs in self._blocks(x, y, rows):
            total -= (signs * expit(-signs * (block @ self.w))) @ block
        return float(np.linalg.norm(total / len(rows)))

    def _blocks(
        self, x: Rows, y: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> Iterator[tuple[Array, Array]]:
        """The rows in float64 and their signs; a few at a time, for 8-bit rows take eight times the space."""
        for start in range(0, len(rows), BLOCK_ROWS):
            chosen = rows[start : start + BLOCK_ROWS]
            yield x.dense(chosen), self._signs(y[chosen])

    @one_blas_thread()
    def retrained(self, x: Rows, y: NDArray[np.int64], rows: NDArray[np.int64]) -> LinearModel:
        """The minimiser of ``L_b`` over these rows of ``x``, with this model's lam, b and tolerance."""
        reference = LinearModel(self.lam, self.tol, self.max_iter)
        others = np.setdiff1d(np.arange(len(x)), rows)
        reference._train(reference._encode(x, y, self.problem.b).without(others))
        return reference

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


def require_std(std: float) -> float:
    """Return ``std``, or raise ``InvalidValue`` unless it is a finite number >= 0."""
    if isinstance(std, (str, bool)) or not 0 <= std < float("inf"):
        raise InvalidValue("std", std, "a finite number >= 0")
    return std


def draw(seed: int | None, dim: int, std: float) -> Array:
    """A Gaussian perturbation for methods that need no certificate; std 0 gives zeros.

    With the same seed it is the b that a certified Gaussian method draws first.
    """
    return std * stream(seed, "perturbation", 0).normal(size=dim)
