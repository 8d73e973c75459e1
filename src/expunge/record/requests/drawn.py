"""Rows, or people, drawn at random."""

from __future__ import annotations

import numpy as np

from expunge.core import seeds
from expunge.core.checks import require_count, require_seed
from expunge.core.errors import InvalidValue
from expunge.datasets import Dataset
from expunge.record.requests.request import Request, batches_of, numbered, require_left


class RandomRows:
    """Rows drawn at random without replacement; the first requests are the same for any ``count``.

    Args:
        count: Number of requests; 0 for the model of the training alone.
        batch_size: Rows in each.
        seed: None for the run's own.

    Raises:
        InvalidValue: A setting is not allowed.
    """

    def __init__(self, count: int = 100, batch_size: int = 1, seed: int | None = None) -> None:
        self.count = require_count("count", count, least=0)
        self.batch_size = require_count("batch_size", batch_size)
        self.seed = None if seed is None else require_seed("seed", seed)

    def stream(self, dataset: Dataset, seed: int) -> list[Request]:
        """Return the requests.

        Raises:
            InvalidValue: They would leave no training row.
        """
        n = len(dataset.y_train)
        most = (n - 1) // self.batch_size
        if self.count > most:
            if most == 0:
                raise InvalidValue("batch_size", self.batch_size, f"at most {n - 1}, so that a row is left")
            each = "one row" if self.batch_size == 1 else f"{self.batch_size} rows"
            allowed = f"at most {most} of {each} each, so that one of the {n} training rows is left"
            raise InvalidValue("count", self.count, allowed)
        drawn = seeds.stream(seed if self.seed is None else self.seed, "requests").permutation(n)
        return numbered(batches_of(drawn[: self.count * self.batch_size].tolist(), self.batch_size))


class RandomSample:
    """Rows drawn at random that leave together: those that ``RandomRows`` would ask for first.

    Args:
        count: Number of rows.
        batch_size: Rows in each request; None: all in one.
        seed: None for the run's own.

    Raises:
        InvalidValue: A setting is not allowed.
    """

    def __init__(self, count: int = 100, batch_size: int | None = None, seed: int | None = None) -> None:
        self.count = require_count("count", count)
        self.batch_size = None if batch_size is None else require_count("batch_size", batch_size)
        self.seed = None if seed is None else require_seed("seed", seed)

    def stream(self, dataset: Dataset, seed: int) -> list[Request]:
        """Return the requests.

        Raises:
            InvalidValue: They would leave no training row.
        """
        require_left(self.count, n := len(dataset.y_train))
        drawn = seeds.stream(seed if self.seed is None else self.seed, "requests").permutation(n)
        return numbered(batches_of(drawn[: self.count].tolist(), self.batch_size or self.count))


class RandomPeople:
    """All training images of people drawn at random: the same ones, in the same order, for any ``together``.

    Args:
        people: Number of people.
        together: People in each request; the last one may have fewer.
        seed: None for the run's own.

    Raises:
        InvalidValue: A setting is not allowed.
    """

    def __init__(self, people: int = 10, together: int = 1, seed: int | None = None) -> None:
        self.people = require_count("people", people)
        self.together = require_count("together", together)
        self.seed = None if seed is None else require_seed("seed", seed)

    def stream(self, dataset: Dataset, seed: int) -> list[Request]:
        """Return the requests.

        Raises:
            InvalidValue: They would leave fewer than two people: there is no model for one.
        """
        labels = np.unique(dataset.y_train)
        if self.people > (most := len(labels) - 2):
            allowed = f"at most {most}, so that two of {len(labels)} people are left"
            raise InvalidValue("people", self.people, allowed)
        drawn = seeds.stream(seed if self.seed is None else self.seed, "requests").permutation(labels)
        groups = batches_of(drawn[: self.people].tolist(), self.together)
        return numbered([np.flatnonzero(np.isin(dataset.y_train, group)).tolist() for group in groups])
