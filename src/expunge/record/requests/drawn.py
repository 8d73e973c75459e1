"""Rows drawn at random."""

from __future__ import annotations

from expunge.core import seeds
from expunge.core.checks import require_count, require_seed
from expunge.core.errors import InvalidValue
from expunge.datasets import Dataset
from expunge.record.requests.request import Request, batches_of, numbered


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
