"""What DP-SGD costs in (epsilon, delta), from its numbers alone.

One step adds ``N(0, (noise multiplier x clip)^2 I)`` to the sum of the clipped gradients of a batch. The
composition of the steps is bounded by Opacus's accountants; here is which mechanism they are asked about,
and when their answer can be used.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from math import inf, isfinite, log, sqrt

import numpy as np

from expunge.core.checks import (
    require_choice,
    require_count,
    require_from_zero,
    require_positive,
    require_probability,
)
from expunge.core.errors import InvalidValue

SAMPLINGS = ("poisson", "fixed")
ACCOUNTANTS = ("rdp", "rdp_wide", "prv")

PRV_ERROR = 0.01  # Opacus's own: what PRV adds to its estimate, which is as far from the truth at most

_MOST_ROWS = 10**12
_MOST_STEPS = 10**9  # beyond, the rounding errors of Opacus's sums, about 1e-16 a step, would show
_LEAST_NOISE = 1e-3  # anything below counts as none: no epsilon worth a number, and Opacus's series overflow
_MOST_NOISE = 2.0**20  # anything above counts as this much, which costs no less
_NOISE_TOLERANCE = 1e-3
_HIGHEST_ORDER = 1000  # Opacus overflows float64 beyond order 1029
_MOST_POINTS = 10_000_000  # of PRV's grid: 2 GB and 10 s, or a minute where the length is a prime

_History = list[tuple[float, float, int]]
"""Noise multiplier, rate of the Poisson sample and number of some Gaussian mechanisms, as Opacus keeps it."""


class PrvFailed(InvalidValue):
    """The PRV accountant has no answer for these numbers; ``cause`` says why."""

    def __init__(self, cause: str) -> None:
        self.cause = cause
        super().__init__("accountant", "prv", f"rdp with these numbers: {cause}")


@dataclass(frozen=True)
class Accounting:
    """Accounting of DP-SGD: ``steps`` noisy batches of about ``batch_size`` out of ``rows``.

    ``poisson``: at every step each row is drawn by itself with probability q = batch_size / rows, so that the
    size of a batch varies. The cost is that of ``steps`` subsampled Gaussian mechanisms of rate q (Mironov,
    Talwar and Zhang 2019), for neighbours that differ by one added or removed row.

    ``fixed``: disjoint batches of a shuffled pass. The amplification of Poisson sampling does **not** hold
    for them (Chua et al., ICML 2024), so none is claimed: a row takes part in one step of a pass, and the
    cost is that of ``ceil(steps / steps_per_epoch)`` full Gaussian mechanisms (q = 1), for neighbours in
    which the removed row is replaced by one that contributes nothing.

    ============  ======================================================================================
    accountant    epsilon
    ============  ======================================================================================
    ``rdp``       Renyi DP at Opacus's own orders, 1.1 to 63: what its users report. Always valid, but
                  loose where epsilon is small: no less than 0.103 at delta = 1e-5, whatever the noise.
    ``rdp_wide``  Renyi DP at orders 1.001 to 1000: as valid, and never larger.
    ``prv``       Privacy loss random variables, composed numerically (Gopi et al., NeurIPS 2021): the
                  upper end of its error interval, at most 0.02 above the exact value. It follows the loss
                  of a removed row, the larger one of the two directions for the subsampled Gaussian.
    ============  ======================================================================================

    As usual for DP-SGD the number of rows is taken as public, and with it q, the number of steps and a noise
    multiplier chosen for them: the training without the row is one with the same three.

    Args:
        rows: Training rows.
        batch_size: Rows of a batch: the mean under ``poisson``; at most ``rows``.
        delta: In (0, 1).
        sampling: ``poisson`` or ``fixed``.
        accountant: ``rdp``, ``rdp_wide`` or ``prv``.

    Raises:
        InvalidValue: An argument is outside its range.
    """

    rows: int
    batch_size: int
    delta: float
    sampling: str = "poisson"
    accountant: str = "rdp"

    def __post_init__(self) -> None:
        require_count("rows", self.rows, most=_MOST_ROWS)
        if require_count("batch_size", self.batch_size) > self.rows:
            raise InvalidValue("batch_size", self.batch_size, f"at most the number of rows, {self.rows}")
        require_probability("delta", self.delta)
        require_choice("sampling", self.sampling, SAMPLINGS)
        require_choice("accountant", self.accountant, ACCOUNTANTS)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass over the rows: ``ceil(rows / batch_size)``."""
        return -(-self.rows // self.batch_size)

    def epsilon(self, noise_multiplier: float, steps: int) -> float:
        """Return the epsilon that ``steps`` steps have cost, an upper bound; infinite without noise.

        Args:
            noise_multiplier: Standard deviation of the noise over the clipping norm, >= 0.
            steps: Optimiser steps in all, >= 0.

        Raises:
            InvalidValue: An argument is outside its range, or ``prv`` has no answer for these numbers.
        """
        noise = require_from_zero("noise_multiplier", noise_multiplier)
        steps = require_count("steps", steps, least=0, most=_MOST_STEPS)
        if not steps:
            return 0.0
        if noise < _LEAST_NOISE:
            return inf
        rate, times = 1.0, -(-steps // self.steps_per_epoch)
        if self.sampling == "poisson":
            rate, times = self.batch_size / self.rows, steps
        history = [(min(noise, _MOST_NOISE), rate, times)]
        if self.accountant == "prv":
            return _by_prv(history, self.delta)
        return _by_rdp(history, self.delta, wide=self.accountant == "rdp_wide")

    def noise_multiplier(self, epsilon: float, steps: int) -> float:
        """Return the smallest noise multiplier, to 0.1%, at which ``steps`` steps cost at most ``epsilon``.

        Raises:
            InvalidValue: An argument is outside its range; no noise is enough; or ``prv`` fails.
        """
        target = require_positive("target_epsilon", epsilon)
        if not require_count("steps", steps, least=0):
            return 0.0
        low, high = 0.0, 1.0
        if self.accountant == "prv":  # slow and not fit for every noise: first where the Renyi bound will do
            high = replace(self, accountant="rdp_wide").noise_multiplier(target, steps)
        while not self.epsilon(high, steps) <= target:
            if high >= _MOST_NOISE:
                raise self._unreachable(target, steps)
            low, high = high, 2 * high
        while not low:
            lower = high / 1.25  # small steps: far below the answer PRV fails
            low, high = (0.0, lower) if self.epsilon(lower, steps) <= target else (lower, high)
        while high > low * (1 + _NOISE_TOLERANCE):
            middle = sqrt(low * high)
            low, high = (low, middle) if self.epsilon(middle, steps) <= target else (middle, high)
        return high

    def _unreachable(self, target: float, steps: int) -> InvalidValue:
        least = self.epsilon(_MOST_NOISE, steps)  # says so itself where PRV fails
        others = {"rdp": " (rdp_wide and prv go lower)", "rdp_wide": " (prv may go lower)", "prv": ""}
        # 0.5% more: rounded to three digits it is then still one that can be met
        most = f"at least {1.005 * least:.3g}, what accountant={self.accountant} can show for {steps} steps"
        allowed = f"{most} at delta={self.delta:g}, whatever the noise{others[self.accountant]}"
        return InvalidValue("target_epsilon", target, allowed)


def _by_rdp(history: _History, delta: float, wide: bool) -> float:
    """Smallest bound over the orders, each of which is valid.

    Epsilon is quasi-convex in the order: ``(alpha - 1) epsilon`` is convex, since ``(alpha - 1) RDP(alpha)``
    is. So fractional orders, for which Opacus sums a slow series, are tried next to the best whole one only.
    """
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = history
    orders: list[float] = list(accountant.DEFAULT_ALPHAS)
    if wide:
        lowest, highest = orders[0], orders[-1]
        orders = [1 + (lowest - 1) / k for k in (100, 50, 20, 10, 5, 2)] + orders
        orders += np.geomspace(highest, _HIGHEST_ORDER, 41)[1:].round().tolist()
    whole = [order for order in orders if float(order).is_integer()]
    with warnings.catch_warnings():
        # `rdp` keeps to Opacus's orders whether or not the last one is the best: see the class.
        warnings.filterwarnings("ignore", "Optimal order is the (smallest|largest) alpha")
        epsilon, best = accountant.get_privacy_spent(delta=delta, alphas=whole)
        around = [1, *whole, inf]
        at = around.index(best) if best in whole else 0  # no best one where all are infinite
        near = [order for order in orders if around[at - 1] < order < around[at + 1] and order != best]
        if at and near:
            epsilon = min(epsilon, accountant.get_epsilon(delta, near))
    return max(float(epsilon), 0.0)


def _by_prv(history: _History, delta: float) -> float:
    most = _by_rdp(history, delta, wide=True) + 2 * PRV_ERROR
    try:
        with np.errstate(over="raise", invalid="raise", divide="ignore"):  # log(1 - q) is meant to be -inf
            epsilon = _opacus_prv(history, delta)
    except (ArithmeticError, MemoryError, RuntimeError, ValueError, Warning) as e:
        raise _failed(" ".join(str(e).split()) or type(e).__name__) from e
    if not (isfinite(epsilon) and 0 <= epsilon <= most):
        raise _failed(f"it says {epsilon:.4g}, and the Renyi bound is {most - 2 * PRV_ERROR:.4g}")
    return epsilon


def _opacus_prv(history: _History, delta: float) -> float:
    """Opacus's answer; refuses a grid too large for memory, or whose rounding errors may add up to delta.

    The mesh is that of Gopi et al. 2021, ``error / sqrt(times ln(12 / delta_error) / 2)``. Opacus computes in
    float64 but checks the rounding of long doubles, which lets an epsilon through that is too small.
    """
    from opacus.accountants import PRVAccountant
    from opacus.accountants.analysis.prv import PoissonSubsampledGaussianPRV, compute_safe_domain_size
    from scipy.integrate import IntegrationWarning

    accountant = PRVAccountant()
    accountant.history = history
    with warnings.catch_warnings():
        # Its grid is sized by a Renyi bound: a loose one only makes the grid larger.
        warnings.filterwarnings("ignore", "Optimal order is the (smallest|largest) alpha")
        # An inexact mean would shift the result by `times` that error.
        warnings.simplefilter("error", IntegrationWarning)
        ((noise, rate, times),) = history
        one = PoissonSubsampledGaussianPRV(rate, noise)
        half = compute_safe_domain_size([one], [times], PRV_ERROR, delta / 1000)
        points = 2 * half / PRV_ERROR * sqrt(times * log(12_000 / delta) / 2)
        if not points <= _MOST_POINTS:
            raise ValueError(f"its grid would have {points:.2g} points, more than {_MOST_POINTS:.0g}")
        if points * float(np.finfo(np.float64).eps) > delta:
            raise ValueError(f"delta={delta:g} is below the rounding errors of its grid")
        return float(accountant.get_epsilon(delta, eps_error=PRV_ERROR, delta_error=delta / 1000))


def _failed(cause: str) -> PrvFailed:
    return PrvFailed(f"Opacus's PRV accountant fails ({cause})")
