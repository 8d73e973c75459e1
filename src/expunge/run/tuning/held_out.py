"""What a trial trains on, is asked to remove and is judged by: training rows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core import seeds
from expunge.core.errors import DataError, InvalidValue
from expunge.datasets import Dataset
from expunge.record.requests import Request
from expunge.run.job_cache import JobCache
from expunge.run.tuning.plan import GROUP, TRIAL, Plan

_STREAM = 1  # of the seed's "split": the one without a number is that of data sets


@dataclass(frozen=True)
class HeldOut:
    """A trial's data set, with validation rows where the test rows were, its digests, and its requests."""

    dataset: Dataset
    digests: dict[str, str]
    requests: list[Request]


def of_trial(
    settings: Mapping[str, Any], dataset: Dataset, digests: Mapping[str, str], removal: Any, cache: JobCache
) -> HeldOut | None:
    """Return what a trial sees of a data set; None where the settings are no trial's.

    Nothing of it depends on the test rows, so that the digests do not either.

    Raises:
        InvalidValue: There are not enough rows to hold out, or the data set is one for re-identification.
    """
    group = settings.get(GROUP)
    if not isinstance(group, Mapping) or TRIAL not in group:
        return None
    plan, seed = Plan.of(group), settings["seed"]
    if dataset.retrieval is not None:
        raise InvalidValue(GROUP, "equal", "none for a re-identification data set, which is tested by people")
    training = {name: digest for name, digest in digests.items() if not name.startswith("test ")}
    made_from = {"training": training, "removal": settings["removal"], "seed": seed, GROUP: dict(group)}
    made_from[GROUP].pop(TRIAL)

    def make() -> HeldOut:
        try:
            asked = removal.stream(dataset, seed)
        except (InvalidValue, DataError) as error:
            raise error.within("removal") from None
        held = validation_rows(dataset.y_train, [one.rows for one in asked], plan.validation, plan.seed)
        split = without(dataset, held)
        return HeldOut(split, split.digests(), renumbered(asked, held, len(dataset.y_train)))

    found: HeldOut = cache.get("held out", made_from, make, reads=False)
    return found


def validation_rows(
    y: NDArray[np.int64], asked: Sequence[Sequence[int]], share: float, seed: int
) -> NDArray[np.int64]:
    """Return the training rows that are held out, in order, ``round(share n)`` of them.

    They are drawn without replacement, by the seed's own stream, from the rows that nobody asks to remove and
    those of classes that are asked for whole, of which a test has rows too: these are then no part of the
    request.

    Args:
        y: (n,) labels of all training rows.
        asked: The rows of each request.
        share: Between 0 and 1.
        seed: Of the tuning.

    Raises:
        InvalidValue: ``tuning.validation``: none, or more than may be held out.
    """
    stays = np.ones(len(y), dtype=bool)
    stays[[row for rows in asked for row in rows]] = False
    allowed = np.flatnonzero(stays | ~np.isin(y, y[stays]))
    count = round(share * len(y))
    if not 1 <= count < len(allowed):
        bounds = f"a share that is at least 1 and fewer than {len(allowed)} of the {len(y)} training rows"
        raise InvalidValue(f"{GROUP}.validation", share, bounds)
    return np.sort(seeds.stream(seed, "split", _STREAM).choice(allowed, count, replace=False))


def without(dataset: Dataset, held: NDArray[np.int64]) -> Dataset:
    """Return a data set of the other training rows, in their order, with those held out to test on."""
    rest = np.delete(np.arange(len(dataset.y_train)), held)
    names = ("x_train", "y_train", "ids", "groups", "weights")
    of_rest: dict[str, Any] = {name: getattr(dataset, name) for name in names}
    of_rest = {name: None if of is None else of[rest] for name, of in of_rest.items()}
    return replace(dataset, x_test=dataset.x_train[held], y_test=dataset.y_train[held], **of_rest)


def renumbered(asked: Sequence[Request], held: NDArray[np.int64], n: int) -> list[Request]:
    """Return the requests for the rows that are left of ``n``, by their new numbers; those of none go."""
    place = np.full(n, -1)
    place[np.delete(np.arange(n), held)] = np.arange(n - len(held))
    rows = [tuple(int(place[row]) for row in one.rows if place[row] >= 0) for one in asked]
    return [Request(number, one) for number, one in enumerate(filter(None, rows), start=1)]
