"""How ties are broken: the rows on a random circle, or a little noise on the columns."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from expunge.core.checks import require_choice, require_count, require_positive

Ties = Literal["random", "noise", "first"]
NOISE = 1e-6
"""Default noise of L-CODEC: standard deviation, as a share of the column's own."""


def check_options(ties: str, noise: float, threads: int | None) -> None:
    """Raise ``InvalidValue`` unless ``ties`` is a known rule, ``noise`` > 0, ``threads`` None or a count."""
    require_choice("ties", ties, get_args(Ties))
    require_positive("noise", noise)
    if threads is not None:
        require_count("threads", threads)


def circle(n: int, ties: str, rng: np.random.Generator) -> NDArray[np.int64]:
    """The order in which rows stand on the circle: ``rng.permutation(n)``, or as they come for ``first``."""
    return np.arange(n) if ties == "first" else rng.permutation(n)


def jitter(
    columns: NDArray[np.float64], ties: str, noise: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """``columns`` (p, n) plus, for ``noise``, N(0, (noise * std of the column)^2); a constant stays one."""
    if ties != "noise":
        return columns
    return columns + noise * columns.std(axis=1, keepdims=True) * rng.standard_normal(columns.shape)
