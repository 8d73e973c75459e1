"""The linear model of the certified path: perturbed logistic regression, one-vs-rest for many classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import hypot, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from expunge.core.checks import (
    require_switch,
)
from expunge.core.files import State
from expunge.core.read_back import read_as
from expunge.core.threads import alone
from expunge.linear.certified_column import Start, WeightColumn
from expunge.linear.classes import width_of
from expunge.linear.column_passes import groups
from expunge.linear.logistic import LogisticProblem
from expunge.linear.one_vs_rest import as_columns
from expunge.linear.operations import RowOperations
from expunge.linear.parallel import one_blas_thread, start_threads
from expunge.linear.rows_away import RowsAway, RowsOutOfReach
from expunge.linear.solver import Fit, FitReport, build_factor, train
from expunge.linear.together import train_together
from expunge.predictors.erasure import erased
from expunge.predictors.linear_columns import LinearColumns, compacted
from expunge.predictors.linear_outputs import Released
from expunge.predictors.linear_outputs import alone as as_model
from expunge.predictors.linear_problems import LARGEST_LAM, SETTINGS, LinearProblems
from expunge.predictors.linear_state import classes_of, require_rows, require_state

__all__ = ["SETTINGS", "LinearModel", "zero"]
Small = tuple["LinearModel", RowOperations, NDArray[np.int64]]
"""A model and some rows, with labels, that it is soon trained on."""
_FEW_CLASSES = 3


class LinearModel(LinearProblems):
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
        solver: ``direct`` (an inverse Hessian a class is kept, 8 d^2 bytes each), ``iterative`` (conjugate
            gradients: nothing of d x d is made but one matrix for many classes on dense rows, see
            ``expunge.linear.together``) or ``auto``, see ``expunge.linear.memory.iterates``.
        solver_memory: Bytes that the inverses of all classes may take with ``auto``.
        class_weight: What the rows of each class count in the loss, by its name: numbers above 0 for all of
            them, known without looking at the rows; None: 1. All, and ``lam``, are divided by the largest
            where that is above 1. Who has rows and names says with ``weigh`` what the rows count.
    """

    kind = "logistic"
    x: RowOperations
    # -- training ---------------------------------------------------------------------------------------

    def rehearse(self, x: RowOperations, y: NDArray[np.int64]) -> None:
        """Compile the kernels for rows that are stored like these, and start the threads."""
        x.rehearse()
        start_threads()

    def small(self, x: RowOperations, y: NDArray[np.int64]) -> Small | None:
        """The model with as much regularisation in all: what noise covers, and how well it is conditioned."""
        rows, classes = x.few(), len(np.unique(y))
        if not len(rows):
            return None
        lam = min(self.lam * len(x) / len(rows), LARGEST_LAM)
        not_here = "lam", "progress", "class_weight"
        how = {name: getattr(self, name) for name in SETTINGS if name not in not_here}
        how["solver"] = "iterative" if self.iterates(x, width_of(classes)) else "direct"
        return LinearModel(lam, **how), rows, np.arange(len(rows)) % min(classes, _FEW_CLASSES)

    @alone
    @one_blas_thread()
    def fit(self, x: RowOperations, y: NDArray[np.int64], seed: int | None = None) -> None:
        """Train on all rows, with the b that a certified Gaussian method of the same seed draws first."""
        self.begin(x, y, seed)
        drawn = self.noise(0).normal(size=x.dim * self.width)
        self.columns, self.fit_reports = self._trained(self.problems(as_columns(self.std * drawn, x.dim)))

    def fits(
        self,
        problems: Sequence[LogisticProblem],
        start_of: Callable[[LogisticProblem], Start],
        starts: Sequence[Start] | None = None,
        most: Sequence[float] | None = None,
    ) -> Iterator[tuple[LogisticProblem, Fit, float]]:
        """Train the columns, each to its share of the tolerance: one after the other, or many at once.

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
        rows: RowOperations | None = None
        with tqdm(total=len(problems), disable=hide, desc="training", unit="class", leave=False) as bar:
            for own in groups(problems):
                if starts is None and problems[own.start].rows is not rows:
                    rows, start = problems[own.start].rows, start_of(problems[own.start])
                begin = starts[own] if starts is not None else [start] * (own.stop - own.start)
                fits = self._fitted(problems[own], tols[own], begin)
                for problem, fit, start in zip(problems[own], fits, begin, strict=True):
                    yield problem, fit, start.spectral
                    bar.update()

    def _fitted(
        self, problems: Sequence[LogisticProblem], tols: Sequence[float], starts: Sequence[Start]
    ) -> list[Fit]:
        """The fits of problems that one pass serves, or of one alone."""
        if len(problems) == 1:
            return [train(problems[0], tols[0], self.max_iter, starts[0].w, starts[0].factor)]
        known = [start.w for start in starts if start.w is not None]
        begin = np.stack(known, axis=1) if len(known) == len(starts) else None
        return train_together(problems, tols, self.max_iter, begin)

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
    def retrained(self, x: RowOperations, y: NDArray[np.int64], rows: NDArray[np.int64]) -> LinearModel:
        """The minimiser of ``L_b`` over these rows of ``x``, with this model's settings, b and subsamples.

        A class that this model has no more, and some of these rows have, has no b: that went with its column.

        Raises:
            NothingLeft: The rows are of one class alone.
        """
        reference = LinearModel(**{name: getattr(self, name) for name in SETTINGS if name != "progress"})
        reference.weigh(self.class_sizes, self.own_sizes)
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
        if self.iterative:
            values["iterative"] = True
        return State(arrays, values)

    @alone
    @read_as("the state of a linear model")
    def load_state(self, state: State, x: RowOperations, y: NDArray[np.int64] | None) -> None:
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
        self.iterative = require_switch("iterative", saved.get("iterative", False))
        if y is None:
            problems = self._away(x, state)
        else:
            LinearColumns.begin(self, x, y, saved["secret"])
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

    def _away(self, x: RowOperations, state: State) -> list[LogisticProblem]:
        """Take over what is known of rows that are out of reach; return the columns' losses over them."""
        saved = state.values
        if "class_rows" not in saved:
            raise RowsOutOfReach
        self.begin_away(x, classes_of(saved, np.array(saved["classes"], dtype=np.int64)), saved)
        b = np.ascontiguousarray(state.arrays["perturbation"].reshape(x.dim, self.width).T)
        rows = (RowsAway(len(x), x.dim, n, self.subsample_ratio < 1) for n in saved["column_rows"])
        both = zip(rows, b, strict=True)
        return [LogisticProblem(own, np.empty(0), self.lam, one, self.iterative) for own, one in both]

    def __getstate__(self) -> dict[str, Any]:
        """For pickles: without what the rows that have left were."""
        with self.lock:
            return vars(erased(self))


def zero(problem: LogisticProblem) -> Start:
    """Zero, with the inverse Hessian there."""
    return Start(build_factor(problem, np.zeros(problem.rows.dim)))
