"""What a removal request comes to, and what serves it: a method on a model, or an object that is both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from inspect import isfunction
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from expunge.certificate.composition import Claim
from expunge.core.checks import require_count, require_name
from expunge.core.columns import Column, Columns, Plot
from expunge.core.files import State
from expunge.core.read_back import read_as
from expunge.core.threads import alone, deep_copy, whole
from expunge.predictors import Predictor
from expunge.unlearners.rehearsal import rehearse
from expunge.unlearners.search import SearchSpace

ROLES = ("certified", "heuristic", "reference", "baseline")
OUTCOMES = ("removed", "retrained", "refused")
_ALONE = ("fit", "remove", "settle", "validate_on", "state", "load_state")


@dataclass(frozen=True)
class Outcome:
    """How one request ended.

    Attributes:
        outcome: ``removed`` (by an update), ``retrained`` (the model was trained again without the rows) or
            ``refused`` (nothing changed; the rows stay in the retained set).
        reason: Why, where it is not ``removed``.
        rows: The requested rows.
        residual_bound: beta, guaranteed bound on ||grad L_b||_2 of the model that is out now; of a release
            ``budget``, for beta is a secret.
        residual_measured: ||grad L_b||_2 itself where the update computed it, and it need not be secret.
        budget: std epsilon / c; of a release what the noise covers at the rows that stay. None for methods
            without a certificate, like the next.
        epsilon_spent: c beta / std; with noise at release that of all releases so far, by their count.
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
        "norm of the loss's gradient at the model that the last release was made from; 0 is an exact retrain",
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


def _counted(remove: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """Count the request, unless the method or the one that it extends has."""

    @wraps(remove)
    def counted(self: Any, *args: Any, **kwargs: Any) -> Outcome:
        before = self.served
        outcome = remove(self, *args, **kwargs)
        if self.served == before:
            self.served += 1
        return outcome

    return counted


class Method(ABC):
    """A method that removes rows from a model; what it adds is ``remove(rows) -> Outcome``.

    ``remove`` begins with ``self.predictor.checked(rows)``; rows that are out of the model leave it by
    ``self.predictor.leave`` or ``refit``. Where it does not count the request in ``served`` itself, that is
    done for it. A method that has a ``state`` of its own adds it to that of ``Method``.
    ``validate_on(x, y)``, where there is one, is given the test rows once after ``fit`` or ``load_state``.

    Threads may share a method: those six hold the model's lock, in a subclass too, so that requests are
    served one after the other, each as if it were alone, and a state is saved between two of them.

    Args:
        model: What it works on.
        name: What the run files call the method.

    Attributes:
        supports: Kinds of models (see ``expunge.predictors.KINDS``) that it works on.
        role: ``certified``, ``heuristic``, ``reference`` (what others are measured against) or ``baseline``.
        COLUMNS: What its ``Outcome.figures`` are.
        search_space: Settings that are worth tuning, and the values to try.
        exact: Whether what it leaves is always a training without the rows: its settings then choose between
            models, not how well it forgets, and equal tuning leaves them as they are.
        predictor: The model.
        served: Requests so far.
    """

    supports: tuple[str, ...] = ()
    role = "heuristic"
    COLUMNS: Columns = {}
    search_space: SearchSpace = {}
    exact = False

    def __init__(self, model: Predictor, name: str) -> None:
        self.predictor, self.name, self.served = model, require_name("name", name), 0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in _ALONE:
            if isfunction(own := vars(cls).get(name)):
                setattr(cls, name, alone(_counted(own) if name == "remove" else own))

    @property
    def lock(self) -> Any:
        """That of the model: whoever changes it holds it, whichever method it is."""
        return self.predictor.lock

    __deepcopy__ = deep_copy

    def __copy__(self) -> Any:
        """Another method on the same model, which stands where this one does."""
        made = type(self).__new__(type(self))
        made.__dict__ = dict(vars(self))
        return made

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled, and so may be written: nothing of rows that have left, if ``settle`` can help."""
        with self.lock:
            self.settle()
            return dict(vars(self))

    def rehearse(self, x: Any, y: NDArray[np.int64]) -> None:
        """Compile and set up what ``fit`` and ``remove`` run on such data, so that their times are true.

        A method of a plug-in, which may be what must not be run twice, has its model prepared alone; it may
        call ``expunge.unlearners.rehearsal.rehearse`` besides.
        """
        self.predictor.rehearse(x, y)
        if type(self).__module__.startswith("expunge."):
            rehearse(self, x, y)

    def shorten(self) -> None:
        """Choose settings of which a rehearsal comes to an end soon; of a copy that is thrown away."""
        return

    @alone
    def fit(self, x: Any, y: NDArray[np.int64], seed: int | None = None) -> None:
        """Train the model on features ``x`` (n, ...) with labels ``y`` (n,); what fails changes nothing."""
        with whole(self, self.predictor):
            self.predictor.fit(x, y, seed)
            self.served = 0

    def share_of_retraining(self, rows: Sequence[int]) -> float | None:
        """Estimated work of a request as a share of that of training again; None where nobody has counted."""
        return None

    def cheaper(self, rows: Sequence[int]) -> str:
        """What makes such a request cheaper, in words; empty where nothing is known of it."""
        return ""

    @abstractmethod
    def remove(self, rows: Sequence[int]) -> Outcome:
        """Serve one request; every request ends in an ``Outcome``."""

    def claim(self) -> Claim:
        """What a run says of its guarantee, and of what its model shows in spite of it."""
        return Claim(not_covered=self.predictor.not_covered)

    @alone
    def settle(self) -> None:
        """Make all that is kept a function of the rows that stay alone, before it is written to be kept.

        The model changes where something has left since: what was made with the help of rows that are gone
        is made anew. A method that keeps nothing of the kind has nothing to do, which is what this does.
        """
        return

    @alone
    def state(self) -> State:
        """Everything needed to continue, the model included."""
        state = self.predictor.state()
        state.values["served"] = self.served
        return state

    def require_served(self, outcomes: Mapping[str, int]) -> None:
        """Refuse a loaded state that cannot have come of so many outcomes of each kind; any may.

        Raises:
            DataError: So it is.
        """
        return

    @alone
    def load_state(self, state: State, x: Any, y: NDArray[np.int64]) -> None:
        """Continue from ``state`` with the training data that ``fit`` was given."""
        with read_as(f"the state of {self.name}"):
            self.predictor.load_state(state, x, y)
            self.served = require_count("served", state.values["served"], least=0)


class Unlearner(Protocol):
    """What a run asks of a plug-in that is model and method in one.

    Row ids are those of the training set as given to ``fit``, whatever has been removed since. What a
    ``Method`` may have besides (without ``claim`` a run says that nothing is known), and ``seconds_fit`` of a
    ``Predictor``, is used where it is there. Its ``COLUMNS`` are to have ``RESIDUAL`` where it gives a
    ``residual_measured``.
    """

    name: str

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
