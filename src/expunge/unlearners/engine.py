"""What both schemes of certified removal work on: a linear model whose columns carry a certificate."""

from __future__ import annotations

from typing import Any, cast

from expunge.linear.certified_column import CertifiedColumn
from expunge.predictors.linear import LinearModel
from expunge.unlearners.base import Method


class Engine(Method):
    """The settings of ``expunge.unlearners.newton.Newton``, which says what they are, and what changes.

    Attributes:
        guarantee: What the noise buys, from ``fit`` on: a ``Guarantee`` or a ``ReleaseGuarantee``.
        released: Models that have left, where the noise is that of releases.
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

    @property
    def columns(self) -> list[CertifiedColumn]:
        """The model's columns, each with its share of the certificate."""
        return cast("list[CertifiedColumn]", self.predictor.columns)

    @property
    def needs_gram(self) -> bool:
        """Whether the certificate asks for ||X||_2."""
        return self.certificate in ("data_dependent", "third_order")
