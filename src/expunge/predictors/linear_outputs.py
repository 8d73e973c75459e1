"""What the linear model says of rows: labels, probabilities, losses and their gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import hypot, log
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, softmax

from expunge.core.row_ids import row_ids
from expunge.linear.certified_column import WeightColumn
from expunge.linear.classes import ClassList
from expunge.linear.given import BLOCK_ROWS, Array
from expunge.linear.logistic import LogisticProblem
from expunge.linear.operations import RowOperations
from expunge.linear.parallel import one_blas_thread
from expunge.predictors.base import Predictor


@dataclass(frozen=True)
class Released:
    """What is out, of one release: it is replaced as a whole, so that its parts are of one model.

    Attributes:
        classes: Those that some row has.
        columns: Weights and problem of each; of two classes one.
        on_trial: Whether they may yet be put back.
        drawn: (d, K) weights that are out in place of the columns' own, which stay a secret; None: these are.
    """

    classes: ClassList
    columns: Sequence[WeightColumn] = ()
    on_trial: bool = False
    drawn: Array | None = None

    @property
    def weights(self) -> Array:
        """(d, K), (d, 1) for two classes."""
        return self.kept("w") if self.drawn is None else self.drawn

    def kept(self, what: str) -> Array:
        """``w`` of the columns, or ``b`` of their problems, side by side."""
        return _side_by_side([c.w if what == "w" else c.problem.b for c in self.columns])


class LinearOutputs(Predictor):
    """The half of ``LinearModel`` that only looks at the weights.

    A row whose class has left has no column of its own. It is nowhere predicted, and its class has no
    probability. In ``losses`` and their gradients it is a wrong one for every class that is left, of two for
    both of them, and its own class has the weights that a class without any rows has: zero, a loss of log 2.
    """

    _out: Released
    protected: bool = False
    """Whether the columns are a secret that the weights that are out keep: nothing is measured of them."""

    @property
    def out(self) -> Released:
        """What is out.

        So nobody waits while a release is prepared; only where columns are on trial do other threads.
        """
        out = self._out
        if not out.on_trial:
            return out
        with self.lock:
            return self._out

    @property
    def classes_(self) -> NDArray[np.int64]:
        """(K,) labels of the rows that are there, in rising order."""
        return self.out.classes.labels

    @classes_.setter
    def classes_(self, labels: NDArray[np.int64]) -> None:
        out = self._out if "_out" in vars(self) else Released(ClassList.of(labels))
        self._out = Released(ClassList.of(labels), out.columns, drawn=out.drawn)

    @property
    def columns(self) -> Sequence[WeightColumn]:
        """Weights and problem of each class, all of one release: they are replaced together."""
        return self.out.columns

    @columns.setter
    def columns(self, columns: Sequence[WeightColumn]) -> None:
        self._out = Released(self._out.classes, columns)

    @property
    def width(self) -> int:
        """Number of columns: 1 for two classes, K for more."""
        return self.out.classes.width

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
        return self.out.weights

    def decision(self, x: RowOperations) -> Array:
        """``x_i.w``, (n,) for two classes, (n, K) for more."""
        return _decision(self.out, x)

    def predict(self, x: RowOperations, rows: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Labels of some rows (None: all of them), (m,)."""
        out = self.out
        scores = _decision(out, x) if rows is None else _decision(out, x)[_ids(rows, x)]
        return out.classes.labels[
            (scores > 0).astype(np.int64) if scores.ndim == 1 else scores.argmax(axis=1)
        ]

    def embeddings(self, x: RowOperations, rows: NDArray[np.int64] | None = None) -> Array:
        """What the only layer is given: some rows themselves (None: all of them), (m, d), also left ones."""
        return x.dense(np.arange(len(x)) if rows is None else _ids(rows, x))

    def residual(self) -> float | None:
        """||grad L_b(w; D)||_2 over the retained rows and all classes, by one float64 pass a class.

        Of a release w is the model that it is drawn around, and the norm None where that is to stay secret.
        """
        return None if self.protected else self.kept_residual()

    def kept_residual(self) -> float:
        """The same, for who keeps the model."""
        return hypot(*(float(np.linalg.norm(c.problem.gradient(c.w))) for c in self.columns))

    @one_blas_thread()
    def losses(self, x: RowOperations, y: NDArray[np.int64], rows: NDArray[np.int64]) -> Array:
        """``sum_k log(1 + exp(-y_ik x_i.w_k))`` of each of these rows of ``x``, (m,), removed or not.

        A row counts in every class, whether or not the class's subsample has it; see the class for a row
        whose own has left.
        """
        out = self.out
        weights = out.weights
        blocks = _blocks(out, x, y, rows)
        terms = [_terms(block @ weights, signs, left).sum(1) for block, signs, left in blocks]
        return np.concatenate([np.empty(0), *terms])

    @one_blas_thread()
    def gradient_norm(self, x: RowOperations, y: NDArray[np.int64], rows: NDArray[np.int64]) -> float:
        """The 2-norm over all weights of the gradient of the mean of those losses."""
        weights, loss_and_gradient = self.mean_loss(x, y, rows)
        return float(np.linalg.norm(loss_and_gradient(weights)[1]))

    def mean_loss(
        self, x: RowOperations, y: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> tuple[Array, Callable[[Array], tuple[float, Array]]]:
        """The mean of those losses as a function of the weights, column after column of (d, K) in one row."""
        out = self.out
        weights = out.weights
        shape = weights.shape

        @one_blas_thread()
        def loss_and_gradient(flat: Array) -> tuple[float, Array]:
            w, loss, gradient = flat.reshape(shape), 0.0, np.zeros(shape)
            for block, signs, left in _blocks(out, x, y, rows):
                scores = block @ w
                loss += float(_terms(scores, signs, left).sum())
                gradient -= block.T @ _slopes(scores, signs, left)
            return loss / len(rows), gradient.ravel() / len(rows)

        return weights.ravel(), loss_and_gradient

    @one_blas_thread()
    def probabilities(self, x: RowOperations, rows: NDArray[np.int64] | None = None) -> Array:
        """``(sigmoid(-s), sigmoid(s))`` for two classes, ``sigmoid(s_k) / sum_j sigmoid(s_j)`` for more.

        Args:
            x: Any rows.
            rows: Ids among them, (m,); None for all.

        Returns:
            (m, K) float64, in the order of ``classes_``; s are the scores ``x_i.w_k``.
        """
        scores = x.times(self.weights, None if rows is None else _ids(rows, x))
        return probabilities(scores)

    def model(self) -> dict[str, NDArray[Any]]:
        """``weight`` w and ``perturbation`` b, float64, (d,) or (d, K): enough to recompute the residual.

        Of a release the weights that are out, alone.
        """
        out = self.out
        if out.drawn is not None:
            return {"weight": alone(out.drawn)}
        return {"weight": alone(out.kept("w")), "perturbation": alone(out.kept("b"))}

    def by_class(self) -> dict[str, NDArray[Any]]:
        """The weights that are out of each column, (d,), by the label that is +1 there."""
        out = self.out
        return {str(k): w for k, w in zip(out.classes.positive.tolist(), out.weights.T, strict=True)}


def _decision(out: Released, x: RowOperations) -> Array:
    scores = [x.scores(w) for w in out.weights.T]
    return scores[0] if len(scores) == 1 else np.stack(scores, axis=1)


def _blocks(
    out: Released, x: RowOperations, y: NDArray[np.int64], rows: NDArray[np.int64]
) -> Iterator[tuple[Any, Array, NDArray[np.bool_]]]:
    """Rows in float64, (m, d), maybe sparse, their signs, (m, K), and whether their class has left, (m,).

    A few at a time: 8-bit rows grow eightfold.
    """
    classes, rows = out.classes, _ids(rows, x)
    for start in range(0, len(rows), BLOCK_ROWS):
        chosen = rows[start : start + BLOCK_ROWS]
        signs = np.where(y[chosen][:, None] == classes.positive, 1.0, -1.0)
        yield x.part(chosen), signs, ~np.isin(y[chosen], classes.labels)


def _terms(scores: Array, signs: Array, left: NDArray[np.bool_]) -> Array:
    """The losses of each of (m, K) scores, (m, K); one more each where the class of some row has ``left``."""
    found = np.logaddexp(0.0, -signs * scores)
    if not left.any():
        return np.asarray(found)
    own = np.where(left, log(2), 0.0)
    if scores.shape[1] == 1:  # the other of two classes, whose scores are these with the other sign
        own += np.where(left, np.logaddexp(0.0, signs * scores)[:, 0], 0.0)
    return np.column_stack([found, own])


def _slopes(scores: Array, signs: Array, left: NDArray[np.bool_]) -> Array:
    """Minus the derivatives of the sum of those losses by the scores, (m, K)."""
    found = signs * expit(-signs * scores)
    if scores.shape[1] == 1 and left.any():
        found[left] -= signs[left] * expit(signs[left] * scores[left])
    return np.asarray(found)


def _ids(rows: Any, x: RowOperations) -> NDArray[np.int64]:
    return row_ids(rows, len(x), distinct=False)


def probabilities(scores: Array) -> Array:
    """``(sigmoid(-s), sigmoid(s))`` of (m, 1) scores, ``sigmoid(s_k) / sum_j sigmoid(s_j)`` of (m, K).

    Scores so low that every sigmoid is 0 in float64 have them too.
    """
    if scores.shape[1] == 1:
        return np.hstack([expit(-scores), expit(scores)])
    return np.asarray(softmax(log_expit(scores), axis=1))


def alone(columns: Array) -> Array:
    """(d,) of a single column (d, 1); (d, K) as they are."""
    return np.ascontiguousarray(columns[:, 0]) if columns.shape[1] == 1 else columns


def _side_by_side(columns: Sequence[Array]) -> Array:
    return np.stack(columns, axis=1)
