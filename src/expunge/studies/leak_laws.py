"""What a bound on the residual alone does not exclude: residuals that depend on b, and what each costs."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from expunge.certificate.guarantee import gaussian_profile

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Law:
    """A residual u(b) of norm at most the budget, and what it comes to, exactly.

    Training with b and leaving the residual u(b) gives the exact minimiser for T(b) = b - u(b): what an
    observer can tell is T(b) from b, with b ~ N(0, std^2 I). Lengths are in units of std, along the first
    axis; ``shift`` is the budget, which is epsilon / c there.

    Attributes:
        delta: Needed at each epsilon, (epsilons,).
        removed: P(event) of T(b), where the event is the one that needs most at the claimed epsilon.
        retrained: P(event) of b.
    """

    delta: Array
    removed: float
    retrained: float


def constant(epsilons: Array, claimed: float, shift: float) -> Law:
    """``u = budget e_1``: two Gaussians; the published proof is of this alone.

    The event is a likelihood ratio above e^claimed.
    """
    delta = np.array([gaussian_profile(epsilon, shift) for epsilon in epsilons])
    return Law(delta, *(float(ndtr(side * shift / 2 - claimed / shift)) for side in (1, -1)))


def rounded(epsilons: Array) -> Law:
    """``u = b - round(b)``, to a lattice so fine that it fits: the event is to lie on the lattice."""
    return Law(np.ones_like(epsilons), 1.0, 0.0)


def away(epsilons: Array, shift: float) -> Law:
    """``u = -budget sign(b_1) e_1``: T(b) never comes within the budget of zero, which is the event.

    delta is ``2 Phi(shift) - 1`` at every epsilon, since the density of T(b) is that of b or more elsewhere;
    the other way round it is ``2 (Phi(shift - t) - e^epsilon Phi(-t))`` with t = max(shift, shift / 2 +
    epsilon / shift), beyond which a likelihood ratio is above e^epsilon: never more than that.
    """
    gap = float(2 * ndtr(shift) - 1)
    t = np.maximum(shift, shift / 2 + epsilons / shift)
    other = 2 * (ndtr(shift - t) - np.array([exp(epsilon) for epsilon in epsilons]) * ndtr(-t))
    return Law(np.maximum(gap, other), 0.0, gap)
