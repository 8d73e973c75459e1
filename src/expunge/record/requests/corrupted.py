"""Rows that were changed on purpose before training: the request that takes them out."""

from __future__ import annotations

from expunge.core.errors import InvalidValue
from expunge.datasets import Dataset
from expunge.datasets.corruption import MISLABEL, POISON
from expunge.record.requests.labelled import Part
from expunge.record.requests.request import Request, numbered


class _Corrupted(Part):
    """Training rows that a setting of the data set has changed, in the data set's order.

    Args:
        batch_size: Rows in each request; None: all in one.
        share: Share of these rows that are asked for, 0 < share <= 1; below 1 they are drawn at random, and
            the others stay: what an owner does who has found but some of them.
        count: Number of rows instead of a share, drawn likewise.
        seed: None for the run's own.

    Raises:
        InvalidValue: A setting is not allowed.
    """

    kind: str
    name: str

    def __init__(
        self,
        batch_size: int | None = None,
        share: float = 1.0,
        count: int | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(batch_size, share, count, seed)

    def stream(self, dataset: Dataset, seed: int) -> list[Request]:
        """Return the requests.

        Raises:
            InvalidValue: The data set has no such rows, too few of them, or no others.
        """
        rows = None if dataset.corruption is None else dataset.corruption.rows(self.kind)
        if rows is None or not len(rows):
            allowed = f"images with dataset.{self.kind}, which says how many rows are {self.name}"
            raise InvalidValue(self.name, f"dataset={dataset.name} without it", allowed)
        batches = self.requested(rows, f"dataset.{self.kind}", seed)
        if sum(map(len, batches)) == len(dataset.y_train):
            allowed = "fewer than all training rows, so that one is left"
            raise InvalidValue(self.name, f"all {len(rows)} rows", allowed)
        return numbered(batches)


class Poisoned(_Corrupted):
    """Rows that ``dataset.poison`` has given a trigger and its target's label."""

    kind, name = POISON, "poisoned"


class Mislabelled(_Corrupted):
    """Rows that ``dataset.mislabel`` has given a wrong label."""

    kind, name = MISLABEL, "mislabelled"
