"""What the unlearners of the linear model share: labels, training, prediction, row bookkeeping."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import hypot, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, softmax
from tqdm import tqdm

from expunge.core.checks import require_count, require_positive, require_share, require_switch
from expunge.core.errors import InvalidValue, UserError
from expunge.core.files import State
from expunge.core.seeds import stream
from expunge.linear.logistic import LogisticProblem
from expunge.linear.one_vs_rest import one_vs_rest
from expunge.linear.parallel import one_blas_thread
from expunge.linear.rows import BLOCK_ROWS, Array, Rows
from expunge.linear.solver import Fit, FitReport, build_factor, train
from expunge.unlearners.column import Column, Start
from expunge.unlearners.row_ids import checked


class LinearModel:
    """Logistic regression ``L_b``: one weight vector for two classes, one a class (one-vs-rest) for more.

    Of two classes the larger label is +1. K > 2 binary problems are trained on the same rows or on
    subsamples of their negatives (``expunge.linear.one_vs_rest``); the class with the largest score is
    predicted. Weights and perturbation are (d,) for two classes, (d, K) for more.

    Args:
        lam: Regularisation per example, > 0; it multiplies the number of rows that a class uses.
        tol: Training stops at ||grad||_2 < tol (of the summed loss).
        max_iter: Newton steps at most, for each class.
        subsample_ratio: Share of the other classes' rows that a class uses, in (0, 1]; 1 with two classes.
        joint_training: Whether ``tol`` is for the norm over all classes, ``sqrt(sum_k ||grad_k||^2)``, or
            for each class by itself.
        progress: Show a bar over the classes (on a terminal only).
    """

    columns: Sequence[Column]

    def __init__(
        self,
        lam: float,
        tol: float = 1e-8,
        max_iter: int = 200,
        subsample_ratio: float = 1.0,
        joint_training: bool = True,
        progress: bool = False,
    ) -> None:
        self.lam = require_positive("lam", lam)
        self.tol = require_positive("tol", tol)
        self.max_iter = require_count("max_iter", max_iter)
        self.subsample_ratio = require_share("subsample_ratio", subsample_ratio)
        self.joint_training = require_switch("joint_training", joint_training)
        self.progress = progress

    # -- training ---------------------------------------------------------------------------------------

    def _begin(self, y: NDArray[np.int64], seed: int | None) -> None:
        """Take over labels and seed."""
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise UserError(
                f"labels: got one class ({self.classes_[0]}), allowed: two or more; see dataset.classes"
            )
        if len(self.classes_) == 2 and self.subsample_ratio != 1:
            raise InvalidValue("subsample_ratio", self.subsample_ratio, "1 with two classes")
        self.kept = np.ones(len(y), dtype=bool)
        self._secret = secrets.randbits(64) if seed is None else seed

    @property
    def width(self) -> int:
        """Number of columns: 1 for two classes, K for more."""
        return 1 if len(self.classes_) == 2 else len(self.classes_)

    def _problems(self, x: Rows, y: NDArray[np.int64], b: Array | None = None) -> list[LogisticProblem]:
        """The columns' losses over all rows; b is (d,) or (d, K), None for zeros."""
        b = np.zeros((x.dim, self.width)) if b is None else b.reshape(x.dim, self.width)
        rng = stream(self._secret, "subsample")
        return one_vs_rest(x, y, self.classes_, self.lam, b, self.subsample_ratio, rng)

    def _fits(
        self, problems: Sequence[LogisticProblem], starts: Sequence[Start] | None = None
    ) -> Iterator[tuple[LogisticProblem, Fit, float]]:
        """Train one column after the other, each to its share of the tolerance.

        Args:
            problems: One a column.
            starts: Where each begins; None for zero, with what ``_start`` gives.

        Yields:
            The column's problem, its fit, and the bound on ||X||_2 of its start.
        """
        tol = self.tol / sqrt(len(problems)) if self.joint_training else self.tol
        hide = None if self.progress and len(problems) > 1 else True
        rows: Rows | None = None
        bar = tqdm(problems, disable=hide, desc="training", unit="class", leave=False)
        for k, problem in enumerate(bar):
            if starts is not None:
                start = starts[k]
            elif problem.rows is not rows:
                rows, start = problem.rows, self._start(problem)
            yield problem, train(problem, tol, self.max_iter, start.w, start.factor), start.spectral

    def _start(self, problem: LogisticProblem) -> Start:
        """Zero, with the inverse Hessian there: columns with the same rows have the same."""
        return Start(build_factor(problem, np.zeros(problem.rows.dim)))

    def _train(self, problems: Sequence[LogisticProblem]) -> list[FitReport]:
        found = [(Column(problem, fit.w), fit.report) for problem, fit, _ in self._fits(problems)]
        self.columns = [column for column, _ in found]
        return [report for _, report in found]

    # -- removal ----------------------------------------------------------------------------------------

    def _checked(self, rows: Sequence[int]) -> NDArray[np.int64]:
        """Validate a request against the rows that are still there."""
        return checked(rows, self.kept)

    def _left(self, index: NDArray[np.int64]) -> list[LogisticProblem]:
        """The columns' problems without these rows; those of columns that use none of them are unchanged."""
        rows: Rows | None = None
        problems = []
        for column in self.columns:
            problem = column.problem
            if problem.rows is not rows:  # columns that share rows go on sharing them
                rows = problem.rows
                left = rows.without(index) if np.any(rows.scale[index] != 0) else rows
            problems.append(problem if left is rows else replace(problem, rows=left))
        return problems

    def _without_rows(self, problems: Sequence[LogisticProblem]) -> str | None:
        """Why there is no model for these problems: a class has no row left (its subsample was small)."""
        for problem, name in zip(problems, self.classes_[-self.width :], strict=True):
            if not problem.n:
                return f"class {name} would have no row left to be trained on"
        return None

    # -- what it says -----------------------------------------------------------------------------------

    @property
    def problem(self) -> LogisticProblem:
        """The only column's loss (two classes)."""
        (column,) = self.columns
        return column.problem

    @property
    def w(self) -> Array:
        """The only column's weights, (d,) (two classes)."""
        (column,) = self.columns
        return column.w

    @property
    def weights(self) -> Array:
        """(d, K), (d, 1) for two classes."""
        return np.stack([column.w for column in self.columns], axis=1)

    def decision(self, x: Rows) -> Array:
        """``x_i.w``, (n,) for two classes, (n, K) for more."""
        scores = [x.scores(column.w) for column in self.columns]
        return scores[0] if len(scores) == 1 else np.stack(scores, axis=1)

    def predict(self, x: Rows) -> NDArray[np.int64]:
        """Labels, (n,)."""
        scores = self.decision(x)
        return self.classes_[(scores > 0).astype(np.int64) if scores.ndim == 1 else scores.argmax(axis=1)]

    def residual(self) -> float:
        """||grad L_b(w; D)||_2 over the retained rows and all classes, by one float64 pass a class."""
        return hypot(*(float(np.linalg.norm(c.problem.gradient(c.w))) for c in self.columns))

    @one_blas_thread()
    def losses(self, x: Rows, y: NDArray[np.int64], rows: NDArray[np.int64]) -> Array:
        """``sum_k log(1 + exp(-y_ik x_i.w_k))`` of each of these rows of ``x``, (m,), removed or not.

        A row counts in every class, whether or not the class's subsample has it.
        """
        w = self.weights
        terms = [np.logaddexp(0.0, -signs * (block @ w)).sum(1) for block, signs in self._blocks(x, y, rows)]
        return np.concatenate([np.empty(0), *terms])

    @one_blas_thread()
    def gradient_norm(self, x: Rows, y: NDArray[np.int64], rows: NDArray[np.int64]) -> float:
        """The 2-norm over all weights of the gradient of the mean of those losses."""
        weights, loss_and_gradient = self.mean_loss(x, y, rows)
        return float(np.linalg.norm(loss_and_gradient(weights)[1]))

    def mean_loss(
        self, x: Rows, y: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> tuple[Array, Callable[[Array], tuple[float, Array]]]:
        """The mean of those losses as a function of the weights, column after column of (d, K) in one row."""
        shape = self.weights.shape

        @one_blas_thread()
        def loss_and_gradient(flat: Array) -> tuple[float, Array]:
            w, loss, gradient = flat.reshape(shape), 0.0, np.zeros(shape)
            for block, signs in self._blocks(x, y, rows):
                margins = signs * (block @ w)
                loss += float(np.logaddexp(0.0, -margins).sum())
                gradient -= block.T @ (signs * expit(-margins))
            return loss / len(rows), gradient.ravel() / len(rows)

        return self.weights.ravel(), loss_and_gradient

    @one_blas_thread()
    def probabilities(self, x: Rows, rows: NDArray[np.int64] | None = None) -> Array:
        """``(sigmoid(-s), sigmoid(s))`` for two classes, ``sigmoid(s_k) / sum_j sigmoid(s_j)`` for more.

        Args:
            x: Any rows.
            rows: Ids among them, (m,); None for all.

        Returns:
            (m, K) float64, in the order of ``classes_``; s are the scores ``x_i.w_k``.
        """
        w, chosen = self.weights, np.arange(len(x)) if rows is None else rows
        parts = [chosen[start : start + BLOCK_ROWS] for start in range(0, len(chosen), BLOCK_ROWS)]
        scores = np.concatenate([np.empty((0, w.shape[1])), *(x.dense(part) @ w for part in parts)])
        if self.width == 1:
            return np.hstack([expit(-scores), expit(scores)])
        return np.asarray(softmax(log_expit(scores), axis=1))

    def _blocks(
        self, x: Rows, y: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> Iterator[tuple[Array, Array]]:
        """Rows in float64, (m, d), and their signs, (m, K); a few at a time: 8-bit rows grow eightfold."""
        positive = self.classes_[-self.width :]
        for start in range(0, len(rows), BLOCK_ROWS):
            chosen = rows[start : start + BLOCK_ROWS]
            yield x.dense(chosen), np.where(y[chosen][:, None] == positive, 1.0, -1.0)

    @one_blas_thread()
    def retrained(self, x: Rows, y: NDArray[np.int64], rows: NDArray[np.int64]) -> LinearModel:
        """The minimiser of ``L_b`` over these rows of ``x``, with this model's settings, b and subsamples."""
        how = (self.lam, self.tol, self.max_iter, self.subsample_ratio, self.joint_training)
        reference = LinearModel(*how)
        reference._begin(y, self._secret)
        others = np.setdiff1d(np.arange(len(x)), rows)
        reference._train([p.without(others) for p in reference._problems(x, y, self.model()["perturbation"])])
        return reference

    # -- saving -----------------------------------------------------------------------------------------

    def model(self) -> dict[str, NDArray[Any]]:
        """``weight`` w and ``perturbation`` b, float64, (d,) or (d, K): enough to recompute the residual."""
        if self.width == 1:
            return {"weight": self.w, "perturbation": self.problem.b}
        b = np.stack([column.problem.b for column in self.columns], axis=1)
        return {"weight": self.weights, "perturbation": b}

    def state(self) -> State:
        """Weights, perturbation, which rows have left, and the seed of what was drawn (a secret)."""
        arrays = {**self.model(), "removed_rows": np.flatnonzero(~self.kept)}
        return State(arrays, {"classes": self.classes_.tolist(), "secret": self._secret})

    def load_state(self, state: State, x: Rows, y: NDArray[np.int64]) -> None:
        """Continue from ``state`` with the rows and labels that ``fit`` was given."""
        self._begin(y, state.values["secret"])
        problems = self._problems(x, y, state.arrays["perturbation"])
        weights = state.arrays["weight"].reshape(x.dim, self.width)
        self.columns = [
            Column(problem, np.ascontiguousarray(weights[:, k])) for k, problem in enumerate(problems)
        ]
        removed = state.arrays["removed_rows"]
        left = zip(self.columns, self._left(removed), strict=True)
        self.columns = [column.without(problem) for column, problem in left]
        self.kept[removed] = False


def require_std(std: float) -> float:
    """Return ``std``, or raise ``InvalidValue`` unless it is a finite number >= 0."""
    if isinstance(std, (str, bool)) or not 0 <= std < float("inf"):
        raise InvalidValue("std", std, "a finite number >= 0")
    return std


def draw(seed: int | None, dim: int, std: float, width: int = 1) -> Array:
    """A Gaussian perturbation for methods that need no certificate, (dim, width); std 0 gives zeros.

    With the same seed it is the b that a certified Gaussian method draws first.
    """
    return as_columns(std * stream(seed, "perturbation", 0).normal(size=dim * width), dim)


def as_columns(flat: Array, dim: int) -> Array:
    """A perturbation as it is drawn, column after column, as (dim, width)."""
    return flat.reshape(-1, dim).T
