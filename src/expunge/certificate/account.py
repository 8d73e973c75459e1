"""The running bound on a released model's gradient residual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot

import numpy as np

from expunge.certificate.bounds import CERTIFICATES, INCREMENTS, StepFacts
from expunge.certificate.guarantee import Guarantee
from expunge.certificate.outward import norm_up, sum_up
from expunge.certificate.release import ReleaseGuarantee
from expunge.core.checks import require_choice


@dataclass(frozen=True)
class Account:
    """beta, the guaranteed bound on ||grad L_b(w; D)||_2 of the model that is out, against its budget.

    Immutable: a step is proposed as a new account and kept only if it fits, so that a refused request
    changes nothing.

    Attributes:
        guarantee: What the perturbation buys; None of a column of a release, which has a share in no budget.
        certificate: One of ``worst_case``, ``data_dependent``, ``third_order`` (increments that add up) or
            ``measured`` (the residual itself).
        beta: The bound now; starts at the optimiser's own leftover.
        epoch: How often b has been redrawn.
        solve_error: The part of beta that inexact solves were charged for.
    """

    guarantee: Guarantee | None
    certificate: str
    beta: float
    epoch: int = 0
    solve_error: float = 0.0

    def __post_init__(self) -> None:
        require_choice("certificate", self.certificate, CERTIFICATES)

    @property
    def budget(self) -> float:
        """Largest beta that the perturbation hides: std epsilon / c."""
        assert self.guarantee is not None
        return self.guarantee.budget

    @property
    def within_budget(self) -> bool:
        """Whether the model may be released (NaN may not)."""
        return self.beta <= self.budget

    @property
    def epsilon_spent(self) -> float:
        """Epsilon that beta has spent: c beta / std."""
        assert self.guarantee is not None
        return self.guarantee.spent(self.beta)

    @property
    def needs_facts(self) -> bool:
        """Whether a step must come with ``StepFacts`` (all but ``measured``)."""
        return self.certificate != "measured"

    def after(self, facts: StepFacts) -> Account:
        """Charge one step.

        A step that leaves the residual alone adds to it (triangle inequality); one that aims at the residual
        replaces it, for what it aimed at was the measured gradient, exact up to rounding.
        """
        carried = 0.0 if facts.aims_at_residual else self.beta
        beta = sum_up(carried, INCREMENTS[self.certificate](facts), facts.tau, facts.rounding)
        return replace(self, beta=beta, solve_error=self.solve_error + facts.tau)

    def anchored(self, beta: float) -> Account:
        """Replace the accumulated sum by a measured bound (never by something larger, if it adds up)."""
        return replace(self, beta=beta if self.certificate == "measured" else min(self.beta, beta))


@dataclass(frozen=True)
class ReleaseAccount:
    """The model that releases are drawn around, against what their noise covers. A secret but for the counts.

    Attributes:
        guarantee: What the noise buys.
        beta: Bound on ||grad L(w~; D)||_2 of all columns together.
        budget: Largest beta that the noise covers at the rows that stay.
        sensitivity: Bound on ||w~ - w*||_2, at most ``guarantee.sensitivity``.
        released: Models that have left so far.
    """

    guarantee: ReleaseGuarantee
    beta: float
    budget: float
    sensitivity: float
    released: int

    @property
    def within_budget(self) -> bool:
        """Whether the noise covers the model (NaN it does not)."""
        return self.sensitivity <= self.guarantee.sensitivity

    @property
    def epsilon_spent(self) -> float:
        """Epsilon at delta of all releases so far, by their count alone."""
        return self.guarantee.spent(self.released)


def together(betas: Sequence[float]) -> float:
    """``sqrt(sum_k beta_k^2)``, rounded up."""
    return norm_up(np.array(betas, dtype=np.float64))


def joint(accounts: Sequence[Account]) -> Account:
    """Return the account of K columns together: ``beta = sqrt(sum_k beta_k^2)`` against one budget.

    The (d, K) perturbation hides a (d, K) residual of that Frobenius norm as it would a vector.
    """
    if len(accounts) == 1:
        return accounts[0]
    betas, errors = zip(*((account.beta, account.solve_error) for account in accounts), strict=True)
    return replace(accounts[0], beta=together(betas), solve_error=hypot(*errors))
