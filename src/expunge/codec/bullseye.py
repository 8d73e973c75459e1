"""The bullseye network: six variables and a target whose radii depend on each other, in random directions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import require_count, require_positive

VARIABLES = 6
BLANKET = (2, 3, 4, 5)
"""The Markov blanket of the target: its parents 2 and 4, its child 5 and the child's other parent 3."""


def bullseye(
    n: int, dim: int = 3, eps: float = 0.075, rng: int | np.random.Generator = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[list[int]]]:
    """Draw samples of the network.

    ``r0`` is uniform in (0.25, 0.5) or, as often, in (0.75, 1); each e is an independent U(-eps, eps)::

        r1 = r0 + e                r2 = r0 + e        r3 = r2 + e
        r4 = (r1 + r3) / 2 + e     y = (r2 + r4) / 2 + e     r5 = (r3 + y) / 2 + e

    Variable j is a point of R^dim in a uniformly random direction (of R: sign) with norm r_j; y is the number
    itself. A radius below 0, possible with ``eps`` beyond 2/27, is a point opposite.

    Returns:
        X, (n, 6 dim); y, (n,); the columns of each variable.

    Raises:
        ValueError: ``n`` or ``dim`` below 1, ``eps`` not a positive number.
    """
    require_count("n", n)
    require_count("dim", dim)
    require_positive("eps", eps)
    generator = np.random.default_rng(rng)
    noise = generator.uniform(-eps, eps, size=(VARIABLES, n))
    r0 = generator.uniform(0.25, 0.5, size=n) + 0.5 * generator.integers(0, 2, size=n)
    r1, r2 = r0 + noise[0], r0 + noise[1]
    r3 = r2 + noise[2]
    r4 = (r1 + r3) / 2 + noise[3]
    y = (r2 + r4) / 2 + noise[4]
    r5 = (r3 + y) / 2 + noise[5]
    directions = generator.standard_normal((n, VARIABLES, dim))
    directions /= np.linalg.norm(directions, axis=2, keepdims=True)
    points = np.stack([r0, r1, r2, r3, r4, r5], axis=1)[:, :, None] * directions
    groups = [list(range(j * dim, (j + 1) * dim)) for j in range(VARIABLES)]
    return points.reshape(n, VARIABLES * dim), y, groups
