"""What the linear model says of rows: labels, probabilities, losses and their gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import hypot
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, softmax

from expunge.core.row_ids import row_ids
from expunge.linear.certified_column import WeightColumn
from expunge.linear.logistic import LogisticProblem
from expunge.linear.parallel import one_blas_thread
from expunge.linear.rows import BLOCK_ROWS, Array, Rows
from expunge.predictors.base import Predictor


class LinearOutputs(Predictor):
    """The half of ``LinearModel`` that only looks at the weights."""

    _columns: tuple[Sequence[WeightColumn], bool, Array | None]
    protected: bool = False
    """Whether the columns are a secret that the released weights keep: nothing is measured of them."""

    @property
    def _out(self) -> tuple[Sequence[WeightColumn], Array | None]:
        """Columns and released weights of one release.

        So nobody waits while a release is prepared; only where columns are on trial do other threads.
        """
        columns, on_trial, released = self._columns
        if not on_trial:
            return columns, released
        with self.lock:
            return self._columns[0], self._columns[2]

    @property
    def columns(self) -> Sequence[WeightColumn]:
        """Weights and problem of each class, all of one release: they are replaced together."""
        return self._out[0]

    @columns.setter
    def columns(self, columns: Sequence[WeightColumn]) -> None:
        self._columns = columns, False, None

    def put(self, columns: Sequence[WeightColumn], released: Array | None) -> None:
        """Take columns, and the weights (d, K) that are out in their place; None: they are themselves."""
        self._columns = columns, False, released

    @property
    def width(self) -> int:
        """Number of columns: 1 for two classes, K for more."""
        return width_of(len(self.classes_))

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
        """(d, K), (d, 1) for two classes: those that are out."""
        columns, released = self._out
        return _side_by_side([column.w for column in columns]) if released is None else released

    def decision(self, x: Rows) -> Array:
        """``x_i.w``, (n,) for two classes, (n, K) for more."""
        scores = [x.scores(w) for w in self.weights.T]
        return scores[0] if len(scores) == 1 else np.stack(scores, axis=1)

    def predict(self, x: Rows, rows: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Labels of some rows (None: all of them), (m,)."""
        scores = self.decision(x) if rows is None else self.decision(x)[_ids(rows, x)]
        return self.classes_[(scores > 0).astype(np.int64) if scores.ndim == 1 else scores.argmax(axis=1)]

    def residual(self) -> float | None:
        """||grad L_b(w; D)||_2 over the retained rows and all classes, by one float64 pass a class.

        Of a release w is the model that it is drawn around, and the norm None where that is to stay secret.
        """
        return None if self.protected else self.kept_residual()

    def kept_residual(self) -> float:
        """The same, for who keeps the model."""
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
        weights = self.weights
        shape = weights.shape

        @one_blas_thread()
        def loss_and_gradient(flat: Array) -> tuple[float, Array]:
            w, loss, gradient = flat.reshape(shape), 0.0, np.zeros(shape)
            for block, signs in self._blocks(x, y, rows):
                margins = signs * (block @ w)
                loss += float(np.logaddexp(0.0, -margins).sum())
                gradient -= block.T @ (signs * expit(-margins))
            return loss / len(rows), gradient.ravel() / len(rows)

        return weights.ravel(), loss_and_gradient

    @one_blas_thread()
    def probabilities(self, x: Rows, rows: NDArray[np.int64] | None = None) -> Array:
        """``(sigmoid(-s), sigmoid(s))`` for two classes, ``sigmoid(s_k) / sum_j sigmoid(s_j)`` for more.

        Args:
            x: Any rows.
            rows: Ids among them, (m,); None for all.

        Returns:
            (m, K) float64, in the order of ``classes_``; s are the scores ``x_i.w_k``.
        """
        scores = x.times(self.weights, None if rows is None else _ids(rows, x))
        return probabilities(scores)

    def _blocks(
        self, x: Rows, y: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> Iterator[tuple[Array, Array]]:
        """Rows in float64, (m, d), and their signs, (m, K); a few at a time: 8-bit rows grow eightfold."""
        positive, rows = self.classes_[-self.width :], _ids(rows, x)
        for start in range(0, len(rows), BLOCK_ROWS):
            chosen = rows[start : start + BLOCK_ROWS]
            yield x.dense(chosen), np.where(y[chosen][:, None] == positive, 1.0, -1.0)

    def model(self) -> dict[str, NDArray[Any]]:
        """``weight`` w and ``perturbation`` b, float64, (d,) or (d, K): enough to recompute the residual.

        Of a release the weights that are out, alone.
        """
        columns, released = self._out
        if released is not None:
            return {"weight": _alone(released)}
        return self._kept(columns)

    def _kept(self, columns: Sequence[WeightColumn]) -> dict[str, NDArray[Any]]:
        weight = _side_by_side([column.w for column in columns])
        b = _side_by_side([column.problem.b for column in columns])
        return {"weight": _alone(weight), "perturbation": _alone(b)}


def _ids(rows: Any, x: Rows) -> NDArray[np.int64]:
    return row_ids(rows, len(x), distinct=False)


def probabilities(scores: Array) -> Array:
    """``(sigmoid(-s), sigmoid(s))`` of (m, 1) scores, ``sigmoid(s_k) / sum_j sigmoid(s_j)`` of (m, K).

    Scores so low that every sigmoid is 0 in float64 have them too.
    """
    if scores.shape[1] == 1:
        return np.hstack([expit(-scores), expit(scores)])
    return np.asarray(softmax(log_expit(scores), axis=1))


def width_of(classes: int) -> int:
    """Weight vectors for this many classes."""
    return classes if classes > 2 else 1


def _alone(columns: Array) -> Array:
    """(d,) of a single column (d, 1); (d, K) as they are."""
    return np.ascontiguousarray(columns[:, 0]) if columns.shape[1] == 1 else columns


def _side_by_side(columns: Sequence[Array]) -> Array:
    return np.stack(columns, axis=1)
