"""The linear model of the certified path: perturbed logistic regression, one-vs-rest for many classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import hypot, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from expunge.core.checks import (
    LARGEST,
    require_count,
    require_from_zero,
    require_positive,
    require_share,
    require_switch,
)
from expunge.core.errors import InvalidValue, UserError
from expunge.core.files import State
from expunge.core.read_back import read_as
from expunge.core.row_set import RowSet
from expunge.core.seeds import Noise, SystemNoise, stream
from expunge.core.threads import alone
from expunge.linear.certified_column import Start, WeightColumn
from expunge.linear.classes import width_of
from expunge.linear.logistic import LogisticProblem
from expunge.linear.memory import BUILDING, require_matrices
from expunge.linear.one_vs_rest import one_vs_rest
from expunge.linear.parallel import one_blas_thread
from expunge.linear.rehearsal import rehearse
from expunge.linear.rows import Array, Rows
from expunge.linear.rows_away import RowsAway, RowsOutOfReach
from expunge.linear.solver import Fit, FitReport, build_factor, train
from expunge.predictors.erasure import erased
from expunge.predictors.linear_columns import LinearColumns, compacted
from expunge.predictors.linear_outputs import Released
from expunge.predictors.linear_outputs import alone as as_model
from expunge.predictors.linear_state import classes_of, require_rows, require_state

_LARGEST_LAM = 1e30  # times any number of rows it is a number of float32
SETTINGS = ("lam", "std", "tol", "max_iter", "subsample_ratio", "joint_training", "progress")


class LinearModel(LinearColumns):
    """Logistic regression ``L_b``: one weight vector for two classes, one a class (one-vs-rest) for more.

    Of two classes the larger label is +1. K > 2 binary problems are trained on the same rows or on
    subsamples of their negatives (``expunge.linear.one_vs_rest``); the class with the largest score is
    predicted. Weights and perturbation are (d,) for two classes, (d, K) for more. Classes whose last row
    leaves go, see ``ClassList``; there is no model for one class alone.

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
    """

    kind = "logistic"
    x: Rows

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
        self.lam = require_positive("lam", lam, most=_LARGEST_LAM)
        self.std = require_from_zero("std", std, most=LARGEST)
        self.tol = require_positive("tol", tol)
        self.max_iter = require_count("max_iter", max_iter)
        self.subsample_ratio = require_share("subsample_ratio", subsample_ratio)
        self.joint_training = require_switch("joint_training", joint_training)
        self.progress = progress

    # -- training ---------------------------------------------------------------------------------------

    def begin(self, x: Rows, y: NDArray[np.int64], seed: int | None) -> None:
        """Take over the training data.

        Raises:
            UserError: There is only one class.
            InvalidValue: ``subsample_ratio`` is not 1 with two, or there are more features than fit into
                memory.
        """
        require_matrices(x.dim, width_of(len(np.unique(y))), BUILDING)
        super().begin(x, y, seed)
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
        self.columns, self.fit_reports = self._trained(self.problems(as_columns(self.std * drawn, x.dim)))

    def noise(self, epoch: int) -> Noise:
        """What the perturbation of an epoch is drawn from: the given seed, or the operating system."""
        return stream(self.seed, "perturbation", epoch) if self.seeded else SystemNoise()

    def problems(self, b: Array | None = None) -> list[LogisticProblem]:
        """The columns' losses over all rows; b is (d,) or (d, K), None for zeros."""
        x = self.x
        b = np.zeros((x.dim, self.width)) if b is None else b.reshape(x.dim, self.width)
        rng = stream(self.seed, "subsample")
        return one_vs_rest(x, self.y, self.out.classes, self.lam, b, self.subsample_ratio, rng)

    def fits(
        self,
        problems: Sequence[LogisticProblem],
        start_of: Callable[[LogisticProblem], Start],
        starts: Sequence[Start] | None = None,
        most: Sequence[float] | None = None,
    ) -> Iterator[tuple[LogisticProblem, Fit, float]]:
        """Train one column after the other, each to its share of the tolerance.

        Args:
            problems: One a column.
            start_of: Where a column begins; columns with the same rows begin alike.
            starts: Where each begins instead.
            most: Gradient norm that each column may have at most, whatever the tolerance.

        Yields:
            The column's problem, its fit, and the bound on ||X||_2 of its start.
        """
        tol = self.tol / sqrt(len(problems)) if self.joint_training else self.tol
        tols = [tol] * len(problems) if most is None else [min(tol, one) for one in most]
        hide = None if self.progress and len(problems) > 1 else True
        rows: Rows | None = None
        bar = tqdm(problems, disable=hide, desc="training", unit="class", leave=False)
        for k, problem in enumerate(bar):
            if starts is not None:
                start = starts[k]
            elif problem.rows is not rows:
                rows, start = problem.rows, start_of(problem)
            yield problem, train(problem, tols[k], self.max_iter, start.w, start.factor), start.spectral

    def _trained(self, problems: Sequence[LogisticProblem]) -> tuple[list[WeightColumn], list[FitReport]]:
        found = [(WeightColumn(problem, fit.w), fit.report) for problem, fit, _ in self.fits(problems, zero)]
        return [column for column, _ in found], [report for _, report in found]

    # -- removal ----------------------------------------------------------------------------------------

    @alone
    @one_blas_thread()
    def refit(self, index: NDArray[np.int64]) -> float:
        """Train again, from zero and with the same b, without these rows, which leave."""
        stay = self.there.without(index)
        columns, reports = self._trained(compacted(self.without(index).problems, stay.mask))
        self.release(columns, index)
        vars(self).update(fit_reports=reports, settled=self.there)
        return hypot(*(report.gradient_norm for report in reports))

    @one_blas_thread()
    def retrained(self, x: Rows, y: NDArray[np.int64], rows: NDArray[np.int64]) -> LinearModel:
        """The minimiser of ``L_b`` over these rows of ``x``, with this model's settings, b and subsamples.

        A class that this model has no more, and some of these rows have, has no b: that went with its column.

        Raises:
            NothingLeft: The rows are of one class alone.
        """
        how = (self.lam, self.std, self.tol, self.max_iter, self.subsample_ratio, self.joint_training)
        reference = LinearModel(*how)
        reference.begin(x, y, self.seed)
        out = self.out
        own = zip(out.classes.positive.tolist(), (column.problem.b for column in out.columns), strict=True)
        known, nothing = dict(own), np.zeros(x.dim)
        b = [known.get(label, nothing) for label in reference.out.classes.positive.tolist()]
        untrained = reference.problems(np.stack(b, axis=1))
        reference.columns = [WeightColumn(problem, nothing) for problem in untrained]
        reference.refit(np.setdiff1d(np.arange(len(x)), rows))
        return reference

    # -- saving -----------------------------------------------------------------------------------------

    @alone
    def state(self) -> State:
        """Weights, perturbation, which rows have left, and the seed of what is drawn again (a secret).

        Of classes that have left it has neither label nor weights, but their number. Of a release it has the
        weights that it is drawn around, a secret too, and under ``drawn`` those that are out. ``erased_rows``
        had left already when the model was last settled.
        """
        out = self.out
        classes = out.classes
        arrays: dict[str, NDArray[Any]] = {
            "weight": as_model(out.kept("w")),
            "perturbation": as_model(out.kept("b")),
        }
        arrays["removed_rows"] = self.there.gone
        arrays["erased_rows"] = self.settled.gone
        if out.drawn is not None:
            arrays["drawn"] = out.drawn
        values = {"classes": classes.labels.tolist(), "secret": self.seed, "seeded": self.seeded}
        values |= {"class_places": classes.places.tolist(), "classes_of_fit": classes.first}
        assert classes.rows is not None
        values["class_rows"] = classes.rows.tolist()
        values["column_rows"] = [column.problem.n for column in out.columns]
        return State(arrays, values)

    @alone
    @read_as("the state of a linear model")
    def load_state(self, state: State, x: Rows, y: NDArray[np.int64] | None) -> None:
        """Continue from ``state`` with the rows and labels that ``fit`` was given.

        Rows that have left may have left ``x`` too (their scale is 0); what their labels are is all the same.
        With all of them out of reach (``RowsAway``) ``y`` is None.

        Raises:
            DataError: It is no such state, or of other rows.
            RowsOutOfReach: They are, and the state is of an earlier version.
        """
        require_state(state, x)
        saved, removed = state.values, state.arrays["removed_rows"]
        self.fit_reports = []
        if y is None:
            problems = self._begin_away(x, state)
        else:
            super().begin(x, y, saved["secret"])
            if "class_places" in saved:  # the first versions kept all classes
                self._out = Released(classes_of(saved, np.unique(np.delete(y, removed))).counted(y))
        self.settled = self.there.without(state.arrays.get("erased_rows", []))
        self.seeded = saved.get("seeded", True)  # the first versions drew all from a seed
        if y is not None:
            problems = compacted(self.problems(state.arrays["perturbation"]), self.settled.mask)
        weights = state.arrays["weight"].reshape(x.dim, self.width)
        columns = [
            WeightColumn(problem, np.ascontiguousarray(weights[:, k])) for k, problem in enumerate(problems)
        ]
        self.put(columns, drawn := state.arrays.get("drawn"))
        if y is None:
            self.there = self.there.without(removed)
        else:
            self.leave(removed, drawn)
            require_rows(self, saved)

    def _begin_away(self, x: Rows, state: State) -> list[LogisticProblem]:
        """Take over what is known of rows that are out of reach; return the columns' losses over them."""
        saved, nothing = state.values, np.empty(0)
        if "class_rows" not in saved:
            raise RowsOutOfReach
        self.x, self.y, self.seed = x, nothing.astype(np.int64), saved["secret"]
        self.there = RowSet.full(len(x))
        classes = classes_of(saved, np.array(saved["classes"], dtype=np.int64))
        self._out = Released(replace(classes, rows=np.array(saved["class_rows"], dtype=np.int64)))
        b = state.arrays["perturbation"].reshape(x.dim, self.width)
        sampled = self.subsample_ratio < 1
        return [
            LogisticProblem(
                RowsAway(len(x), x.dim, n, sampled), nothing, self.lam, np.ascontiguousarray(b[:, k])
            )
            for k, n in enumerate(saved["column_rows"])
        ]

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
