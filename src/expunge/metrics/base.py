"""What a metric sees, and what it must offer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import require_count
from expunge.core.columns import Column, Columns
from expunge.core.errors import InvalidValue
from expunge.core.seeds import seed_again, stream
from expunge.datasets.base import Retrieval, of_known_classes
from expunge.datasets.corruption import Corruption
from expunge.predictors import Differentiable, NothingLeft, Predictor, Probabilistic

Values = Mapping[str, float | None]
"""Key -> number; None where it is not defined."""


@dataclass(frozen=True)
class View:
    """The run as a metric sees it around a request.

    Attributes:
        model: What predicts: a ``Predictor``, or a plug-in that is model and method in one.
        requested: (n_train,) bool, the **forget set**: rows that were asked to be forgotten so far, whatever
            became of the request, so that it is the same for every method served the same requests. The
            **retain set** is the rest.
        rows: Those of the request just served or, before it, about to be served.
        retrieval: Query and gallery among the test rows; None but for a re-identification data set.
        again: Which other evaluation of the same model this is (seed, repeat and evaluation of the run);
            nothing: the first. All that metrics draw follows it, and the retrained model's own chance.
        corruption: Which rows were poisoned or mislabelled before training; None: none were.
    """

    model: Any
    x_train: Any
    y_train: NDArray[np.int64]
    x_test: Any
    y_test: NDArray[np.int64]
    requested: NDArray[np.bool_]
    rows: tuple[int, ...] = ()
    retrieval: Retrieval | None = None
    again: tuple[int, ...] = ()
    corruption: Corruption | None = None

    def seed(self, own: int) -> int:
        """What a metric draws from: its own seed in the first evaluation, another one in each other."""
        return seed_again(own, "metrics", again=self.again)

    def some(self, rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """``count`` of ``rows``: at equal distances in the first evaluation, drawn in each other."""
        if not self.again or len(rows) <= count:
            return evenly_spaced(rows, count)
        return np.sort(stream(0, "metrics", again=self.again).choice(rows, count, replace=False))

    @property
    def unlearner(self) -> Any:
        """The model, by the name that plug-in metrics knew it by first."""
        return self.model

    @cached_property
    def known_test(self) -> NDArray[np.int64]:
        """Ids of the test rows that accuracies are measured on, see ``of_known_classes``."""
        return np.flatnonzero(of_known_classes(self.y_test, self.y_train))

    @cached_property  # several metrics of one evaluation compare with it, and it is a training
    def reference(self) -> Differentiable | None:
        """The retrained model: the same model trained from scratch on the retain set, with the same seed.

        Where evaluations are repeated (``again``) each has a network of its own, with another seed: what the
        retrained model is by chance is then no part of what is said of the original.

        None where there is no model for the retain set (it is empty, or of one class alone), or the model is
        not ``Differentiable``.
        """
        retained = np.flatnonzero(~self.requested)
        if not len(retained) or not isinstance(self.model, Differentiable):
            return None
        try:
            if self.again and isinstance(self.model, Predictor):
                return self.model.reference(self.x_train, self.y_train, retained, self.again)
            return self.model.retrained(self.x_train, self.y_train, retained)
        except NothingLeft:
            return None

    @cached_property
    def original(self) -> Differentiable | None:
        """The model before any removal: the same model trained from scratch on all rows.

        None where the model is not ``Differentiable``.
        """
        if not isinstance(self.model, Differentiable):
            return None
        return self.model.retrained(self.x_train, self.y_train, np.arange(len(self.y_train)))


def evenly_spaced(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return ``count`` of ``rows``, the first one and then at equal distances; all where they are no more."""
    if len(rows) <= count:
        return rows
    return rows[np.arange(count) * len(rows) // count]


def probabilities_of(
    model: Probabilistic, classes: NDArray[np.int64], x: Any, rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Probability of each of ``classes``, (m, K), for some rows: 0 of those that the model has not."""
    found, own = model.probabilities(x, rows), np.searchsorted(classes, model.classes_)
    if len(own) == len(classes):
        return found
    every = np.zeros((len(found), len(classes)))
    every[:, own] = found
    return every


def columns_of(metric: Any) -> Columns:
    """Return what a metric declares; of older ones that name their ``columns`` alone, these as headings."""
    declared = getattr(metric, "COLUMNS", None)
    return {key: Column(key) for key in metric.columns} if declared is None else declared


def lacking(model: Any, metric: Any) -> list[str]:
    """Return what a model lacks of the protocol that a metric needs: names of methods and attributes."""
    needs = getattr(metric, "needs", None)
    kinds = [kind for kind in (needs.__mro__ if needs else ()) if getattr(kind, "_is_protocol", False)]
    names = {name for kind in kinds for name in (*vars(kind), *vars(kind).get("__annotations__", ()))}
    return sorted(name for name in names if not name.startswith("_") and not hasattr(model, name))


class Metric(Protocol):
    """Evaluated after every ``every``-th request, and after the last.

    A metric may say what it ``needs``, a protocol of ``expunge.predictors``: a run then names what is
    not measured of a model that lacks it, and why. One with ``needs_retrieval = True`` is refused on a
    data set without queries and gallery, where it would measure nothing, and so is one with
    ``needs_corruption`` (``poison`` or ``mislabel``) where no row was changed like that.
    """

    COLUMNS: Columns
    """What ledger, summary, tables and pictures say of its numbers, by the key in the ledger."""

    @property
    def every(self) -> int | None:
        """None: after the last request only."""

    def __call__(self, view: View) -> dict[str, float | None]:
        """Return one number a column (None where it is not defined)."""


@runtime_checkable
class Comparing(Protocol):
    """A metric that looks at the model before a request too."""

    def before(self, view: View) -> None:
        """Called just before each request that the metric is evaluated after; not part of its time."""


@runtime_checkable
class Pictured(Protocol):
    """A metric that keeps arrays for a picture; a run writes them beside its ledger.

    ``picture``, where it has that, says what they are: ``maps`` are drawn over images.
    """

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return those of its last evaluation, none where there is nothing to show."""


class Evaluated:
    """A metric that may be evaluated after the last request alone.

    Args:
        every: Evaluate after every this many requests (and after the last); None: after the last alone.

    Raises:
        InvalidValue: ``every``, or a value of the metric's own, is not allowed.
    """

    def __init__(self, every: int | None = None) -> None:
        try:
            self.every = None if every is None else require_count("every", every)
        except InvalidValue as error:
            allowed = f"{error.allowed}, or null for after the last request"
            raise InvalidValue("every", every, allowed) from None
