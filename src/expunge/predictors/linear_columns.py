"""The columns of a linear model as rows leave it: what is out, what is kept, what is put back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import InvalidValue
from expunge.core.row_set import RowSet
from expunge.core.threads import alone
from expunge.linear.brought import Brought
from expunge.linear.certified_column import WeightColumn
from expunge.linear.classes import ClassList
from expunge.linear.example_weights import by_label, of_rows
from expunge.linear.given import Array
from expunge.linear.logistic import LogisticProblem
from expunge.linear.operations import RowOperations
from expunge.linear.solver import FitReport
from expunge.predictors.linear_outputs import LinearOutputs, Released
from expunge.predictors.remainder import Remainder, remainder


class LinearColumns(LinearOutputs):
    """The part of ``LinearModel`` that replaces columns by others.

    Attributes:
        fit_reports: How the last training of each class ended; none of a model that was loaded.
        settled: RowOperations that were there when the columns were last made from those that stay alone.
        class_sizes: What the rows of each label count in the loss, in (0, 1]; None: 1.
        own_sizes: (n,) what each row counts besides; None: 1.
        sizes: (n,) the product of both; None where all count 1, or the rows are out of reach.
    """

    x: RowOperations
    fit_reports: list[FitReport]
    settled: RowSet
    class_weight: Mapping[Any, float] | None = None
    class_sizes: dict[int, float] | None = None
    own_sizes: Array | None = None
    sizes: Array | None = None

    def weigh(self, class_sizes: dict[int, float] | None, own_sizes: Array | None) -> None:
        """Say what the rows count that are to be trained on, or loaded, next: see ``linear.example_weights``.

        Args:
            class_sizes: What each label counts, in (0, 1]; None: 1.
            own_sizes: (n,) what each row counts besides; None: 1.
        """
        self.class_sizes, self.own_sizes = class_sizes, own_sizes

    @property
    def weighted(self) -> bool:
        """Whether rows count otherwise than 1 each, or may."""
        return self.class_sizes is not None or self.own_sizes is not None

    def begin(self, x: RowOperations, y: NDArray[np.int64], seed: int | None) -> None:
        """Take over the training data.

        Raises:
            InvalidValue: There are weights of more rows, or fewer; or none of a class where others have some.
        """
        if self.own_sizes is not None and len(self.own_sizes) != len(y):
            raise InvalidValue("sample_weight", f"{len(self.own_sizes)} numbers", f"{len(y)}, one a row")
        if self.class_sizes is None and self.class_weight is not None:  # classes are called by their labels
            names = {label: label for label in np.unique(y).tolist()}
            self.class_sizes = by_label(self.class_weight, names, some_left=True)
        super().begin(x, y, seed)
        self.sizes = of_rows(self.class_sizes, y, self.own_sizes)
        self._out = replace(self._out, classes=self._out.classes.counted(y))
        self.settled = self.there

    def begin_away(self, x: RowOperations, classes: ClassList, saved: dict[str, Any]) -> None:
        """Take over what a state has of training data that are out of reach."""
        self.x, self.y, self.seed = x, np.empty(0, dtype=np.int64), saved["secret"]
        self.there, self.sizes = RowSet.full(len(x)), None
        self._out = Released(replace(classes, rows=np.array(saved["class_rows"], dtype=np.int64)))

    def brought(self, index: NDArray[np.int64]) -> Brought:
        """Some rows as a request would bring them."""
        sizes = None if self.sizes is None else self.sizes[index]
        return Brought(self.x.dense(index), self.y[index], sizes)

    def without(
        self, index: NDArray[np.int64], labels: NDArray[np.int64] | None = None
    ) -> Remainder[WeightColumn]:
        """The columns of the classes that some row still has without these rows, and their problems.

        ``labels`` (m,) are those of these rows, where ``y`` is not to be asked. It costs O(m).

        Raises:
            NothingLeft: RowOperations of one class alone would stay.
        """
        return remainder(self.out, self._classes_without(index, labels), index)

    def _classes_without(self, index: NDArray[np.int64], labels: NDArray[np.int64] | None) -> ClassList:
        """Those that some row has once these have left too."""
        leaving = self.there.has(index)
        own = self.y[index[leaving]] if labels is None else labels[leaving]
        return self.out.classes.without_rows(own)

    @alone
    def leave(self, index: NDArray[np.int64], drawn: Array | None = None) -> None:
        """Count these rows as gone; the weights stay as they are, but for those of classes that go.

        ``drawn`` are those that are out in their place, if they are not out themselves; without those of such
        classes.

        Raises:
            NothingLeft: RowOperations of one class alone would stay.
        """
        left = self.without(index)
        pairs = zip(left.columns, left.problems, strict=True)
        self.release([column.without(problem) for column, problem in pairs], index, drawn)

    @alone
    def release(
        self,
        columns: Sequence[WeightColumn],
        index: NDArray[np.int64],
        drawn: Array | None = None,
        labels: NDArray[np.int64] | None = None,
    ) -> None:
        """Take over columns that these rows have left: those of the classes that are there without them.

        ``drawn`` are the weights that are out in their place, if they are not out themselves; ``labels`` as
        in ``without``.
        """
        out = Released(self._classes_without(index, labels), columns, drawn=drawn)
        vars(self).update(_out=out, there=self.there.without(index))  # in one, whatever interrupts

    def put(self, columns: Sequence[WeightColumn], drawn: Array | None) -> None:
        """Take columns of the same classes, and the weights that are out in their place."""
        self._out = Released(self._out.classes, columns, drawn=drawn)

    @property
    def is_settled(self) -> bool:
        """Whether no row has left since the columns were last made from those that stay alone."""
        return not hasattr(self, "there") or self.settled == self.there

    def compacted(self) -> list[LogisticProblem]:
        """The columns' problems over the rows that stay; subsamples forget the places of the others."""
        return compacted([column.problem for column in self.columns], self.kept)

    @alone
    def settle(self, columns: Sequence[WeightColumn], reports: list[FitReport]) -> None:
        """Take over columns that are made from the rows that stay alone; what is out stays out.

        ``reports`` say how they were made.
        """
        out = Released(self._out.classes, columns, drawn=self._out.drawn)
        vars(self).update(_out=out, fit_reports=reports, settled=self.there)

    def is_finite(self) -> bool:
        """Whether every weight is a number."""
        return bool(np.isfinite(self.weights).all())

    def snapshot(self) -> Callable[[], None]:
        """Keep the weights; calling the result puts them back bit by bit."""
        return partial(setattr, self, "_out", self.out)

    def try_out(self, columns: Sequence[WeightColumn]) -> None:
        """Take columns that may yet be put back: other threads wait for what becomes of them."""
        self._out = Released(self._out.classes, columns, on_trial=True)


def compacted(problems: Sequence[LogisticProblem], there: NDArray[np.bool_]) -> list[LogisticProblem]:
    """The same problems, whose passes go by no place of a subsample that is not ``there`` (n,)."""
    return [replace(problem, rows=problem.rows.compacted(~there)) for problem in problems]
