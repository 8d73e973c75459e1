"""What trains and predicts: the linear model and the network behind one interface, and what metrics ask."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import require_seed
from expunge.core.errors import InvalidValue, UserError
from expunge.core.files import State
from expunge.core.row_ids import row_ids
from expunge.core.row_set import RowSet
from expunge.core.seeds import fresh_secret
from expunge.core.threads import Shared, deep_copy

KINDS = {"logistic": "logistic", "network": "a network"}
"""What a method can be for, and what messages call it."""


@runtime_checkable
class Differentiable(Protocol):
    """What the metrics of losses, gradients and retrained models ask of a model.

    That of a plug-in need not have it: those metrics are then undefined. ``x`` and ``y`` are all training
    rows with their labels, as given to ``fit``; ``rows`` are ids among them, whether or not they have been
    removed.
    """

    def predict(self, x: Any) -> NDArray[np.int64]:
        """As that of ``Predictor``."""

    def model(self) -> dict[str, NDArray[Any]]:
        """As that of ``Predictor``."""

    def losses(self, x: Any, y: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Loss of each of the rows, (m,), without regularisation or perturbation."""

    def gradient_norm(self, x: Any, y: NDArray[np.int64], rows: NDArray[np.int64]) -> float:
        """2-norm of the gradient, with respect to all weights, of the **mean** of those losses (m >= 1)."""

    def retrained(self, x: Any, y: NDArray[np.int64], rows: NDArray[np.int64]) -> Differentiable:
        """The same model, trained from scratch on these rows alone.

        Raises:
            NothingLeft: There is no model for these rows.
        """


