"""One guarantee for the whole pipeline: what came before the linear model, and the linear model."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf

from expunge.certificate.outward import sum_up
from expunge.core.checks import require_count
from expunge.core.errors import BrokenInvariant


@dataclass(frozen=True)
class Upstream:
    """What the features have cost the training rows before the linear model saw them.

    epsilon and delta: how far one training row can change the features of all others, as differential privacy
    measures it; 0 where a row's features depend on that row alone. They mean nothing where ``not_covered``
    says why nothing is known about it.
    """

    epsilon: float = 0.0
    delta: float = 0.0
    not_covered: str | None = None


@dataclass(frozen=True)
class Claim:
    """What a method says of its releases, in words.

    Attributes:
        guarantee: What it guarantees; None for a method without a certificate.
        not_covered: What that, or the form of the model, does not cover; None for nothing to be said.
        holds: Whether its epsilon and delta are a guarantee that others may be added to.
    """

    guarantee: str | None = None
    not_covered: str | None = None
    holds: bool = True


_SILENT = Claim()


@dataclass(frozen=True)
class Total:
    """The guarantee of features and linear model together, for each removed row taken alone.

    Without one epsilon and delta are None, and ``not_covered`` has the reason; it also has what a guarantee
    that there is does not cover.
    """

    epsilon: float | None
    delta: float | None
    not_covered: str | None = None


def total(upstream: Upstream, epsilon: float | None, delta: float | None, claim: Claim = _SILENT) -> Total:
    """``(eps_DP + eps_CR, delta_DP + delta_CR)``: basic composition (Guo et al., ICML 2020, section 3.4).

    An extractor that is (eps_DP, delta_DP)-differentially private needs no update when a row is removed. DP
    is a promise about one row: the sum is the guarantee of each removed row taken alone. For m rows that
    leave together (all the rows of one person, say) the extractor's part is that of ``group``. Where the
    linear model has no certificate ``epsilon`` and ``delta`` are None, and ``claim`` may say that they are no
    guarantee.

    Raises:
        BrokenInvariant: A part is no finite number >= 0.
    """
    without = None if epsilon is not None and delta is not None else "the unlearner gives no certificate"
    said = "; ".join(filter(None, (upstream.not_covered, without, claim.not_covered))) or None
    if upstream.not_covered is not None:
        return Total(None, None, said)
    parts = {"extractor_epsilon": upstream.epsilon, "extractor_delta": upstream.delta}
    for name, value in {**parts, "epsilon": epsilon, "delta": delta}.items():
        if value is not None and not 0 <= value < inf:
            raise BrokenInvariant(name, value, "a finite number >= 0 where something is guaranteed")
    if epsilon is None or delta is None or not claim.holds:
        return Total(None, None, said)
    return Total(sum_up(upstream.epsilon, epsilon), min(1.0, sum_up(upstream.delta, delta)), said)


def group(epsilon: float, delta: float, rows: int) -> tuple[float, float]:
    """``(m eps, delta (e^{m eps} - 1) / (e^eps - 1))``: (epsilon, delta)-DP for m rows together.

    Source: m applications of the definition; Dwork and Roth 2014, Theorem 2.2, with the deltas summed.

    Raises:
        InvalidValue: ``rows`` is no whole number >= 1.
    """
    m = require_count("rows", rows)
    if not delta:
        return m * epsilon, 0.0
    if m * epsilon > 700:  # e^700 is near the end of float64, and any delta grown that far is 1
        return m * epsilon, 1.0
    return m * epsilon, min(1.0, delta * sum(exp(k * epsilon) for k in range(m)))
