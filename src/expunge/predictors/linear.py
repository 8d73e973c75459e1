"""The linear model of the certified path: perturbed logistic regression, one-vs-rest for many classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from math import hypot, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from expunge.core.checks import (
    require_count,
    require_from_zero,
    require_positive,
    require_share,
    require_switch,
)
from expunge.core.errors import InvalidValue, UserError
from expunge.core.files import State
from expunge.core.seeds import Noise, SystemNoise, stream
from expunge.core.threads import alone
from expunge.linear.certified_column import Start, WeightColumn
from expunge.linear.logistic import LogisticProblem
from expunge.linear.memory import BUILDING, require_matrices
from expunge.linear.one_vs_rest import one_vs_rest
from expunge.linear.parallel import one_blas_thread
from expunge.linear.rehearsal import rehearse
from expunge.linear.rows import Array, Rows
from expunge.linear.solver import Fit, FitReport, build_factor, train
from expunge.predictors.base import NothingLeft
from expunge.predictors.erasure import erased
from expunge.predictors.linear_outputs import LinearOutputs, width_of

SETTINGS = ("lam", "std", "tol", "max_iter", "subsample_ratio", "joint_training", "progress")


class LinearModel(LinearOutputs):
    """Logistic regression ``L_b``: one weight vector for two classes, one a class (one-vs-rest) for more.

    Of two classes the larger label is +1. K > 2 binary problems are trained on the same rows or on
    subsamples of their negatives (``expunge.linear.one_vs_rest``); the class with the largest score is
    predicted. Weights and perturbation are (d,) for two classes, (d, K) for more.

    Args:
        lam: Regularisation per example, > 0; it multiplies the number of rows that a class uses.
        std: Standard deviation of the perturbation b of the summed loss, >= 0; 0 leaves it out.
        tol: Training stops at ||grad||_2 < tol (of the summed loss).
        max_iter: Newton steps at most, for each class.
        subsample_ratio: Share of the other classes' rows that a class uses, in (0, 1]; 1 with two classes.
            A row costs nothing to remove from a class that does not use it.
        joint_training: Whether ``tol`` is for the norm over all classes, ``sqrt(sum_k ||grad_k||^2)``, or
            for each class by itself.
        progress: Show a bar over the classes (on a terminal only).

    Attributes:
        fit_reports: How the last training of each class ended; none of a model that was loaded.
        settled: (n,) bool, rows that were there when the columns were last made from those that stay alone.
    """

    kind = "logistic"
    x: Rows
    settled: NDArray[np.bool_]
    fit_reports: list[FitReport]

    def __init__(
        self,
        lam: float = 1e-3,
        std: float = 10.0,
        tol: float = 1e-8,
        max_iter: int = 200,
        subsample_ratio: float = 1.0,
        joint_training: bool = True,
        progress: bool = False,
    ) -> None:
        self.lam = require_positive("lam", lam)
        self.std = require_from_zero("std", std)
        self.tol = require_positive("tol", tol)
        self.max_iter = require_count("max_iter", max_iter)
        self.subsample_ratio = require_share("subsample_ratio", subsample_ratio)
        self.joint_training = require_switch("joint_training", joint_training)
        self.progress = progress

    # -- training ---------------------------------------------------------------------------------------

    def begin(
        self, x: Rows, y: NDArray[np.int64], seed: int | None, classes: NDArray[np.int64] | None = None
    ) -> None:
        """Take over the training data; ``classes`` None are those of ``y``, where no label is missing.

        Raises:
            UserError: There is only one class.
            InvalidValue: ``subsample_ratio`` is not 1 with two, or there are more features than fit into
                memory.
        """
        classes = np.unique(y) if classes is None else classes
        require_matrices(x.dim, width_of(len(classes)), BUILDING)
        super().begin(x, y, seed)
        self.classes_, self.settled = classes, self.kept
        if len(self.classes_) < 2:
            raise UserError(
                f"labels: got one class ({self.classes_[0]}), allowed: two or more; see dataset.classes"
            )
        if len(self.classes_) == 2 and self.subsample_ratio != 1:
            raise InvalidValue("subsample_ratio", self.subsample_ratio, "1 with two classes")

    def rehearse(self, x: Rows, y: NDArray[np.int64]) -> None:
        """Compile the kernels for rows that are stored like these."""
        rehearse(x)

    @alone
    @one_blas_thread()
    def fit(self, x: Rows, y: NDArray[np.int64], seed: int | None = None) -> None:
        """Train on all rows, with the b that a certified Gaussian method of the same seed draws first."""
        self.begin(x, y, seed)
        drawn = self.noise(0).normal(size=x.dim * self.width)
        self._train(self.problems(as_columns(self.std * drawn, x.dim)))

    def noise(self, epoch: int) -> Noise:
        """What the perturbation of an epoch is drawn from: the given seed, or the operating system."""
        return stream(self.seed, "perturbation", epoch) if self.seeded else SystemNoise()

    def problems(self, b: Array | None = None) -> list[LogisticProblem]:
        """The columns' losses over all rows; b is (d,) or (d, K), None for zeros."""
        x = self.x
        b = np.zeros((x.dim, self.width)) if b is None else b.reshape(x.dim, self.width)
        rng = stream(self.seed, "subsample")
        return one_vs_rest(x, self.y, self.classes_, self.lam, b, self.subsample_ratio, rng)

    def fits(
        self,
        problems: Sequence[LogisticProblem],
        start_of: Callable[[LogisticProblem], Start],
        starts: Sequence[Start] | None = None,
    ) -> Iterator[tuple[LogisticProblem, Fit, float]]:
        """Train one column after the other, each to its share of the tolerance.

        Args:
            problems: One a column.
            start_of: Where a column begins; columns with the same rows begin alike.
            starts: Where each begins instead.

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
                rows, start = problem.rows, start_of(problem)
            yield problem, train(problem, tol, self.max_iter, start.w, start.factor), start.spectral

    def _train(self, problems: Sequence[LogisticProblem]) -> None:
        found = [(WeightColumn(problem, fit.w), fit.report) for problem, fit, _ in self.fits(problems, zero)]
        self.columns = [column for column, _ in found]
        self.fit_reports = [report for _, report in found]

    # -- removal ----------------------------------------------------------------------------------------

    def without(self, index: NDArray[np.int64]) -> list[LogisticProblem]:
        """The columns' problems without these rows; those of columns that use none of them are unchanged.

        Raises:
            NothingLeft: A class has no row left (its subsample was small).
        """
        problems = self._left(index)
        for problem, name in zip(problems, self.classes_[-self.width :], strict=True):
            if not problem.n:
                raise NothingLeft(f"class {name} would have no row left to be trained on")
        return problems

    def _left(self, index: NDArray[np.int64]) -> list[LogisticProblem]:
        rows: Rows | None = None
        problems = []
        for column in self.columns:
            problem = column.problem
            if problem.rows is not rows:  # columns that share rows go on sharing them
                rows = problem.rows
                left = rows.without(index) if np.any(rows.scale[index] != 0) else rows
            problems.append(problem if left is rows else replace(problem, rows=left))
        return problems

    @alone
    @one_blas_thread()
    def refit(self, index: NDArray[np.int64]) -> float:
        """Train again, from zero and with the same b, without these rows, which leave."""
        self._train(self.without(index))
        super().leave(index)
        return hypot(*(report.gradient_norm for report in self.fit_reports))

    @alone
    def leave(self, index: NDArray[np.int64]) -> None:
        """Count these rows as gone; the weights stay as they are."""
        left = zip(self.columns, self._left(index), strict=True)
        self.release([column.without(problem) for column, problem in left], index)

    @alone
    def release(self, columns: Sequence[WeightColumn], index: NDArray[np.int64]) -> None:
        """Take over columns that these rows have left."""
        kept = self.kept.copy()  # whoever reads the old one goes on with it
        kept[index] = False
        vars(self).update(_columns=(columns, False), kept=kept)  # in one, whatever interrupts

    @property
    def is_settled(self) -> bool:
        """Whether no row has left since the columns were last made from those that stay alone."""
        return not hasattr(self, "kept") or np.array_equal(self.settled, self.kept)

    def compacted(self) -> list[LogisticProblem]:
        """The columns' problems over the rows that stay; subsamples forget the places of the others."""
        return self._compacted([column.problem for column in self.columns], self.kept)

    def _compacted(
        self, problems: Sequence[LogisticProblem], there: NDArray[np.bool_]
    ) -> list[LogisticProblem]:
        return [replace(problem, rows=problem.rows.compacted(~there)) for problem in problems]

    @alone
    def settle(self, columns: Sequence[WeightColumn], reports: list[FitReport]) -> None:
        """Take over columns that are made from the rows that stay alone, as ``reports`` say."""
        vars(self).update(_columns=(columns, False), fit_reports=reports, settled=self.kept)

    def is_finite(self) -> bool:
        """Whether every weight is a number."""
        return bool(np.isfinite(self.weights).all())

    def snapshot(self) -> Callable[[], None]:
        """Keep the weights; calling the result puts them back bit by bit."""
        return partial(setattr, self, "columns", self.columns)

    def try_out(self, columns: Sequence[WeightColumn]) -> None:
        """Take columns that may yet be put back: other threads wait for what becomes of them."""
        self._columns = columns, True

    @one_blas_thread()
    def retrained(self, x: Rows, y: NDArray[np.int64], rows: NDArray[np.int64]) -> LinearModel:
        """The minimiser of ``L_b`` over these rows of ``x``, with this model's settings, b and subsamples."""
        how = (self.lam, self.std, self.tol, self.max_iter, self.subsample_ratio, self.joint_training)
        reference = LinearModel(*how)
        reference.begin(x, y, self.seed)
        others = np.setdiff1d(np.arange(len(x)), rows)
        reference._train([p.without(others) for p in reference.problems(self.model()["perturbation"])])
        return reference

    # -- saving -----------------------------------------------------------------------------------------

    @alone
    def state(self) -> State:
        """Weights, perturbation, which rows have left, and the seed of what is drawn again (a secret).

        ``erased_rows`` had left already when the model was last settled.
        """
        arrays = {**self.model(), "removed_rows": np.flatnonzero(~self.kept)}
        arrays["erased_rows"] = np.flatnonzero(~self.settled)
        values = {"classes": self.classes_.tolist(), "secret": self.seed, "seeded": self.seeded}
        return State(arrays, values)

    @alone
    def load_state(self, state: State, x: Rows, y: NDArray[np.int64]) -> None:
        """Continue from ``state`` with the rows and labels that ``fit`` was given.

        Rows that have left may have left ``x`` too (their scale is 0); what their labels are is all the same.
        """
        known = None if x.count == len(x) else np.array(state.values["classes"], dtype=np.int64)
        self.begin(x, y, state.values["secret"], known)
        self.fit_reports = []
        self.settled = self.kept.copy()
        self.settled[state.arrays.get("erased_rows", [])] = False
        self.seeded = state.values.get("seeded", True)  # the first versions drew all from a seed
        problems = self._compacted(self.problems(state.arrays["perturbation"]), self.settled)
        weights = state.arrays["weight"].reshape(x.dim, self.width)
        self.columns = [
            WeightColumn(problem, np.ascontiguousarray(weights[:, k])) for k, problem in enumerate(problems)
        ]
        self.leave(state.arrays["removed_rows"])

    def __getstate__(self) -> dict[str, Any]:
        """For pickles: without what the rows that have left were."""
        with self.lock:
            return vars(erased(self))


def zero(problem: LogisticProblem) -> Start:
    """Zero, with the inverse Hessian there."""
    return Start(build_factor(problem, np.zeros(problem.rows.dim)))


def as_columns(flat: Array, dim: int) -> Array:
    """A perturbation as it is drawn, column after column, as (dim, width)."""
    return flat.reshape(-1, dim).T
