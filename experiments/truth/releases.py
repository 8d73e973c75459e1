"""What noise at release says of itself, against rational numbers, 60 digits and the model inside."""

from __future__ import annotations

from fractions import Fraction
from math import sqrt
from typing import Any

import numpy as np
from mpmath import mp, mpf
from numpy.typing import NDArray

from expunge import CertifiedLogisticRegression
from expunge.certificate.release import ReleaseGuarantee

Weights = NDArray[np.float64]

_LAST_BITS = Fraction(1, 2**50)  # of a square: each share of a column is rounded down, their norm up
_AS_ALIKE = 1e-7  # standard deviations that no two draws are apart in all numbers
_FARTHEST, _NEAREST = 40, 1e-4  # standard deviations of the noise that is farthest, of four numbers or more


def inside(model: CertifiedLogisticRegression) -> Weights:
    """The internal model w~, (d, K)."""
    return np.stack([column.w for column in model._engine_.columns], axis=1)


class Releases:
    """Counts the releases of a model, and holds each against what had been planned before the first."""

    def __init__(self, model: CertifiedLogisticRegression) -> None:
        self.plan: ReleaseGuarantee = model._engine_.guarantee
        self.count, self.spent, self.last = 1, 0.0, np.array(model.coef_)
        self.noise = self.last - inside(model).T

    def look(self, model: CertifiedLogisticRegression, drawn: int) -> list[str]:
        """Return what does not hold of the model that is out, ``drawn`` releases after the last look."""
        self.count += drawn
        wrong = [*self._of_noise(model, drawn > 0), *self._of_certificate(model)]
        self.last = np.array(model.coef_)
        self.noise = self.last - inside(model).T
        return wrong

    def _of_certificate(self, model: CertifiedLogisticRegression) -> list[str]:
        account, plan, wrong = model.certificate_, self.plan, []
        problems = [column.problem for column in model._engine_.columns]
        square = sum((Fraction(plan.sensitivity) * Fraction(p.lam) * p.n) ** 2 for p in problems) / len(
            problems
        )
        if account.guarantee != plan:
            wrong.append(f"the guarantee changed from {plan} to {account.guarantee}")
        if not square * (1 - _LAST_BITS) <= Fraction(account.budget) ** 2 <= square * (1 + _LAST_BITS):
            wrong.append(f"budget {account.budget!r} is not {sqrt(square)!r}")
        if not account.beta <= account.budget:
            wrong.append(f"bound {account.beta!r} above the budget {account.budget!r}")
        if account.sensitivity > plan.sensitivity:
            wrong.append(f"sensitivity {account.sensitivity!r} above the planned {plan.sensitivity!r}")
        if account.released != self.count:
            wrong.append(f"{account.released} releases counted, {self.count} made")
        spent = account.epsilon_spent
        if not self.spent <= spent <= plan.epsilon:
            wrong.append(f"epsilon {spent!r} after {self.spent!r}, of {plan.epsilon!r}")
        if delta_needed(plan, self.count, spent) > plan.delta:
            wrong.append(f"epsilon {spent!r} of {self.count} releases needs more than delta {plan.delta!r}")
        self.spent = spent
        return wrong

    def _of_noise(self, model: CertifiedLogisticRegression, drawn: bool) -> list[str]:
        w, inner, wrong = np.array(model.coef_), inside(model).T, []
        noise, before = w - inner, self.noise
        same = noise.shape == before.shape and bool((abs(noise - before) <= _AS_ALIKE * self.plan.std).all())
        if drawn and same:
            wrong.append("a release has the noise of the one before it")
        if not drawn and not np.array_equal(w, self.last):
            wrong.append("what is out has changed without a release")
        farthest = np.abs(w - inner).max()
        nearest = _NEAREST * self.plan.std if w.size > 3 else 0.0
        if not nearest <= farthest <= _FARTHEST * self.plan.std:
            wrong.append(f"W is {farthest:.3g} from the model, noise is {self.plan.std:.3g}")
        if self.plan.noise == "lattice" and (np.rint(w / self.plan.grid) * self.plan.grid != w).any():
            wrong.append("W is not on its lattice")
        return wrong


def delta_needed(plan: ReleaseGuarantee, count: int, epsilon: float) -> Any:
    """The delta at ``epsilon`` of that many releases as planned, from the equations, in 60 digits."""
    with mp.workdps(60):
        moved = mpf(plan.grid) * mp.sqrt(plan.dim)  # to the lattice and apart
        ratio, eps = (mpf(plan.sensitivity) + moved) / mpf(plan.std), mpf(epsilon)
        if plan.noise == "float":
            mu = ratio * mp.sqrt(count)
            return mp.ncdf(mu / 2 - eps / mu) - mp.exp(eps) * mp.ncdf(-mu / 2 - eps / mu)
        rho, low, high = count * ratio**2 / 2, mpf(-200), mpf(200)
        for _ in range(60):  # of log(alpha - 1): the logarithm of what is minimised is convex in alpha
            x = (low + high) / 2
            alpha = 1 + mp.exp(x)
            rises = rho * (2 * alpha - 1) - eps + mp.log((alpha - 1) / alpha) > 0
            low, high = (low, x) if rises else (x, high)
        return mp.exp((alpha - 1) * (alpha * rho - eps)) / (alpha - 1) * (1 - 1 / alpha) ** alpha
