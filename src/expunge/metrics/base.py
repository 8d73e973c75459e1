"""What a metric sees, and what it must offer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import require_count
from expunge.core.errors import InvalidValue
from expunge.datasets.base import Retrieval, of_known_classes
from expunge.unlearners.base import Differentiable, Unlearner

Definitions = dict[str, tuple[str, str]]
"""Column -> (arrow, definition): ↑ more is better, ↓ less is better, none where the aim is a value."""

AIM = "the aim is the retrained model's"


def references(definitions: Definitions) -> Definitions:
    """Define for each of these columns one with ``retrain_`` before its name: the retrained model's."""
    return {f"retrain_{name}": ("", f"{name} of the retrained model, as a reference") for name in definitions}


@dataclass(frozen=True)
class View:
    """The run as a metric sees it around a request.

    Attributes:
        requested: (n_train,) bool, the **forget set**: rows that were asked to be forgotten so far, whatever
            became of the request, so that it is the same for every method served the same requests. The
            **retain set** is the rest.
        rows: Those of the request just served or, before it, about to be served.
        retrieval: Query and gallery among the test rows; None but for a re-identification data set.
    """

    unlearner: Unlearner
    x_train: Any
    y_train: NDArray[np.int64]
    x_test: Any
    y_test: NDArray[np.int64]
    requested: NDArray[np.bool_]
    rows: tuple[int, ...] = ()
    retrieval: Retrieval | None = None

    @cached_property
    def known_test(self) -> NDArray[np.int64]:
        """Ids of the test rows that accuracies are measured on, see ``of_known_classes``."""
        return np.flatnonzero(of_known_classes(self.y_test, self.y_train))

    @cached_property  # several metrics of one evaluation compare with it, and it is a training
    def reference(self) -> Differentiable | None:
        """The retrained model: the same model trained from scratch on the retain set.

        None where the retain set is empty, or the unlearner is not ``Differentiable``.
        """
        retained = np.flatnonzero(~self.requested)
        if not len(retained) or not isinstance(self.unlearner, Differentiable):
            return None
        return self.unlearner.retrained(self.x_train, self.y_train, retained)

    @cached_property
    def original(self) -> Differentiable | None:
        """The model before any removal: the same model trained from scratch on all rows.

        None where the unlearner is not ``Differentiable``.
        """
        if not isinstance(self.unlearner, Differentiable):
            return None
        return self.unlearner.retrained(self.x_train, self.y_train, np.arange(len(self.y_train)))


class Metric(Protocol):
    """Evaluated after every ``every``-th request, and after the last.

    A metric may have ``over_run = "mean"``: the summary then holds the mean of its columns over the requests
    where they are not None, in place of the last value. One with ``needs_retrieval = True`` is refused on a
    data set without queries and gallery, where it would measure nothing.
    """

    @property
    def every(self) -> int | None:
        """None: after the last request only."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What the ledger calls its numbers."""

    def __call__(self, view: View) -> dict[str, float | None]:
        """Return one number a column (None where it is not defined)."""


@runtime_checkable
class Comparing(Protocol):
    """A metric that looks at the model before a request too."""

    def before(self, view: View) -> None:
        """Called just before each request that the metric is evaluated after; not part of its time."""


@runtime_checkable
class Pictured(Protocol):
    """A metric that keeps arrays for a picture; a run writes them beside its ledger."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return those of its last evaluation, none where there is nothing to show."""


def require_every(every: Any) -> int | None:
    """Return ``every``, or raise ``InvalidValue`` unless it is None or a whole number >= 1."""
    try:
        return None if every is None else require_count("every", every)
    except InvalidValue as error:
        raise InvalidValue("every", every, f"{error.allowed}, or null for after the last request") from None
