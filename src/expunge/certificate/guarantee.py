"""From (epsilon, delta, std) to the residual norm a released model may have.

Guo et al., Certified Data Removal (ICML 2020), Theorems 3 and 4: a loss perturbed by ``b.w`` hides every
gradient residual of norm at most ``budget``.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from functools import lru_cache
from math import exp, inf, isfinite, log, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import erfcx, ndtr

from expunge.certificate.outward import down, up
from expunge.core.checks import require_choice, require_count, require_positive, require_probability
from expunge.core.errors import InvalidValue
from expunge.core.seeds import Noise

PERTURBATIONS = ("gaussian", "pure_eps")

_DIGITS = 60


@dataclass(frozen=True)
class Guarantee:
    """An (epsilon, delta) removal guarantee bought with a perturbation of standard deviation ``std``.

    ``gaussian``: b ~ N(0, std^2 I), c = sqrt(2 ln(1.5 / delta)).
    ``pure_eps``: density of b proportional to exp(-(epsilon / budget) ||b||), so its direction is uniform and
    ||b|| ~ Gamma(d, budget / epsilon); each coordinate has standard deviation std where c = sqrt(d + 1),
    since E||b||^2 = d (d + 1) (budget / epsilon)^2. Needs delta = 0.

    In both: ``budget = std epsilon / c`` and a residual beta has spent ``c beta / std`` of epsilon.

    Args:
        epsilon: > 0. With ``gaussian`` the closed form for c stops being a guarantee at large epsilon (about
            8 at delta 1e-4, by the exact privacy profile of the Gaussian mechanism); beyond it is refused.
        delta: In (0, 1) for ``gaussian``; 0 for ``pure_eps``.
        std: Standard deviation of one coordinate of b; b perturbs the **summed** loss.
        dim: Length of b.
        perturbation: ``gaussian`` or ``pure_eps``.

    Raises:
        InvalidValue: An argument is outside its range.
    """

    epsilon: float
    delta: float
    std: float
    dim: int
    perturbation: str = "gaussian"

    def __post_init__(self) -> None:
        require_choice("perturbation", self.perturbation, PERTURBATIONS)
        require_positive("epsilon", self.epsilon)
        require_positive("std", self.std)
        require_count("dim", self.dim)
        if self.perturbation == "pure_eps":
            if self.delta != 0:
                raise InvalidValue("delta", self.delta, "0 with perturbation=pure_eps")
        else:
            require_probability("delta", self.delta)
        near = self.std * self.epsilon / self.c
        for name, size in (("epsilon", self.epsilon / self.c), ("std", near), ("std", self.budget)):
            if not 0 < size < inf:
                allowed = f"one with a budget std epsilon / c that float64 has (c is {self.c:.4g} here)"
                raise InvalidValue(name, getattr(self, name), allowed)
        if self.perturbation == "pure_eps":
            return
        if gaussian_profile(self.epsilon, self.epsilon / self.c) > self.delta:
            most = largest_epsilon(self.delta)
            allowed = f"at most {most:.4g} at delta={self.delta:g} (no guarantee beyond it)"
            raise InvalidValue("epsilon", self.epsilon, allowed)

    @property
    def c(self) -> float:
        """The constant between std and the budget (see the class)."""
        return sqrt(self.dim + 1) if self.perturbation == "pure_eps" else sqrt(2 * log(1.5 / self.delta))

    @property
    def budget(self) -> float:
        """Largest residual norm ||grad L_b||_2 that the perturbation hides, rounded down."""
        return down(Fraction(self.std) * Fraction(self.epsilon) / self._exact_c)

    def spent(self, beta: float) -> float:
        """Epsilon spent by a residual of norm at most ``beta``, rounded up."""
        return up(self._exact_c * Fraction(beta) / Fraction(self.std)) if isfinite(beta) else inf

    @property
    def _exact_c(self) -> Fraction:
        """c, above the true one by less than 1e-55 of it."""
        return _constant(self.dim if self.perturbation == "pure_eps" else None, self.delta)

    def draw(self, rng: Noise) -> NDArray[np.float64]:
        """Draw b, (dim,) float64."""
        direction = rng.normal(size=self.dim)
        if self.perturbation == "gaussian":
            return self.std * direction
        length = rng.gamma(self.dim, self.std / self.c)
        return direction * (length / np.linalg.norm(direction))


@lru_cache(maxsize=16)
def _constant(dim: int | None, delta: float) -> Fraction:
    """``sqrt(dim + 1)``, or without ``dim`` ``sqrt(2 ln(1.5 / delta))``, rounded up at 60 digits."""
    digits = Context(prec=_DIGITS)
    if dim:
        square = Decimal(dim + 1)
    else:
        square = digits.multiply(Decimal(2), digits.ln(digits.divide(Decimal("1.5"), Decimal(delta))))
    return Fraction(square.sqrt(digits)) * (1 + Fraction(10) ** (5 - _DIGITS))


def gaussian_profile(epsilon: float, shift: float) -> float:
    """Smallest delta for which N(0, 1) and N(shift, 1) are (epsilon, delta)-indistinguishable.

    ``Phi(shift/2 - epsilon/shift) - e^epsilon Phi(-shift/2 - epsilon/shift)``
    (Balle and Wang, ICML 2018, Theorem 8).
    """
    return exp(log_gaussian_profile(epsilon, shift))


def log_gaussian_profile(epsilon: float, shift: float) -> float:
    """Natural logarithm of ``gaussian_profile``; -infinity where float64 tells its two terms not apart.

    With a = shift/2 - epsilon/shift and b = -shift/2 - epsilon/shift, e^epsilon exp(-b^2/2) = exp(-a^2/2), so
    that delta = exp(-a^2/2) (erfcx(-a / sqrt 2) - erfcx(-b / sqrt 2)) / 2, whose terms are of moderate size
    however small delta is.
    """
    a, b = shift / 2 - epsilon / shift, -shift / 2 - epsilon / shift
    if a > 0:
        delta = ndtr(a) - exp(-a * a / 2) * erfcx(-b / sqrt(2)) / 2
        return log(delta) if delta > 0 else -inf
    difference = (erfcx(-a / sqrt(2)) - erfcx(-b / sqrt(2))) / 2
    return log(difference) - a * a / 2 if difference > 0 else -inf


def largest_epsilon(delta: float) -> float:
    """Largest epsilon at which c = sqrt(2 ln(1.5 / delta)) is enough noise for (epsilon, delta)."""
    c = sqrt(2 * log(1.5 / delta))

    def excess(epsilon: float) -> float:
        return gaussian_profile(epsilon, epsilon / c) - delta

    high = 1.0
    while excess(high) <= 0:
        high *= 2
    return float(brentq(excess, 1e-3, high))
