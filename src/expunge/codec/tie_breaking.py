"""How ties are broken: the rows on a random circle, or a little noise on the columns."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Ties = Literal["random", "noise", "first"]
NOISE = 1e-6
"""Default noise of L-CODEC: standard deviation, as a share of the column's own."""


def check_options(ties: str, noise: float, threads: int | None) -> None:
    """Raise ValueError unless ``ties`` is a known rule, ``noise`` positive, ``threads`` None or a count."""
    if ties not in get_args(Ties):
        raise ValueError(f"ties: got {ties!r}; allowed: {', '.join(get_args(Ties))}")
    if isinstance(noise, bool) or not isinstance(noise, (int, float)) or not 0 < noise < np.inf:
        raise ValueError(f"noise: got {noise!r}; allowed: a positive number")
    require_count("threads", threads, none=True)


def require_count(name: str, value: Any, *, most: int | None = None, none: bool = False) -> None:
    """Raise ValueError unless ``value`` is a whole number from 1 to ``most``, or None where ``none``."""
    if value is None and none:
        return
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < 1 or (most is not None and value > most):
        allowed = ">= 1" if most is None else f"from 1 to {most}"
        raise ValueError(f"{name}: got {value!r}; allowed: {'None or ' * none}a whole number {allowed}")


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
