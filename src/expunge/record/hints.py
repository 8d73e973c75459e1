"""Hints for the person who trains: what of the data is likely to cost accuracy, and what to set.

They are made from the training rows, so that they go to the screen alone and into no file that is passed on.
Each decides by fixed limits from at most 4,096 rows, evenly spaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.linear.operations import RowOperations

_ROWS = 4096
_LARGEST_CLASS = 0.8  # share of the rows from which on a model without a constant is at a loss
_CENTRED = 0.5  # norm of the mean row below which no direction could stand for the constant
_SMALL = 0.01  # of the mean square of all features: one with less hardly counts


def of_intercept(rows: RowOperations, labels: NDArray[np.int64], names: Any, setting: str) -> str | None:
    """The hint of rows without a constant beside them, where most are of one class and lie around zero.

    Whatever the weights, half of the rows around zero are on either side then.

    Args:
        rows: n rows of norm at most 1.
        labels: (n,).
        names: What a label is called, by its number.
        setting: What puts a constant there, as its user writes it.
    """
    index = np.unique(np.linspace(0, len(rows) - 1, min(_ROWS, len(rows))).astype(np.int64))
    found, counts = np.unique(labels[index], return_counts=True)
    share = counts.max() / len(index)
    mean = np.linalg.norm(rows.part(index).mean(axis=0))
    if len(found) < 2 or share < _LARGEST_CLASS or mean >= _CENTRED:
        return None
    most = names[int(found[counts.argmax()])]
    return f"{share:.0%} of the training rows are of class {most}, which no weight can stand for: {setting}"


def of_units(x: NDArray[Any], features: Mapping[str, bool]) -> str | None:
    """The hint of a table in raw units, where half of the features hardly count beside the others.

    Args:
        x: (n, d) training features.
        features: Their names.
    """
    index = np.unique(np.linspace(0, len(x) - 1, min(_ROWS, len(x))).astype(np.int64))
    squares = np.square(x[index].astype(np.float64)).mean(axis=0)
    varying = squares[squares > 0]
    if len(varying) < 2 or np.median(varying) >= _SMALL * varying.mean():
        return None
    largest = list(features)[int(squares.argmax())]
    return (
        f"the features have units of their own, and those of {largest} outweigh half of the others: "
        "extractor.scaling=declared with public extractor.ranges, or dp"
    )
