"""What noisy steps hide of where they began: amplification by iteration, for any loss.

A request is served by T steps from a start inside a ball of radius C_0 around 0,

    x_{t+1} = a x_t - gamma clip(g_t(x_t)) + s z_t,      a = 1 - gamma lambda in [0, 1],  ||clip(.)|| <= C_1,

z_t fresh and normal, g_t any function of x_t and of the rows that stay. Two trajectories with the same noise
are ``d_{t+1} <= a d_t + b`` apart, b = 2 gamma C_1, and d_0 <= 2 C_0: nothing is asked of the loss, whose
clipped gradients may point to opposite sides. Shifts of the noise by u_t, ``||u_t|| <= m_t``, that bring them
together by step k cost ``mu^2 = sum m_t^2`` (they may depend on all before: adaptive composition of normal
mechanisms), and the cheapest ones, ``m_t`` proportional to a^(k-1-t), cost

    mu_k = (a^k d_0 + b sum_{j<k} a^j) / (s sqrt(sum_{j<k} a^2j)).

Trajectories that have met stay together, so that mu is the least of mu_1, ..., mu_T, and whatever is done
without noise afterwards costs nothing. Proof: docs/certificate.md, section 12.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import frexp, ldexp, sqrt

import numpy as np
from numpy.typing import NDArray

from expunge.certificate.indistinguishable import NOISES, epsilon_after, ratio
from expunge.certificate.lattice import on_lattice, with_float_noise
from expunge.certificate.outward import down, root_up, up
from expunge.core.checks import require_choice, require_count, require_from_zero, require_positive
from expunge.core.errors import InvalidValue
from expunge.core.seeds import Noise

Array = NDArray[np.float64]

_BITS = 256  # of a fixed-point number: a float64 in [2^-200, 1] is one exactly
_ONE = 1 << _BITS
_FINENESS = 1024  # of what is hidden, the part that moving to the lattice may add
_MOVED = 3  # g sqrt(p) a step: both models moved to the lattice, the shift moved to it, roundings of float64
_FARTHEST = 2.0**44  # steps of the lattice, beyond which a coordinate is cut off before a step
_LARGEST_STD = 1e300
_LEAST = 1e-100  # of a radius or a threshold: squares of what is below underflow


def apart(contraction: float, start: Fraction, drift: Fraction, steps: int) -> tuple[Fraction, int]:
    """``min over k <= steps of (a^k start + drift sum_{j<k} a^j) / sqrt(sum_{j<k} a^2j)``, and the best k.

    It is mu s; the k is found in float64, its number is then exact but for outward rounding.

    Args:
        contraction: a, in [0, 1].
        start: How far the two starts may be from each other.
        drift: What one step may add to the distance.
        steps: T.
    """
    best = min(_numbers(contraction, float(start), float(drift), steps))[1]
    a = Fraction(contraction)
    power, once, twice = _ONE, 0, 0  # a^j up, its sum up, sum of a^2j down
    square, low = _ONE, (a * a).numerator * _ONE // (a * a).denominator
    high = -(-a.numerator * _ONE // a.denominator)
    for _ in range(best):
        once, twice = once + power, twice + square
        power, square = -(-power * high >> _BITS), square * low >> _BITS
    above = start * Fraction(power, _ONE) + drift * Fraction(once, _ONE)
    return Fraction(root_up(above**2 / Fraction(twice, _ONE))), best


def _numbers(a: float, start: float, drift: float, steps: int) -> Iterator[tuple[float, int]]:
    """The number of each k in float64."""
    power, once, twice = 1.0, 0.0, 0.0
    for k in range(1, steps + 1):
        once, twice, power = once + power, twice + power * power, power * a
        yield (power * start + drift * once) / sqrt(twice), k


def within(vector: Array, most: float) -> Array:
    """``vector min(1, most / ||vector||)``: never longer than ``most`` by a rounding; 0 if it holds NaN.

    The projection to the ball, of a start, and the clipping of a gradient.
    """
    if not np.isfinite(vector).all():
        return np.zeros_like(vector)
    bound = float(np.linalg.norm(vector)) * (1 + vector.size * 2.0**-50)  # above the exact norm
    return vector if bound <= most else vector * (most / bound)


@dataclass(frozen=True)
class IterationGuarantee:
    """That ``releases - 1`` noisy fine-tunings are together (epsilon, delta) alike from whichever starts.

    Everything in it is fixed beforehand and public. Lengths are 2-norms of all trained parameters.

    Args:
        epsilon: From 1e-6 to 1e9.
        delta: In (0, 1).
        releases: Models that may leave: the trained one, which costs nothing, and one for each request.
        noise: ``lattice`` or ``float``.
        dim: p, how many parameters are trained.
        radius: C_0.
        clip: C_1.
        lr: gamma.
        decay: lambda, with ``gamma lambda <= 1``.
        steps: T.
        std: s, of one coordinate of the noise of one step.
        grid: g, a power of two: the step of the lattice; 0 with float noise.

    Raises:
        InvalidValue: An argument is outside its range, or ``std`` is too small for the rest.
    """

    epsilon: float
    delta: float
    releases: int
    noise: str
    dim: int
    radius: float
    clip: float
    lr: float
    decay: float
    steps: int
    std: float
    grid: float

    def __post_init__(self) -> None:
        most = self.most
        if require_positive("std", self.std) > _LARGEST_STD:
            raise InvalidValue("std", self.std, f"at most {_LARGEST_STD:g}")
        if self.noise == "float":
            if self.grid != 0:
                raise InvalidValue("grid", self.grid, "0 with float noise")
        elif frexp(require_positive("grid", self.grid))[0] != 0.5:
            raise InvalidValue("grid", self.grid, "a power of two")
        if self.ratio > most:
            raise InvalidValue("std", self.std, f"at least {up(self._apart[0] / Fraction(most)):.4g}")

    @classmethod
    def planned(
        cls,
        epsilon: float,
        delta: float,
        releases: int,
        noise: str,
        dim: int,
        *,
        radius: float,
        clip: float,
        lr: float,
        decay: float,
        steps: int,
    ) -> IterationGuarantee:
        """Choose the noise: the least std that hides what it must, and the coarsest lattice that will do.

        Moving to the lattice adds at most ``3 g sqrt(p)`` to the drift of each step, and with
        ``sum a^j / sqrt(sum a^2j) <= sqrt(T)`` at most a 1024th to what is hidden.

        Raises:
            InvalidValue: An argument is outside its range.
        """
        require_choice("noise", noise, NOISES)
        for name, value in (("radius", radius), ("clip", clip)):
            if require_positive(name, value) < _LEAST:
                raise InvalidValue(name, value, f"at least {_LEAST:g}")
        require_positive("lr", lr)
        require_from_zero("weight_decay", decay)
        if Fraction(lr) * Fraction(decay) > 1:
            raise InvalidValue("weight_decay", decay, f"at most 1 / lr, which is {1 / lr:g}")
        require_count("steps", steps)
        require_count("dim", dim)
        if require_count("releases", releases) < 2:
            raise InvalidValue("releases", releases, "2 or more: the trained model and one for each request")
        hidden = _apart(radius, clip, lr, decay, steps)[0]
        grid = 0.0
        if noise == "lattice":
            finest = hidden / (_FINENESS * _MOVED * Fraction(root_up(Fraction(dim * steps))))
            grid = ldexp(0.5, frexp(down(finest))[1])
        most = ratio(epsilon, delta, releases - 1, noise)
        hidden = _apart(radius, clip, lr, decay, steps, grid, dim)[0]
        std = up(hidden / Fraction(most))
        own = (radius, clip, lr, decay, steps, std, grid)
        return cls(epsilon, delta, releases, noise, dim, *own)

    @property
    def sensitivity(self) -> float:
        """``2 C_0``: how far apart two starts may be."""
        return 2 * self.radius

    @property
    def contraction(self) -> float:
        """What a step leaves of a distance, a = 1 - gamma lambda: the float64 that steps are taken with."""
        return _contraction(self.lr, self.decay)

    @property
    def most(self) -> float:
        """The largest mu that one request may have: it is fixed by the promise alone."""
        return ratio(self.epsilon, self.delta, self.releases - 1, self.noise)

    @property
    def ratio(self) -> float:
        """The mu of one request, rounded up."""
        return up(self._apart[0] / Fraction(self.std))

    @property
    def counted(self) -> int:
        """The k whose mu_k is least: noise of later steps hides nothing more."""
        return self._apart[1]

    @property
    def _apart(self) -> tuple[Fraction, int]:
        return _apart(self.radius, self.clip, self.lr, self.decay, self.steps, self.grid, self.dim)

    @property
    def gathered(self) -> float:
        """``s sqrt(sum_{j<T} a^2j)``: std of what all noise of a request leaves in a weight."""
        powers = self.contraction ** (2.0 * np.arange(self.steps))
        return self.std * float(np.sqrt(powers.sum()))

    def spent(self, count: int) -> float:
        """Epsilon at delta of the first ``count`` releases together; while covered at most ``epsilon``."""
        epsilon = epsilon_after(self.ratio, self.delta, max(count - 1, 0), self.noise)
        return min(epsilon, self.epsilon) if count <= self.releases else max(epsilon, self.epsilon)

    # -- the steps ---------------------------------------------------------------------------------------

    def start(self, weights: Array) -> Array:
        """The point of the ball that is nearest to ``weights``, (p,)."""
        return within(weights, self.radius)

    def moved(self, x: Array, gradient: Array) -> Array:
        """Where a step leads without its noise: ``a x - gamma clip(g)``, (p,).

        On the lattice coordinates beyond 2^44 of its steps are cut off first, which brings nothing farther
        apart: float64 then errs by less than a hundredth of a step. (None of them comes there.)
        """
        if self.grid:
            x = np.clip(x, -_FARTHEST * self.grid, _FARTHEST * self.grid)
        return self.contraction * x - self.lr * within(gradient, self.clip)

    def noisy(self, x: Array, rng: Noise | None) -> Array:
        """``x`` with the noise of a step; on the lattice it is the operating system's, whatever ``rng``."""
        if self.noise == "lattice":
            return on_lattice(x, self.std, self.grid)
        assert rng is not None
        return with_float_noise(x, self.std, rng)


@dataclass(frozen=True)
class IterationAccount:
    """What has left so far, against what the noise covers.

    Attributes:
        guarantee: What the noise buys.
        released: Models that have left, the trained one first.
    """

    guarantee: IterationGuarantee
    released: int

    @property
    def epsilon_spent(self) -> float:
        """Epsilon at delta of all releases so far, by their count alone."""
        return self.guarantee.spent(self.released)


def _contraction(lr: float, decay: float) -> float:
    return max(0.0, 1.0 - lr * decay)


@lru_cache(maxsize=64)
def _apart(
    radius: float, clip: float, lr: float, decay: float, steps: int, grid: float = 0.0, dim: int = 0
) -> tuple[Fraction, int]:
    """The mu s of these settings, and the best k."""
    moved = _MOVED * Fraction(grid) * Fraction(root_up(Fraction(dim)))
    drift = 2 * Fraction(lr) * Fraction(clip) + moved
    return apart(_contraction(lr, decay), 2 * Fraction(radius), drift, steps)
