"""What each row counts in the loss: c_i in (0, 1], of its class and of its own.

The model minimises ``sum_i c_i l(s_i x_i.w) + (lam n / 2) ||w||^2``, n the number of rows whatever they count
(scikit-learn's ``C = 1 / (lam n)``, whose penalty takes no weights either). With c_i <= 1 no bound of the
certificate changes: gradient, curvature and third derivative of a row are c_i times what they are bounded
by. A row's weight leaves with it, so it must not depend on others: constants that are given, never counts.

Weights of classes may be above 1. All and lam are then divided by the largest, which leaves the minimiser
where it is: ``lam`` in every bound is that of the divided loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import LARGEST_SINGLE
from expunge.core.errors import InvalidValue
from expunge.linear.given import Array

_CLASSES, _ROWS = "class_weight", "sample_weight"
_CONSTANTS = "a number above 0 for each class, such as {common: 1, rare: 20}"
_BALANCED = (
    "constants, such as {0: 1, 1: 20}: how many rows a class has changes with every row that leaves, and so "
    "would the loss of all others"
)
_IN_RANGE = "above 0 and at most 1"
_ABOVE = "numbers above 0 and at most 1 (divide all by a constant that is no row's, and lam by it too)"


def checked_class_weight(given: Any) -> tuple[dict[Any, float] | None, float]:
    """Return the weights of classes divided by the largest, if that is above 1, and the divisor.

    Raises:
        InvalidValue: ``class_weight`` is neither None nor a mapping to numbers above 0.
    """
    if given is None:
        return None, 1.0
    if isinstance(given, str):
        raise InvalidValue(_CLASSES, given, _BALANCED)
    if not isinstance(given, Mapping) or not given:
        raise InvalidValue(_CLASSES, given, _CONSTANTS)
    found: dict[Any, float] = {}
    for key, value in given.items():
        number = isinstance(value, Real) and not isinstance(value, (bool, np.bool_))
        if not (number and isfinite(value) and 1 / LARGEST_SINGLE <= value <= LARGEST_SINGLE):
            raise InvalidValue(_CLASSES, dict(given), _CONSTANTS)
        found[key] = float(value)
    largest = max(1.0, *found.values())
    return {key: value / largest for key, value in found.items()}, largest


def by_label(
    weights: Mapping[Any, float] | None,
    names: Mapping[int, Any],
    label_of: Callable[[Any], int | None] | None = None,
    some_left: bool = False,
) -> dict[int, float] | None:
    """The weights of classes by their labels.

    Args:
        weights: By what a user calls each class.
        names: Label -> what a user calls the class, of those that rows have.
        label_of: The label of a class that is called so, None where there is none; by default its name, or
            a text that shows like it, is meant.
        some_left: Whether there may have been classes besides.

    Raises:
        InvalidValue: A class has no weight, or two; or one is named that no row has.
    """
    if weights is None:
        return None
    label_of = label_of or _label_by(names)
    known = {key: -1 if (label := label_of(key)) is None else label for key in weights}
    labels = [label for label in known.values() if label in names]
    if sorted(labels) != sorted(names) or not (some_left or len(labels) == len(known)):
        named = ", ".join(map(str, [*names.values()][:6])) + (", ..." if len(names) > 6 else "")
        raise InvalidValue(_CLASSES, [*weights], f"a weight for each class and no other: {named}")
    return {label: weights[key] for key, label in known.items() if label in names}


def _label_by(names: Mapping[int, Any]) -> Callable[[Any], int | None]:
    def found(key: Any) -> int | None:
        equal = [label for label, name in names.items() if key == name]
        alike = [label for label, name in names.items() if str(key) == str(name)]
        return next(iter(equal + alike), None)

    return found


def checked_sample_weight(given: Any, n: int) -> Array | None:
    """Return the weights of n rows as float64, (n,); None for none.

    Raises:
        InvalidValue: ``sample_weight``: they are more or fewer, or one is no number above 0 and at most 1.
    """
    if given is None:
        return None
    try:
        found = np.asarray(given)
        if found.dtype.kind not in "biufO":
            raise TypeError
        found = np.array(found, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidValue(_ROWS, type(given).__name__, f"{n} numbers, one a row") from None
    if found.shape != (n,):
        raise InvalidValue(_ROWS, f"numbers of shape {found.shape}", f"{n} numbers, one a row")
    bad = np.flatnonzero(~((found > 0) & (found <= 1)))
    if len(bad):
        value, row = float(found[bad[0]]), f"of row {bad[0]}"
        more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
        allowed = _ABOVE if value > 1 else f"{_IN_RANGE}; a row of weight zero is to be left out"
        raise InvalidValue(_ROWS, value, f"{allowed} ({row}{more})")
    return found


def of_rows(
    of_classes: Mapping[int, float] | None, labels: NDArray[np.int64], own: Array | None
) -> Array | None:
    """What each row counts, (n,): the weight of its class times its own; None where all count 1.

    A label that no class has, of a row that has left, counts 1.
    """
    if of_classes is None:
        return own
    found = np.ones(len(labels))
    for label, weight in of_classes.items():
        found[labels == label] = weight
    return found if own is None else found * own