@runtime_checkable
class Probabilistic(Differentiable, Protocol):
    """What the metrics of forgetting ask of a model besides; that of a plug-in need not have it either.

    The model that ``retrained`` returns has it too.
    """

    classes_: NDArray[np.int64]
    """(K,) labels in rising order: those of all training rows, or of those that are still there."""

    def probabilities(self, x: Any, rows: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Probability of each class for some rows of any inputs (None: all of them), (m, K)."""

    def mean_loss(
        self, x: Any, y: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> tuple[Any, Callable[[Any], tuple[float, Any]]]:
        """The mean of ``losses`` over these rows as a function of all weights that are trained.

        Returns:
            The weights, (p,), an array or a tensor, and a function ``w -> (loss, gradient)`` of such weights,
            which leaves the model as it is.
        """


@runtime_checkable
class ByClass(Protocol):
    """A model whose weights are those of its classes, which may be fewer than those of another."""

    classes_: NDArray[np.int64]

    def by_class(self) -> dict[str, NDArray[Any]]:
        """The weights of each class, by its label; of two classes those of the larger label alone."""


@runtime_checkable
class Graded(Protocol):
    """What tells rows apart whose probabilities are 0 and 1 in float64; any model may do without."""

    def log_odds(self, x: Any, y: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """``log((1 - p_i) / p_i)`` of the own label ``y[i]`` of some rows of any inputs, (m,)."""


@runtime_checkable
class Embedding(Protocol):
    """What the metrics of verification and re-identification ask of a model besides."""

    def embeddings(self, x: Any, rows: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """What the last layer is given for some rows of any inputs (None: all of them), (m, d)."""


@runtime_checkable
class Randomised(Protocol):
    """What the metric of zero retrain forgetting asks of a model besides."""

    def ignorant(self, draw: int, again: Sequence[int] = ()) -> Probabilistic:
        """Number ``draw`` of models of the same kind and classes with random weights, untrained.

        Those of each ``again`` are others (``View.again``).
        """


@runtime_checkable
class Mapped(Protocol):
    """What the metric of activation maps asks of a model besides."""

    def activation_maps(self, x: Any, rows: NDArray[np.int64] | None = None) -> NDArray[np.float64] | None:
        """How active the last feature maps are at each position, (m, h, w); None where there are none."""


class NothingLeft(UserError):
    """There is no model for the rows that would stay; nothing has changed."""


class Predictor(Shared, Probabilistic, ABC):
    """A model that is trained on rows, can be trained again without some of them, and predicts.

    Threads may share it; ``lock`` is held by whoever changes it, so that what it says is of one model.

    Row ids are those of the training set as given to ``fit``, whatever has left since. ``x`` and ``y`` of the
    methods that metrics call are that training set again.

    Attributes:
        kind: One of ``KINDS``.
        not_covered: What of removed rows its form shows, whichever method removes them; None for nothing.
        seconds_fit: Time that the last training took, where that is not the time of the call: the model was
            found trained already.
        x: The training inputs.
        y: (n,) their labels.
        classes_: (K,) labels in rising order; see ``Probabilistic``.
        there: Training rows that have not left; it is replaced, never changed.
        seed: Of all that is drawn; a secret where a certificate rests on it.
        repeat: Which of several unlearnings of the same original this is to be, from 0. What a request draws
            follows it; training, its split and its perturbation do not.
        seeded: Whether it was given. Otherwise it is fresh, and only for what has to be drawn again as it was
            after loading: a perturbation then comes from the operating system itself.
    """

    kind: ClassVar[str]
    not_covered: ClassVar[str | None] = None
    seconds_fit: float | None = None
    repeat: int = 0
    __deepcopy__ = deep_copy

    def begin(self, x: Any, y: NDArray[np.int64], seed: int | None) -> None:
        """Take over the training data; ``seed`` None draws one from the operating system."""
        self.x, self.y = x, y
        self.classes_ = np.unique(y)
        self.there = RowSet.full(len(y))
        self.seeded = seed is not None
        self.seed = fresh_secret() if seed is None else require_seed("seed", seed)

    @property
    def again(self) -> tuple[int, ...]:
        """What the streams of requests are told (``core.seeds.stream``): nothing in the first repeat."""
        return (self.repeat,) if self.repeat else ()

    @property
    def kept(self) -> NDArray[np.bool_]:
        """(n,) bool, training rows that have not left; to be read, in O(n) after each removal."""
        return self.there.mask

    @kept.setter
    def kept(self, kept: NDArray[np.bool_]) -> None:
        self.there = RowSet.of(kept)

    def checked(self, rows: Sequence[int]) -> NDArray[np.int64]:
        """Return the ids of a request as an array.

        Raises:
            InvalidValue: An id is out of range, named twice or gone already, or no row would stay.
        """
        index = row_ids(rows, self.there.size)
        if not len(index):
            raise InvalidValue("rows", rows, "a list of one or more whole numbers")
        for bad in index[~self.there.has(index)][:1]:
            raise InvalidValue("rows", int(bad), "rows that have not been removed before")
        most = self.there.count - 1
        if len(index) > most:
            raise InvalidValue("rows", f"{len(index)} rows", f"at most {most}: one row at least must stay")
        return index

    def staying(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ids of the rows that stay once ``index`` leaves too, in rising order."""
        return self.there.without(index).here

    def leave(self, index: NDArray[np.int64]) -> None:
        """Count these rows as gone; the weights stay as they are."""
        self.there = self.there.without(index)

    def rehearse(self, x: Any, y: NDArray[np.int64]) -> None:
        """Compile and set up what training on ``x`` and ``y`` will run; no time that is taken shall have it.

        Nothing of it is kept, and no random numbers are used up.
        """

    def small(self, x: Any, y: NDArray[np.int64]) -> tuple[Predictor, Any, NDArray[np.int64]] | None:
        """A model of the same settings, untrained, and a few rows like these: what takes seconds at most.

        Their labels mean nothing. None where there is nothing of the kind.
        """
        return None

    @abstractmethod
    def fit(self, x: Any, y: NDArray[np.int64], seed: int | None = None) -> None:
        """Train on all rows ``x`` (n, ...) with labels ``y`` (n,)."""

    @abstractmethod
    def without(self, index: NDArray[np.int64]) -> Any:
        """What would be left to train on without these rows too.

        Raises:
            NothingLeft: There is no model for the rest.
        """

    @abstractmethod
    def refit(self, index: NDArray[np.int64]) -> float | None:
        """Train from scratch on what is left without these rows, which leave.

        Returns:
            The norm of the gradient at which training stopped, where it is known.

        Raises:
            NothingLeft: There is no model for the rest.
        """

    @abstractmethod
    def predict(self, x: Any, rows: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Labels of some rows of any inputs (None: all of them), (m,)."""

    def reference(
        self, x: Any, y: NDArray[np.int64], rows: NDArray[np.int64], again: Sequence[int] = ()
    ) -> Differentiable:
        """What metrics set the model beside: ``retrained``, or where training draws, another one of the kind.

        Args:
            x: All training rows.
            y: Their labels.
            rows: Those to train on.
            again: Which other one; nothing: that with the seed of the model itself. A loss with one minimiser
                has one such model.
        """
        return self.retrained(x, y, rows)

    def residual(self) -> float | None:
        """||grad L_b||_2 over the rows that are there; None where the model has no perturbed loss ``L_b``."""
        return None

    @abstractmethod
    def is_finite(self) -> bool:
        """Whether every weight is a number."""

    @abstractmethod
    def snapshot(self) -> Callable[[], None]:
        """Keep the weights; calling the result puts them back bit by bit."""

    @abstractmethod
    def state(self) -> State:
        """Everything needed to continue."""

    @abstractmethod
    def load_state(self, state: State, x: Any, y: NDArray[np.int64]) -> None:
        """Continue from ``state`` with the training data that ``fit`` was given."""
