"""Rows of a class, a person or a group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core import seeds
from expunge.core.checks import require_count, require_seed, require_share
from expunge.core.errors import InvalidValue
from expunge.datasets import Dataset
from expunge.datasets.names import person
from expunge.record.requests.request import Request, batches_of, numbered


class Part:
    """How many rows of a label go, and in which requests: common to all of these."""

    def __init__(self, batch_size: int | None, share: float, count: int | None, seed: int | None) -> None:
        self.batch_size = None if batch_size is None else require_count("batch_size", batch_size)
        self.share = require_share("share", share)
        self.count = None if count is None else require_count("count", count)
        if self.count is not None and self.share != 1:
            raise InvalidValue("count", count, "null where share is below 1")
        self.seed = None if seed is None else require_seed("seed", seed)

    def requested(self, rows: NDArray[np.int64], whose: str, seed: int, *index: int) -> list[list[int]]:
        """Return the rows of each request, of the ``rows`` of a label, of which there is one at least.

        ``index`` tells the draws of several labels from each other.

        Raises:
            InvalidValue: ``count`` is above their number; the message calls them the rows of ``whose``.
        """
        if self.count is not None and self.count > len(rows):
            raise InvalidValue("count", self.count, f"at most {len(rows)}, the rows of {whose}")
        chosen = self.count or max(1, round(self.share * len(rows)))
        if chosen < len(rows):
            generator = seeds.stream(seed if self.seed is None else self.seed, "requests", *index)
            rows = np.sort(generator.permutation(rows)[:chosen])
        return batches_of(rows.tolist(), self.batch_size or chosen)


class OfClass(Part):
    """Rows of one class, in the data set's order.

    Args:
        batch_size: Rows in each request; None: all in one.
        share: Share of the class's rows, 0 < share <= 1; below 1 they are drawn at random.
        count: Number of rows instead of a share, drawn likewise.
        seed: None for the run's own.
        named: ``class``, the class's name, is the one key (a word that Python keeps for itself).

    Raises:
        InvalidValue: A setting is not allowed.
    """

    def __init__(
        self,
        batch_size: int | None = None,
        share: float = 1.0,
        count: int | None = None,
        seed: int | None = None,
        **named: Any,
    ) -> None:
        self.class_name = named.pop("class", None)
        if named:
            raise InvalidValue(next(iter(named)), next(iter(named.values())), "no such setting")
        if self.class_name is None:
            raise InvalidValue("class", None, "the name of a class of the data set")
        super().__init__(batch_size, share, count, seed)

    def stream(self, dataset: Dataset, seed: int) -> list[Request]:
        """Return the requests.

        Raises:
            InvalidValue: There is no such class, it has too few rows, or no training row would be left.
        """
        rows = np.flatnonzero(dataset.y_train == dataset.label_of(self.class_name))
        if not len(rows):
            raise InvalidValue("class", self.class_name, "a class with training rows")
        batches = self.requested(rows, f"class {self.class_name}", seed)
        if sum(map(len, batches)) == len(dataset.y_train):
            raise InvalidValue("class", self.class_name, "a class that leaves at least one training row")
        return numbered(batches)


class _Named(Part):
    """Rows of somebody or something by name, or of several one after the other; no request mixes two."""

    key: str
    whose: str
    rows_of: str

    def __init__(
        self, given: Any, batch_size: int | None, share: float, count: int | None, seed: int | None
    ) -> None:
        several = isinstance(given, Sequence) and not isinstance(given, str)
        self.names = list(given) if several else [given]
        if not self.names:
            raise InvalidValue(self.key, [], f"the name of {self.whose}, or a list of names")
        super().__init__(batch_size, share, count, seed)

    def _requests(
        self, known: Mapping[int, str], labels: NDArray[np.int64], y_test: NDArray[np.int64], seed: int
    ) -> list[Request]:
        """Return the requests; what is drawn of one does not depend on the others.

        Args:
            known: Label -> name.
            labels: (n_train,) of the training rows.
            y_test: (n_test,) of the test rows; none where they have no such labels.
            seed: That of the run.

        Raises:
            InvalidValue: A name is nobody's or named twice, it has too few training rows, or no training row
                would be left.
        """
        batches: list[list[int]] = []
        seen: dict[int, Any] = {}
        places = {label: place for place, label in enumerate(known)}
        for given in self.names:
            label = person(known, given, self.key)
            if label in seen:
                raise InvalidValue(self.key, given, f"each {self.key} once; {seen[label]!r} is the same")
            seen[label], name = given, known[label]
            rows = np.flatnonzero(labels == label)
            if not len(rows):
                there = np.count_nonzero(y_test == label)
                allowed = f"{self.whose} with training {self.rows_of}; all {there} {self.rows_of} of {name}"
                raise InvalidValue(self.key, given, f"{allowed} are for the test")
            batches += self.requested(rows, f"{self.key} {name}", seed, places[label])
        if sum(map(len, batches)) == len(labels):
            several = {"identity": "identities"}.get(self.key, f"{self.key}s")
            raise InvalidValue(self.key, self.names, f"{several} that leave at least one training row")
        return numbered(batches)


class OfIdentity(_Named):
    """Images of a person, or of several one after the other; no request mixes two of them.

    Args:
        identity: A name, or a list of names; compared as text.
        batch_size: Images in each request; None: all of a person in one.
        share: Share of each person's training images, 0 < share <= 1; below 1 they are drawn at random.
        count: Number of each person's images instead of a share, drawn likewise.
        seed: None for the run's own.

    Raises:
        InvalidValue: A setting is not allowed.
    """

    key, whose, rows_of = "identity", "an identity", "images"

    def __init__(
        self,
        identity: Any,
        batch_size: int | None = None,
        share: float = 1.0,
        count: int | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(identity, batch_size, share, count, seed)

    def stream(self, dataset: Dataset, seed: int) -> list[Request]:
        """Return the requests; what is drawn of a person does not depend on the others.

        Raises:
            InvalidValue: A person does not exist, has too few training rows or is named twice, or no training
                row would be left.
        """
        return self._requests(dataset.class_names, dataset.y_train, dataset.y_test, seed)


class OfGroup(_Named):
    """Rows that have the same value in a table's column of groups, such as all those of a user.

    Args:
        group: A value of that column, or a list of them; compared as text.
        batch_size, share, count, seed: As in ``OfIdentity``.

    Raises:
        InvalidValue: A setting is not allowed.
    """

    key, whose, rows_of = "group", "a group", "rows"

    def __init__(
        self,
        group: Any,
        batch_size: int | None = None,
        share: float = 1.0,
        count: int | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(group, batch_size, share, count, seed)

    def stream(self, dataset: Dataset, seed: int) -> list[Request]:
        """Return the requests; what is drawn of a group does not depend on the others.

        Raises:
            InvalidValue: The data have no groups; or a group has no training rows, too few of them or is
                named twice, or no training row would be left.
        """
        names, labels = dataset.numbered_groups("group")
        return self._requests(names, labels, labels[:0], seed)
