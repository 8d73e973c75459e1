"""What noise at release promises: (epsilon, delta), the noise, and how near w~ must be to retraining.

The model w~ stays inside; W = w~ + s z leaves, z fresh at every release. The loss is lam n-strongly convex:
a gradient of norm at most beta leaves w~ within ``beta / (lam n)`` of the exact retrained model w*, and W is
one of two Gaussians that far apart. With all these distances below a Delta that was fixed beforehand, k
releases of ``ratio = Delta / s`` each are together as one of ``ratio sqrt(k)``, even for an observer who
chooses each request after seeing all earlier releases. The conversions are those of ``indistinguishable``;
everything else here is exact (rational numbers, rounded outward).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import frexp, inf, isfinite, ldexp, log, sqrt
from operator import index

from expunge.certificate.indistinguishable import NOISES, epsilon_after, ratio
from expunge.certificate.outward import down, root_up, up
from expunge.core.checks import require_count, require_positive
from expunge.core.errors import InvalidValue

__all__ = ["NOISES", "ReleaseGuarantee", "epsilon_after", "longest", "ratio", "sensitivity"]

_COMFORT = 256  # times what rounding alone comes to: the distance that is held where the user names none
_NARROWEST = 4  # times the same: below it no refinement could be relied on to get there
_FINENESS = Fraction(1, 1024)  # of the sensitivity is what moving two models to the lattice may add to it
_STEPS_OF_MODEL = 2.0**50  # of the lattice that the longest w* may take: float64 counts to 2^53
_STEPS_OF_NOISE = 2.0**47  # that are one standard deviation of the noise
_LARGEST_STD = 1e300
_DROWNS = 1 / 32  # of the longest model: from there on accuracy was seen to fall, by 3 points and more


def sensitivity(betas: Sequence[float], lam: float, counts: Sequence[int]) -> float:
    """``sqrt(sum_k (beta_k / (lam n_k))^2)``, rounded up: how far w~ can be from w*, Frobenius norm.

    Column k is trained on n_k rows, where its loss is lam n_k-strongly convex and the norm of its gradient
    (summed, not the mean) at most beta_k. Infinity where a beta is no finite number.
    """
    if not all(map(isfinite, betas)):
        return inf
    columns = zip(betas, counts, strict=True)
    return root_up(
        sum(((Fraction(beta) / (Fraction(lam) * index(n))) ** 2 for beta, n in columns), Fraction(0))
    )


@dataclass(frozen=True)
class ReleaseGuarantee:
    """That ``releases`` models together are (epsilon, delta)-indistinguishable from retrained ones.

    Everything in it is fixed beforehand and public.

    Args:
        epsilon: From 1e-6 to 1e9.
        delta: In (0, 1).
        releases: How many models are covered: that of the fit is the first, each served request one more.
        std: s, standard deviation of one coordinate of the noise.
        noise: ``lattice`` or ``float``.
        dim: How many numbers are published, d K.
        sensitivity: Delta_0, how far w~ may be from the retrained model, Frobenius norm.
        grid: g, a power of two: the step of the lattice; 0 with float noise. Moving two models to the lattice
            brings them apart by at most g sqrt(dim), so that ``Delta_0 + g sqrt(dim) <= ratio s`` must hold.

    Raises:
        InvalidValue: An argument is outside its range, or ``std`` is too small for the rest.
    """

    epsilon: float
    delta: float
    releases: int
    std: float
    noise: str
    dim: int
    sensitivity: float
    grid: float

    def __post_init__(self) -> None:
        most = Fraction(self.most)
        require_count("dim", self.dim)
        require_positive("sensitivity", self.sensitivity)
        if require_positive("std", self.std) > _LARGEST_STD:
            raise InvalidValue("std", self.std, f"at most {_LARGEST_STD:g}")
        if self.noise == "float":
            if self.grid != 0:
                raise InvalidValue("grid", self.grid, "0 with float noise")
        elif frexp(require_positive("grid", self.grid))[0] != 0.5:
            raise InvalidValue("grid", self.grid, "a power of two")
        elif self.std > _STEPS_OF_NOISE * self.grid:
            raise InvalidValue(
                "std", self.std, f"at most {_STEPS_OF_NOISE * self.grid:g}, 2^47 steps of the lattice"
            )
        left = most * Fraction(self.std) - Fraction(self.sensitivity)
        if left < 0 or left**2 < Fraction(self.grid) ** 2 * self.dim:
            raise InvalidValue("std", self.std, f"at least {_typed(self._apart / most)} to hide what it must")

    @property
    def most(self) -> float:
        """The largest ratio that one release may have: it is fixed by the promise alone."""
        return ratio(self.epsilon, self.delta, self.releases, self.noise)

    @property
    def _apart(self) -> Fraction:
        """``Delta_0 + g sqrt(dim)``, at most one unit in the last place of the root above it."""
        return Fraction(self.sensitivity) + Fraction(self.grid) * Fraction(root_up(Fraction(self.dim)))

    @property
    def ratio(self) -> float:
        """``(Delta_0 + g sqrt(dim)) / s``, what one release has; rounded up."""
        return up(self._apart / Fraction(self.std))

    def budget(self, lam: float, n: int) -> float:
        """Largest norm of the summed gradient of w~ over n rows that is covered: ``lam n Delta_0``, down."""
        return self.shares(lam, [n])[0]

    def shares(self, lam: float, counts: Sequence[int]) -> list[float]:
        """Largest gradient norm of each of K columns over n_k rows: ``lam n_k Delta_0 / sqrt(K)``, down.

        Columns at their shares leave w~ within Delta_0 exactly, and each may be held to as much of what
        rounding alone comes to there.
        """
        root = Fraction(root_up(Fraction(len(counts))))
        distinct = {index(n) for n in counts}  # most columns have as many rows as the others
        share = {n: down(Fraction(self.sensitivity) * Fraction(lam) * n / root) for n in distinct}
        return [share[index(n)] for n in counts]

    def spent(self, count: int) -> float:
        """Epsilon at delta of the first ``count`` releases together; while covered at most ``epsilon``."""
        epsilon = epsilon_after(self.ratio, self.delta, count, self.noise)
        return min(epsilon, self.epsilon) if count <= self.releases else max(epsilon, self.epsilon)

    def noise_in_words(self, lam: float) -> str:
        """How much noise every release has; that it drowns the model, where that is to be expected."""
        said = f"{self.noise} noise of std {self.std:.3g} in each of up to {self.releases} releases"
        return f"{said}, which {drowns}" if (drowns := self.drowns(lam)) else said

    def drowns(self, lam: float) -> str | None:
        """What so much noise in each weight comes to, by public numbers alone; None where it does no harm."""
        if self.std <= _DROWNS * (length := longest(lam)):
            return None
        less = "without std, for fewer releases, or for a larger epsilon or lam"
        return f"drowns a model that is no longer than {length:.3g}; it is smaller {less}"

    @classmethod
    def planned(
        cls,
        epsilon: float,
        delta: float,
        releases: int,
        noise: str,
        dim: int,
        *,
        lam: float,
        n: int,
        floor: float,
        std: float | None = None,
        residual: float | None = None,
    ) -> ReleaseGuarantee:
        """Choose what is left open: Delta_0 from ``std``, or s from ``residual``, or both.

        Where neither is given Delta_0 is 256 times what rounding alone comes to: the smallest noise whose
        residual is held with ease. The lattice's step is the largest power of two with g sqrt(dim) at most a
        1024th of Delta_0.

        Args:
            epsilon: See the class.
            delta: See the class.
            releases: See the class.
            noise: See the class.
            dim: See the class.
            lam: Regularisation per example; no w* is longer than sqrt(2 ln 2 / lam), since L(w*) <= L(0).
            n: Rows at the start, of which a residual of norm ``residual`` is Delta_0 = residual / (lam n).
            floor: Sensitivity that rounding alone can come to, with whichever rows leave.
            std: s.
            residual: Norm of the residual (summed gradient, n rows) that is to be held.

        Raises:
            InvalidValue: Both are given, or what is given is below what float64 can hold, or an argument is
                outside its range.
        """
        most = Fraction(ratio(epsilon, delta, releases, noise))
        width = Fraction(root_up(Fraction(require_count("dim", dim))))
        strength = Fraction(require_positive("lam", lam)) * require_count("n", n)
        fineness = _FINENESS if noise == "lattice" else Fraction(0)
        if std is not None and residual is not None:
            raise InvalidValue("residual", residual, "null where std is given: one follows from the other")
        if not floor < inf:
            raise InvalidValue("lam", lam, "more: so small a one lets float64 hold no residual at all")
        rounding = Fraction(require_positive("floor", floor))
        least = _NARROWEST * rounding
        if fineness:  # g is more than half of what its bound allows
            least = max(least, 2 * Fraction(longest(lam)) / Fraction(_STEPS_OF_MODEL) * width / fineness)
        if std is not None:
            name, given, factor = "std", require_positive("std", std), most / (1 + fineness)
        elif residual is not None:
            name, given, factor = "residual", require_positive("residual", residual), 1 / strength
        else:
            name, given, factor = "", 0.0, Fraction(1)
        held = Fraction(given) * factor if given else max(_COMFORT * rounding, least)
        if held < least:
            raise InvalidValue(name, given, f"at least {_typed(least / factor)} here (rounding of float64)")
        distance = down(held)
        grid = ldexp(0.5, frexp(down(Fraction(distance) * fineness / width))[1]) if fineness else 0.0
        noise_std = std if std is not None else up((Fraction(distance) + Fraction(grid) * width) / most)
        if name == "residual" and noise_std > _LARGEST_STD:
            allowed = f"at most {_LARGEST_STD * float(most / factor):.1e}"
            raise InvalidValue(name, given, allowed)
        if not name and noise_std > longest(lam):
            why = f"{noise_std:.3g} in each weight of a model that is no longer than {longest(lam):.3g}"
            allowed = f"fewer, or a larger lam or epsilon: the noise would be {why}"
            raise InvalidValue("releases", releases, allowed)
        return cls(epsilon, delta, releases, noise_std, noise, dim, distance, grid)


def longest(lam: float) -> float:
    """``sqrt(2 ln 2 / lam)``: no w* is longer, since L(w*) <= L(0)."""
    return sqrt(2 * log(2) / lam)


def _typed(least: Fraction) -> str:
    """A number that is shown, and is enough when it is typed."""
    return f"{1.01 * up(least):.3g}"
