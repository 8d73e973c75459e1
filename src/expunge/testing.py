"""Is an unlearner one? What every method must hold, tried on small data: for the tests of a plug-in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import BrokenInvariant, InvalidValue
from expunge.core.files import State
from expunge.unlearners.base import OUTCOMES, ROLES, Method, Outcome
from expunge.unlearners.invariants import require_numbers, require_outcome

Array = NDArray[np.float64]

_METHODS = ("fit", "remove", "state", "load_state")
_OF_MODELS = ("predict", "residual", "model")
_FIRST, _SECOND = [3, 8, 11], [5, 20]  # what is asked to be removed, in two requests
_ROWS = 30  # at least
_BACK = 0.1  # share of the influence before any removal that the second request may bring back


class CheckFailed(AssertionError):
    """An unlearner does not hold what every unlearner must; one line says what."""


def check_unlearner(
    make: Callable[[], Any],
    x: Array | None = None,
    y: NDArray[np.int64] | None = None,
    seed: int = 0,
    inputs: Callable[[Array], Any] = np.array,
) -> None:
    """Try an unlearner on small data: its interface, its account of requests, its state, what stays removed.

    - The methods are there, ``role`` is one of ``ROLES``, predictions are labels.
    - Every request ends in an ``Outcome`` with the requested rows and with numbers that agree: a residual, as
      measured and as the model gives it, below its bound, that below its budget, epsilon spent below epsilon.
      A refused one changes nothing; rows that do not exist, or are gone already, are a ``ValueError``.
    - The same seed gives the same model; a model that was saved goes on as if it had not been.
    - What was removed **stays** removed. Two data sets differ in the contents of the rows of the first
      request alone: how far the two models are apart is the influence of these rows. A second request, for
      other rows, must not bring it back.

    Args:
        make: Makes the unlearner, with its settings; called several times.
        x: (n, d), n >= 30; None for rows of two classes.
        y: (n,) labels; None likewise.
        seed: Given to ``fit``.
        inputs: What makes of such an array the inputs that ``fit`` and ``predict`` take, such as
            ``Rows.normalised`` for linear models.

    Raises:
        CheckFailed: It does not hold what it must; the line says what, and with which rows.
        InvalidValue: ``x`` or ``y`` is not as above, or one of them is given alone.
    """
    x, y = _data() if x is None and y is None else _given(x, y)
    unlearner, rows_of_x = _interface(make()), inputs(x)
    unlearner.fit(rows_of_x, y, seed)
    known = set(np.unique(_model(unlearner).predict(rows_of_x))) <= set(np.unique(y))
    _say(known, "predict(x): labels that y does not have")
    before = _copy(_model(unlearner).model())
    for rows in (_FIRST, _SECOND):
        _serve(unlearner, rows)
    again = make()
    again.fit(rows_of_x, y, seed)
    _say(_same(before, _model(again).model()), "fit(x, y, seed): the same seed gave another model")
    _requests(unlearner, len(y))
    _state(make, again, rows_of_x, y)
    _stays_removed(make, (x, y), seed, inputs)


def _data() -> tuple[Array, NDArray[np.int64]]:
    """Sixty rows of five features: two classes that overlap a little."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    return rng.normal(size=(60, 5)) + 1.5 * (y[:, None] - 0.5), y


def _given(x: Any, y: Any) -> tuple[Array, NDArray[np.int64]]:
    for name, value in (("x", x), ("y", y)):
        if value is None:
            raise InvalidValue(name, None, "x and y together, or neither")
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 2 or len(x) < _ROWS:
        raise InvalidValue("x", f"shape {x.shape}", f"(n, d) with n >= {_ROWS}")
    if y.shape != (len(x),) or not np.issubdtype(y.dtype, np.integer):
        raise InvalidValue("y", f"{y.dtype} of shape {y.shape}", f"whole numbers of shape ({len(x)},)")
    return x, y


def _model(unlearner: Any) -> Any:
    """What predicts: the model of a method, or a plug-in that is model and method in one."""
    return getattr(unlearner, "predictor", unlearner)


def _say(holds: bool, line: str) -> None:
    if not holds:
        raise CheckFailed(line)


def _interface(unlearner: Any) -> Any:
    missing = [name for name in _METHODS if not callable(getattr(unlearner, name, None))]
    missing += [name for name in _OF_MODELS if not callable(getattr(_model(unlearner), name, None))]
    _say(not missing, f"{type(unlearner).__name__} has no method {', '.join(missing)}")
    name, role = getattr(unlearner, "name", None), getattr(unlearner, "role", None)
    _say(isinstance(name, str), f"name: got {name!r}, allowed: a text, what the run files call the method")
    _say(role in ROLES, f"role: got {role!r}, allowed: one of {', '.join(ROLES)}")
    return unlearner


