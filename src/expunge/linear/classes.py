"""The classes of a linear model: those that some row has, and what column each of them has."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class ClassList:
    """K classes with one weight vector each, or of two one, for the larger label.

    A class whose last row leaves goes from the list, and its column with it: a model trained on the rows that
    stay has never heard of it. With two classes left the column of the larger label, which tells it from all
    others, tells it from the one other: it is the binary model as it stands, and that of the smaller label
    goes too. Training again follows the same rule.

    Attributes:
        labels: (K,) in rising order.
        places: (K,), the number of each among the classes of the fit, from 0.
        first: How many those were. What has been drawn for each of them is found by these numbers.
        rows: (K,), how many rows each has that are there; None where nobody has counted.
    """

    labels: Labels
    places: Labels
    first: int
    rows: Labels | None = None

    @classmethod
    def of(cls, labels: Labels) -> ClassList:
        """The list at the fit, of labels in rising order."""
        return cls(labels, np.arange(len(labels)), len(labels))

    @property
    def width(self) -> int:
        """Number of columns."""
        return width_of(len(self.labels))

    @property
    def positive(self) -> Labels:
        """(width,) the label that is +1 in each column."""
        return self.labels[-self.width :]

    @property
    def columns(self) -> Labels:
        """(width,) the number of each column among those of the fit."""
        return self.places[-self.width :] if self.first > 2 else np.zeros(1, dtype=np.int64)

    def counted(self, labels: Labels) -> ClassList:
        """The list with the number of rows of each class among rows of these ``labels``, (n,)."""
        return replace(self, rows=self._numbers(labels))

    def without_rows(self, labels: Labels) -> ClassList:
        """The counted list without rows of these ``labels``, (m,), and the classes whose last ones they are.

        It costs O(m). Labels of no class are passed over.
        """
        assert self.rows is not None
        rows = self.rows - self._numbers(labels)
        stay = np.asarray(rows > 0)
        return replace(self, labels=self.labels[stay], places=self.places[stay], rows=rows[stay])

    def _numbers(self, labels: Labels) -> Labels:
        """How many of these labels are those of each class, (K,)."""
        places = np.minimum(np.searchsorted(self.labels, labels), len(self.labels) - 1)
        return np.bincount(places[self.labels[places] == labels], minlength=len(self.labels))


def width_of(classes: int) -> int:
    """Weight vectors for this many classes."""
    return classes if classes > 2 else 1
