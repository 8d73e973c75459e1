"""Two worlds for a certified method: rows are removed by it, and a model is trained exactly without them."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.audit.judging import Scores
from expunge.certificate.composition import Claim
from expunge.core.errors import BrokenInvariant, InvalidValue
from expunge.linear.operations import RowOperations

Array = NDArray[np.float64]
SEEDS = 2**63 - 1
LEAST = 80  # pairs, however little time there is
_TRIED = 4


@dataclass(frozen=True)
class Data:
    """Rows and labels, and which rows leave at each request, chosen by the auditor."""

    name: str
    x: Any
    y: NDArray[np.int64]
    gone: tuple[tuple[int, ...], ...]

    @property
    def rows(self) -> tuple[int, ...]:
        """All that leave."""
        return tuple(row for request in self.gone for row in request)


@dataclass(frozen=True)
class Effort:
    """How much is drawn: pairs from end to end, pairs of noise alone, and the time to stop at.

    ``minutes`` are those that were given, where it is an error that they are far too few.
    """

    pairs: int
    bulk: int
    until: float = float("inf")
    minutes: float | None = None

    def draws(self) -> Iterator[int]:
        """Count the pairs, until there are enough of them or time is over; a few are made in any case.

        Raises:
            InvalidValue: Those few would take far longer than the ``minutes`` that were given.
        """
        begun = time.monotonic()
        for draw in range(self.pairs):
            now = time.monotonic()
            if draw == 1:
                begun = now  # the first has compiled what was not
            if self.minutes is not None and draw == _TRIED:
                least = LEAST * (now - begun) / (_TRIED - 1)
                if least > self.until - now:
                    allowed = f"{1.2 * least / 60 + 0.1:.2g} or more: a pair takes long on these data"
                    raise InvalidValue("--minutes", self.minutes, allowed)
            if draw >= LEAST and now > self.until:
                return
            yield draw


class World(ABC):
    """A method at work on ``data``, and what exact retraining would show in its place.

    Attributes:
        outcomes: How the requests of the drawn pairs ended.
        drawn: Pairs from end to end: the rows were removed by the program itself, the other model was trained
            on the rest.
        bulk: Pairs of noise alone, drawn by the program's own function.
        excused: Attacks that the method's own words say that it does not withstand.
        not_tried: What there is no attack for here, in words.
    """

    excused: tuple[str, ...] = ()
    releases = 1

    def __init__(self, method: Any, data: Data, rng: np.random.Generator) -> None:
        self.method, self.data, self.rng = method, data, rng
        self.outcomes: Counter[str] = Counter()
        self.drawn = self.bulk = 0
        self.not_tried: list[str] = []

    @property
    def claimed(self) -> tuple[float, float]:
        """Epsilon and delta."""
        return float(self.method.epsilon), float(self.method.delta)

    @property
    def claim(self) -> Claim:
        """What the method says of itself."""
        said: Claim = self.method.claim() if hasattr(self.method, "claim") else Claim()
        return said

    @abstractmethod
    def scores(self, effort: Effort) -> Scores:
        """Draw pairs; return the score of every draw, for every attack."""

    def _seed(self) -> int:
        return int(self.rng.integers(SEEDS))

    def _remove(self, method: Any, request: Sequence[int]) -> str:
        outcome = str(method.remove(list(request)).outcome)
        self.outcomes[outcome] += 1
        return outcome


class Unknown(World):
    """Any certified method, by what every unlearner has: ``fit``, ``remove`` and ``model``.

    What is seen is the model after all requests; exact retraining is its own ``fit`` on the rest.
    """

    def __init__(self, method: Any, data: Data, rng: np.random.Generator) -> None:
        super().__init__(method, data, rng)
        for name in ("epsilon", "delta"):
            if not isinstance(getattr(method, name, None), (int, float)):
                raise InvalidValue(name, getattr(method, name, None), "a number, to be held against")
        self.not_tried.append(
            "what its decisions and its noise are made of: a method of a kind not known here"
        )

    def scores(self, effort: Effort) -> Scores:
        """A test that is learned, and the size of the model."""
        from expunge.audit.scores import fitted
        from expunge.studies.leak_replay import without

        x, y, rows = self.data.x, self.data.y, self.data.rows
        stay = np.delete(np.arange(len(y)), rows)
        rest = without(x, y, rows) if isinstance(x, RowOperations) else (x[stay], y[stay])
        removed, retrained = [], []
        for _ in effort.draws():
            self.method.fit(x, y, self._seed())
            ended = [self._remove(self.method, request) for request in self.data.gone]
            if "refused" not in ended:
                removed.append(_flat(self.method.model()))
            self.method.fit(*rest, self._seed())
            retrained.append(_flat(self.method.model()))
            self.drawn += 1
        if not removed:
            return {}
        if removed[0].shape != retrained[0].shape:
            got = f"{removed[0].size} numbers after removal, {retrained[0].size} after retraining"
            raise BrokenInvariant("the model", got, "as many in both")
        sides = np.stack(removed), np.stack(retrained)
        sizes = [np.linalg.norm(side, axis=1) for side in sides]
        return {"learned test": fitted(*sides), "size of the model": (sizes[0], sizes[1])}


def _flat(model: Mapping[str, Any]) -> Array:
    return np.concatenate([np.asarray(model[key], dtype=np.float64).ravel() for key in sorted(model)])


def require_rows(data: Data) -> RowOperations:
    """The rows of the linear model."""
    assert isinstance(data.x, RowOperations)
    return data.x