def _serve(unlearner: Any, rows: Sequence[int]) -> Outcome:
    """Ask for rows, and check the answer."""
    before = _copy(_model(unlearner).model())
    outcome = unlearner.remove(list(rows))
    where = f"remove({list(rows)})"
    _say(isinstance(outcome, Outcome), f"{where}: returned {type(outcome).__name__}, allowed: an Outcome")
    _say(outcome.outcome in OUTCOMES, f"{where}: {outcome.outcome!r} is none of {', '.join(OUTCOMES)}")
    _say(sorted(outcome.rows) == sorted(rows), f"{where}: its outcome is about rows {list(outcome.rows)}")
    _numbers(unlearner, outcome, where)
    refused = outcome.outcome == "refused"
    _say(not refused or bool(outcome.reason), f"{where}: refused without a reason")
    _say(
        not refused or _same(before, _model(unlearner).model()),
        f"{where}: refused, and the model has changed",
    )
    return outcome


def _numbers(unlearner: Any, outcome: Outcome, where: str) -> None:
    """Check its numbers against each other, the residual and the rows that the model has left."""
    model, promised = _model(unlearner), getattr(unlearner, "guarantee", None)
    try:
        require_outcome(outcome, outcome.rows, getattr(promised, "epsilon", None))
        now = model.residual()
        require_numbers(vars(replace(outcome, residual_measured=None if now is None else float(now))))
    except BrokenInvariant as error:
        raise CheckFailed(f"{where}: {error}") from None
    if isinstance(unlearner, Method):
        left = not model.kept[list(outcome.rows)].any()
        _say(left or outcome.outcome == "refused", f"{where}: the model still counts the rows as its own")


def _requests(unlearner: Any, n: int) -> None:
    """Requests that nobody can serve."""
    gone = _FIRST[:1] if unlearner.remove([1]).outcome != "refused" else []
    for rows, why in (([n], "no such row"), ([2, 2], "named twice"), (gone, "removed already"), ([], "none")):
        if rows or why == "none":
            try:
                unlearner.remove(rows)
            except ValueError:
                continue
            raise CheckFailed(f"remove({rows}): {why}, and no ValueError")


def _state(make: Callable[[], Any], fitted: Any, x: Any, y: NDArray[np.int64]) -> None:
    """A model that was saved after a request serves the next one as the model itself does."""
    fitted.remove(list(_FIRST))
    state = fitted.state()
    loaded = make()
    loaded.load_state(State(_copy(state.arrays), dict(state.values)), x, y)
    _say(_same(_model(fitted).model(), _model(loaded).model()), "load_state(state(), x, y): another model")
    kept, other = fitted.remove(list(_SECOND)), loaded.remove(list(_SECOND))
    alike = kept.outcome == other.outcome and _same(_model(fitted).model(), _model(loaded).model())
    _say(
        alike, f"remove({_SECOND}) after load_state comes out otherwise than without: the state is not whole"
    )


def _stays_removed(
    make: Callable[[], Any],
    data: tuple[Array, NDArray[np.int64]],
    seed: int,
    inputs: Callable[[Array], Any],
) -> None:
    """The second request must not bring the rows of the first one back."""
    x, y = data
    other = x.copy()
    other[_FIRST] = x[_FIRST][::-1] * -3  # unlike what they were, and no larger than rows may be
    pair, told = (make(), make()), inputs(x)
    for unlearner, contents in zip(pair, (x, other), strict=True):
        unlearner.fit(inputs(contents), y, seed)
    at_first = _apart(pair, told)
    left = []
    for rows in (_FIRST, _SECOND):
        served = [unlearner.remove(list(rows)).outcome for unlearner in pair]
        if "refused" in served:
            return  # nothing was to be removed
        left.append(_apart(pair, told))
    influences = zip(*left, at_first, strict=True)
    _say(
        all(after <= 1.5 * before + _BACK * start for before, after, start in influences),
        f"remove({_SECOND}) brought back rows {_FIRST}, which an earlier request had removed: the model "
        "depends on their contents again",
    )


def _apart(pair: Sequence[Any], x: Any) -> tuple[float, float]:
    """How far two models are apart: in their arrays of equal shape, and in their predictions."""
    one, other = (_model(unlearner).model() for unlearner in pair)
    shared = [name for name in one if name in other and one[name].shape == other[name].shape]
    squares = (float(np.sum((one[name].astype(float) - other[name].astype(float)) ** 2)) for name in shared)
    told = [_model(unlearner).predict(x) for unlearner in pair]
    return float(np.sqrt(sum(squares))), float(np.mean(told[0] != told[1]))


def _copy(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name: np.array(array) for name, array in arrays.items()}


def _same(one: dict[str, NDArray[Any]], other: dict[str, NDArray[Any]]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)
