"""The one interface of all unlearners, and what a removal request comes to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from expunge.core.columns import Column, Plot
from expunge.core.files import State

ROLES = ("certified", "heuristic", "reference", "baseline")
OUTCOMES = ("removed", "retrained", "refused")
RESIDUAL = {
    "residual_measured": Column(
        "residual",
        "↓",
        "norm of the perturbed loss's gradient at the last released model; 0 is an exact retrain",
        sub="measured, last",
        plot=Plot(
            "residual",
            "bounded",
            "Residual gradient norm and its budget",
            "residual norm (gradient of the summed loss)",
            against="residual_bound",
        ),
    )
}
"""What a method declares whose updates measure the residual that they leave."""


@dataclass(frozen=True)
class Outcome:
    """How one request ended.

    Attributes:
        outcome: ``removed`` (by an update), ``retrained`` (the model was trained anew without the rows) or
            ``refused`` (nothing changed; the rows stay in the retained set).
        reason: Why, where it is not ``removed``.
        rows: The requested rows.
        residual_bound: beta, guaranteed bound on ||grad L_b||_2 of the model that is out now.
        residual_measured: ||grad L_b||_2 itself where the update computed it.
        budget: std epsilon / c. epsilon_spent: c beta / std. None for methods without a certificate.
        figures: Numbers of the method itself, by the name that the ledger and the summary give them; a
            request that never came so far may leave some out.
    """

    outcome: str
    rows: tuple[int, ...]
    reason: str | None = None
    residual_bound: float | None = None
    residual_measured: float | None = None
    budget: float | None = None
    epsilon_spent: float | None = None
    figures: dict[str, float] = field(default_factory=dict)


RESIDUAL = {
    "residual_measured": Column(
        "residual",
        "↓",
        "norm of the perturbed loss's gradient at the last released model; 0 is an exact retrain",
        sub="measured, last",
        plot=Plot(
            "residual",
            "bounded",
            "Residual gradient norm and its budget",
            "residual norm (gradient of the summed loss)",
            against="residual_bound",
        ),
    )
}
"""What a method with a bound declares of it, whether or not a metric measures the residual besides."""


class Unlearner(Protocol):
    """A model that can be trained and can be asked to forget rows of its training set.

    Row ids are those of the training set as given to ``fit``, whatever has been removed since.

    Three things more are used where an unlearner has them. ``validate_on(x, y)`` is given the test rows once
    after ``fit`` or ``load_state``. ``seconds_fit``, if it is not None, is the time that the training took,
    for a model that ``fit`` found trained already. ``COLUMNS`` says what its ``Outcome.figures`` are,
    and is to have ``RESIDUAL`` where it gives a ``residual_measured``.
    """

    name: str
    role: str
    """``certified``, ``heuristic``, ``reference`` (what others are measured against) or ``baseline``."""

    def fit(self, x: Any, y: NDArray[np.int64], seed: int | None) -> None:
        """Train on features ``x`` (n, ...) with labels ``y`` (n,)."""

    def remove(self, rows: Sequence[int]) -> Outcome:
        """Serve one request; every request ends in an ``Outcome``."""

    def predict(self, x: Any) -> NDArray[np.int64]:
        """Labels, (len(x),)."""

    def residual(self) -> float | None:
        """||grad||_2 of the training loss over the retained rows, where the method has one."""

    def model(self) -> dict[str, NDArray[Any]]:
        """The arrays a reader of ``model.safetensors`` gets."""

    def state(self) -> State:
        """Everything needed to continue."""

    def load_state(self, state: State, x: Any, y: NDArray[np.int64]) -> None:
        """Continue from ``state`` with the training data that ``fit`` was given."""


@runtime_checkable
class Differentiable(Protocol):
    """What the metrics of losses, gradients and retrained models ask of an unlearner besides.

    A plug-in need not have it: those metrics are then undefined. ``x`` and ``y`` are all training rows with
    their labels, as given to ``fit``; ``rows`` are ids among them, whether or not they have been removed.
    """

    def predict(self, x: Any) -> NDArray[np.int64]:
        """As that of ``Unlearner``."""

    def model(self) -> dict[str, NDArray[Any]]:
        """As that of ``Unlearner``."""

    def losses(self, x: Any, y: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Loss of each of the rows, (m,), without regularisation or perturbation."""

    def gradient_norm(self, x: Any, y: NDArray[np.int64], rows: NDArray[np.int64]) -> float:
        """2-norm of the gradient, with respect to all weights, of the **mean** of those losses (m >= 1)."""

    def retrained(self, x: Any, y: NDArray[np.int64], rows: NDArray[np.int64]) -> Differentiable:
        """The same model, trained from scratch on these rows alone."""


@runtime_checkable
class Probabilistic(Differentiable, Protocol):
    """What the metrics of forgetting ask of an unlearner besides; a plug-in need not have it either.

    The model that ``retrained`` returns has it too, and the same classes.
    """

    classes_: NDArray[np.int64]
    """(K,) labels in rising order, those of all training rows."""

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
class Embedding(Protocol):
    """What the metrics of verification and re-identification ask of an unlearner besides."""

    def embeddings(self, x: Any, rows: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """What the last layer is given for some rows of any inputs (None: all of them), (m, d)."""


@runtime_checkable
class Mapped(Protocol):
    """What the metric of activation maps asks of an unlearner besides."""

    def activation_maps(self, x: Any, rows: NDArray[np.int64] | None = None) -> NDArray[np.float64] | None:
        """How active the last feature maps are at each position, (m, h, w); None where there are none."""
