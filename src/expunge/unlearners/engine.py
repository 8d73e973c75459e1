"""What both schemes of certified removal work on: a linear model whose columns carry a certificate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from expunge.linear.certified_column import CertifiedColumn
from expunge.predictors.linear import LinearModel
from expunge.unlearners.base import Method, Outcome


class Engine(Method):
    """The settings of ``expunge.unlearners.newton.Newton``, which says what they are, and what changes.

    Attributes:
        guarantee: What the noise buys, from ``fit`` on: a ``Guarantee`` or a ``ReleaseGuarantee``.
        released: Models that have left, where the noise is that of releases.
        passes: Over the rows since the model was trained, where removals do without (``update=rowless``).
    """

    predictor: LinearModel
    epsilon: float
    delta: float
    certificate: str
    update: str
    at_limit: str
    perturbation: str
    anchor: int
    correct_to: float
    std: float | None
    residual: float | None
    releases: int
    noise: str | None
    guarantee: Any
    released = 0
    passes = 0

    @property
    def columns(self) -> list[CertifiedColumn]:
        """The model's columns, each with its share of the certificate."""
        return cast("list[CertifiedColumn]", self.predictor.columns)

    @property
    def needs_gram(self) -> bool:
        """Whether the certificate asks for ||X||_2."""
        return self.certificate in ("data_dependent", "third_order")


class Scheme(ABC):
    """What is the same for whichever noise a method has: it keeps nothing of its own, all is the engine's."""

    def refused(self, engine: Engine, index: NDArray[np.int64], reason: str) -> Outcome:
        """What has become of a request that nobody can serve."""
        return self._outcome(engine, "refused", index, engine.columns, reason)

    @abstractmethod
    def require_served(self, engine: Engine, outcomes: Mapping[str, int]) -> None:
        """Refuse an engine that has counted other releases, or retrains, than came of its requests.

        Raises:
            DataError: It has.
        """

    @abstractmethod
    def require_sound(self, engine: Engine) -> None:
        """Refuse an engine, just loaded, whose numbers do not agree with each other or with its settings.

        Raises:
            DataError: They do not.
        """

    @abstractmethod
    def _outcome(
        self,
        engine: Engine,
        outcome: str,
        index: NDArray[np.int64],
        columns: Sequence[CertifiedColumn],
        reason: str | None = None,
    ) -> Outcome:
        """The outcome with the columns that are to be out after it, checked before they are."""
