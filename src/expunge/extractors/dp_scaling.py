"""Mean and deviation of each feature, learned from the training rows with differential privacy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.certificate.indistinguishable import ratio
from expunge.core import seeds
from expunge.extractors.ranges import Array, Ranges

_SQUARES = 0.7
"""What squares count beside values: a deviation may be less exact than a mean."""


@dataclass(frozen=True)
class Moments:
    """Noisy sums over n rows, and what they come to.

    With u = (x - centre) / half, clipped to [-1, 1], of the d features that are not 0 or 1 alone, a row adds
    ``(u, w (2 u^2 - 1), 1)``, of L2 norm at most ``sqrt(d (1 + w^2) + 1)``, to the sums over the rows; they
    leave with Gaussian noise of that over mu in each entry, mu that of (epsilon, delta) (Dong, Roth and Su
    2022; Balle and Wang 2018). Whoever gets them cannot tell, beyond (epsilon, delta), whether a row was
    there. All else is computed from them alone.

    Attributes:
        mean: (d,) of u.
        deviation: (d,) of u. Where its square is below what the noise leaves uncertain, it is half the
            standard deviation of that noise.
        noise: Standard deviation of the noise over the norm.
    """

    mean: Array
    deviation: Array
    noise: float

    @classmethod
    def of(cls, x: NDArray[Any], ranges: Ranges, epsilon: float, delta: float, seed: int) -> Moments:
        """Learn them from rows (n, features)."""
        dim = int(np.count_nonzero(~ranges.binary))
        norm = sqrt(dim * (1 + _SQUARES**2) + 1)
        noise = 1 / ratio(epsilon, delta, 1, "float")
        sums = sum(_contributions(x, ranges), np.zeros(2 * dim + 1))
        noisy = sums + noise * norm * seeds.stream(seed, "scaling").normal(size=2 * dim + 1)
        rows = max(noisy[-1], 1.0)
        mean = np.clip(noisy[:dim] / rows, -1, 1)
        square = (noisy[dim:-1] / rows / _SQUARES + 1) / 2
        least = noise * norm / (2 * _SQUARES * rows) / 2
        variance = np.clip(square - mean**2, min(least, 1.0), 1)
        return cls(mean, np.sqrt(variance), noise)

    def within(self, ranges: Ranges) -> Ranges:
        """Centre and width by which features have mean 0 and deviation 1, as far as is known."""
        learned = ~ranges.binary
        centre, half = ranges.centre.copy(), ranges.half.copy()
        centre[learned] += half[learned] * self.mean
        half[learned] *= self.deviation
        return Ranges(centre, half, ranges.binary)


def _contributions(x: NDArray[Any], ranges: Ranges, rows: int = 1024) -> Iterator[Array]:
    """The sums over blocks of rows."""
    for start in range(0, len(x), rows):
        u = np.clip(ranges.of(x[start : start + rows])[:, ~ranges.binary], -1, 1)
        yield np.concatenate([u.sum(axis=0), _SQUARES * (2 * u**2 - 1).sum(axis=0), [len(u)]])
