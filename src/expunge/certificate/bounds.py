"""How far one removal step can leave the gradient from zero.

Notation: loss ``L_b(w; D) = sum_i log(1 + exp(-y_i x_i.w)) + (lam n / 2) ||w||^2 + b.w`` with ||x_i|| <= 1.
A step from w to w' = w + step over the rows that stay has

    grad L_b(w'; D') = (H step - rhs) + remainder,        H = H(w; D'), rhs = what the step was solved for

(up to the residual that the step did not try to remove). ``tau = ||H step - rhs||`` is charged apart; the
functions here bound ||remainder||. Sources: Guo et al. 2020, Theorem 1 (``worst_case``) and Corollary 1
(``data_dependent``); ``third_order`` is the integral form of Taylor's remainder with the exact maximum of
the logistic loss's third derivative. Where a row counts c_i in (0, 1], its part of the remainder and of the
removed gradient is c_i times as long: every bound stays one. The first two are more than five times the
third, so that no last bit of theirs decides; nor does one of the third, which comes that near to the
remainder only for steps so short that both are far below ``rounding``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, inf, sqrt

CURVATURE_LIPSCHITZ = 0.25  # the papers' bound on how fast l'' changes
_LONGEST_ROW = 1 + 2.0**-30  # a row divided by its norm in float64, of up to 2^24 features
_FARTHEST = 700.0  # e^709 is the end of float64
THIRD_DERIVATIVE = 1 / (6 * sqrt(3))  # max |l'''| of the logistic loss, 0.09623


@dataclass(frozen=True)
class StepFacts:
    """What is known of one step; all norms are 2-norms, all numbers float64.

    Attributes:
        removed: m, rows removed by this step (0 for a step that only corrects).
        retained: n - m, rows that stay.
        lam: Regularisation per example.
        residual: Upper bound on ||grad L_b(w; D)|| before the step.
        aims_at_residual: Whether rhs is ``g - r`` (the residual is removed too) or ``g``.
        perturbation_norm: ||b||.
        spectral: Upper bound on ||X||_2 of the rows that stay.
        step_norm: ||step||.
        scores_norm: ||X step||.
        scores_squared_norm: ||(X step)^2||, the square elementwise.
        tau: ||H step - rhs||, the solve's inexactness.
        rounding: Bound on what floating point adds.
    """

    removed: int
    retained: int
    lam: float
    residual: float
    aims_at_residual: bool
    perturbation_norm: float
    spectral: float
    step_norm: float
    scores_norm: float
    scores_squared_norm: float
    tau: float
    rounding: float


def worst_case(facts: StepFacts) -> float:
    """``G (m (2 C + (||b|| + ||r||) / n) + tau)^2 / (lam^2 (n - m))``, G = 1/4, C = 1; O(1), no data.

    ``lam n ||w|| <= n C + ||b|| + ||r||`` bounds the removed gradient, strong convexity the step. Where the
    step also aims at the residual, ||r|| is added to the removed gradient.
    """
    n = facts.removed + facts.retained
    rhs = facts.removed * (2 + (facts.perturbation_norm + facts.residual) / n)
    rhs += facts.residual if facts.aims_at_residual else 0.0
    return CURVATURE_LIPSCHITZ * (rhs + facts.tau) ** 2 / (facts.lam**2 * facts.retained)


def data_dependent(facts: StepFacts) -> float:
    """``G ||X||_2 ||step||_2 ||X step||_2``, G = 1/4: the published setting."""
    return CURVATURE_LIPSCHITZ * _spectral(facts) * facts.step_norm * facts.scores_norm


def third_order(facts: StepFacts) -> float:
    """``(1/2) (1 / (6 sqrt 3)) ||X||_2 ||(X step)^2||_2``."""
    return 0.5 * THIRD_DERIVATIVE * _spectral(facts) * facts.scores_squared_norm


def beyond_anchor(third: float, curvature: float, length: float) -> float:
    """``R^3 (third / 2 + rho e^rho curvature / 6)``, rho = R length, R = 1 + 2^-30: what first order lacks.

    From w to w + p, with l the logistic loss, lk its k-th derivative, ``t_i = y_i x_i.w`` and
    ``u_i = y_i x_i.p``, the gradient of the data differs from ``grad + X^T diag(l2(t)) X p`` by
    ``sum_i r_i y_i x_i``, where

        r_i = l3(t_i) u_i^2 / 2 + u_i^3 integral over a in [0, 1] of (1 - a)^2 / 2 l4(t_i + a u_i).

    ``|l3| <= l2``, so that l2 grows by e^|u| at most on the way, and ``l4 = l2 (1 - 6 l2)``, at most l2 in
    size; ||x_i|| <= R and |u_i| <= rho. The norm of the sum is at most what is returned; rows that count
    c_i do so in all of these sums. Only where the way begins and ends matters, not how many steps it took.

    Args:
        third: Upper bound on ``sum_i |l3(t_i)| u_i^2``.
        curvature: Upper bound on ``sum_i l2(t_i) u_i^2``.
        length: Upper bound on ||p||.
    """
    rho = _LONGEST_ROW * length
    if not rho < _FARTHEST:
        return inf
    return _LONGEST_ROW**3 * (third / 2 + rho * exp(rho) * curvature / 6)


def _spectral(facts: StepFacts) -> float:
    # ||X||_2 <= ||X||_F <= sqrt(n - m): rows have norm at most 1, but for the roundings of their scale.
    return min(facts.spectral, _LONGEST_ROW * sqrt(facts.retained))


INCREMENTS: dict[str, Callable[[StepFacts], float]] = {
    "worst_case": worst_case,
    "data_dependent": data_dependent,
    "third_order": third_order,
}
CERTIFICATES = (*INCREMENTS, "measured")
