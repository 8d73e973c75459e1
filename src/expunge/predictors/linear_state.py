"""What a state of a linear model must be, by itself and with the rows that it is of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from expunge.core.checks import is_whole, require_count, require_switch
from expunge.core.errors import DataError
from expunge.core.files import State
from expunge.core.read_back import array_of, ids_of, same
from expunge.linear.classes import ClassList, Labels, width_of
from expunge.linear.operations import RowOperations

if TYPE_CHECKING:
    from expunge.predictors.linear_columns import LinearColumns


def require_state(state: State, x: RowOperations) -> None:
    """Refuse what can be seen to be wrong without a row: types, shapes, NaN, ids, counts.

    The first versions had fewer entries.

    Raises:
        DataError: An array is not what it must be, or disagrees with another.
        InvalidValue: A value is not.
    """
    arrays, saved = state.arrays, state.values
    removed = ids_of(arrays, "removed_rows", len(x))
    if "erased_rows" in arrays and len(np.setdiff1d(ids_of(arrays, "erased_rows", len(x)), removed)):
        raise DataError("erased_rows: are not among removed_rows")
    if not is_whole(saved["secret"]) or saved["secret"] < 0:  # of any length
        raise DataError("secret: is not a whole number >= 0")
    require_switch("seeded", saved.get("seeded", True))
    width = width_of(len(saved["classes"]))
    shape = (x.dim,) if width == 1 else (x.dim, width)
    for name in ("weight", "perturbation"):
        array_of(arrays, name, np.float64, shape)
    if "drawn" in arrays:
        array_of(arrays, "drawn", np.float64, (x.dim, width))
    for name, least in (("class_places", 0), ("class_rows", 1), ("column_rows", 1)):
        for number in saved.get(name, ()):
            require_count(name, number, least)
    if "class_rows" in saved:
        same("class_rows", sum(saved["class_rows"]), len(x) - len(removed))
    if "class_places" in saved:
        places = np.array(saved["class_places"], dtype=np.int64)
        first = require_count("classes_of_fit", saved["classes_of_fit"], least=2)
        if not (len(places) == len(saved["classes"]) and (np.diff(places) > 0).all() and places[-1] < first):
            raise DataError(
                f"class_places: got {places.tolist()}, which are not places among {first} classes"
            )


def require_rows(model: LinearColumns, saved: dict[str, Any]) -> None:
    """Refuse a state that counts other rows than those that the model has found to stay.

    Raises:
        DataError: It does.
    """
    classes = model.out.classes
    if all(map(is_whole, saved["classes"])) and "class_places" in saved:  # names, in the first versions
        same("classes", saved["classes"], classes.labels.tolist())
    if "class_rows" in saved and classes.rows is not None:
        same("class_rows", saved["class_rows"], classes.rows.tolist())
    if "column_rows" in saved:
        same("column_rows", saved["column_rows"], [column.problem.n for column in model.out.columns])


def classes_of(saved: dict[str, Any], labels: Labels) -> ClassList:
    """These classes, in the places that a state has for them."""
    places = np.array(saved["class_places"], dtype=np.int64)
    same("class_places", len(places), len(labels))
    return ClassList(labels, places, saved["classes_of_fit"])
